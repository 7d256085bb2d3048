// The Unigram model of tokenizer.json: [[piece, score], ...], the place in the list being the id.
#include <unordered_set>

#include "formats/huggingface/tokenizer_parts.h"

namespace onepass {

Status read_unigram(const JsonNode& root, TokenizerSpec& spec) {
  spec.kind = TokenizerKind::unigram;
  ONEPASS_TRY_ASSIGN(model, root.object("model"));
  ONEPASS_TRY(model.only({"type", "unk_id", "vocab", "byte_fallback"}, Code::unsupported));
  ONEPASS_TRY_ASSIGN(vocab, model.array("vocab"));
  ONEPASS_TRY(check_token_count(vocab.value().size(), vocab.path()));
  if (vocab.value().empty()) {
    return make_error(Code::bad_vocabulary, Error::no_offset, vocab.path(), "the vocabulary is empty");
  }
  std::unordered_set<std::string> seen;
  for (size_t id = 0; id < vocab.value().size(); ++id) {
    const JsonNode entry(vocab.value()[id], vocab.path_of(id));
    if (!entry.value().is_array() || entry.value().size() != 2) {
      return make_error(Code::bad_type, Error::no_offset, entry.path(), "must be [piece, score]");
    }
    ONEPASS_TRY_ASSIGN(piece, JsonNode(entry.value()[0], entry.path()).as_string());
    ONEPASS_TRY(check_token(piece, entry.path()));
    if (!entry.value()[1].is_number()) {
      return make_error(Code::bad_type, Error::no_offset, entry.path(), "the score must be a number");
    }
    if (!seen.insert(piece).second) {
      return make_error(Code::duplicate_name, Error::no_offset, entry.path(), "\"%.80s\" is there twice",
                        piece.c_str());
    }
    spec.scores.push_back(entry.value()[1].get<double>());
    spec.pieces.push_back(std::move(piece));
  }
  if (!model.has("unk_id")) {
    return make_error(Code::unsupported, Error::no_offset, model.path_of("unk_id"),
                      "a unigram model without an unknown token is not supported: some texts would have no tokens");
  }
  ONEPASS_TRY_ASSIGN(unk_id, model.u64("unk_id", 0, kMaxTokens - 1));
  if (unk_id >= spec.pieces.size()) {
    return make_error(Code::bad_vocabulary, Error::no_offset, model.path_of("unk_id"), "no piece has this id");
  }
  spec.unk_id = static_cast<uint32_t>(unk_id);
  ONEPASS_TRY_ASSIGN(byte_fallback, model.optional_boolean("byte_fallback"));
  spec.byte_fallback = byte_fallback.value_or(false);
  return {};
}

}  // namespace onepass
