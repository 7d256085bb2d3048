// The model WordPiece of tokenizer.json.
#include <algorithm>
#include <optional>

#include "formats/huggingface/tokenizer_parts.h"

namespace onepass {

namespace {

constexpr uint64_t kMaxWordChars = 1024;

Status read_model(const JsonNode& model, TokenizerSpec& spec) {
  ONEPASS_TRY(model.only({"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"},
                         Code::unsupported));
  ONEPASS_TRY_ASSIGN(vocab, model.object("vocab"));
  ONEPASS_TRY_ASSIGN(pieces, read_vocab(vocab));
  spec.pieces = std::move(pieces);
  ONEPASS_TRY_ASSIGN(unk_token, model.string("unk_token"));
  const auto unk = std::find(spec.pieces.begin(), spec.pieces.end(), unk_token);
  if (unk == spec.pieces.end()) {
    return make_error(Code::bad_vocabulary, Error::no_offset, model.path_of("unk_token"),
                      "the vocabulary has no token \"%.80s\"", unk_token.c_str());
  }
  spec.unk_id = static_cast<uint32_t>(unk - spec.pieces.begin());
  ONEPASS_TRY_ASSIGN(prefix, model.string("continuing_subword_prefix"));
  if (prefix.size() > kMaxTokenBytes) {
    return make_error(Code::limit_exceeded, Error::no_offset, model.path_of("continuing_subword_prefix"),
                      "%zu bytes; at most %zu are read", prefix.size(), kMaxTokenBytes);
  }
  spec.continuing_prefix = std::move(prefix);
  ONEPASS_TRY_ASSIGN(max_chars, model.u64("max_input_chars_per_word", 1, kMaxWordChars));
  spec.max_input_chars_per_word = static_cast<uint32_t>(max_chars);
  return {};
}

// `absent` is what transformers takes for a flag that is missing or null; nullopt: what tokenizer.json says.
Status check_flag(const JsonNode& config, const char* key, const char* option, bool actual,
                  std::optional<bool> absent) {
  ONEPASS_TRY_ASSIGN(wanted, config.optional_boolean(key));
  if (wanted.value_or(absent.value_or(actual)) == actual) return {};
  return make_error(Code::bad_value, Error::no_offset, config.path_of(key),
                    "%s, but \"%s\" of tokenizer.json is %s; make them agree with how the model was trained",
                    wanted.has_value() ? *wanted ? "true" : "false" : "absent, so at its default", option,
                    actual ? "true" : "false");
}

}  // namespace

Status read_wordpiece(const JsonNode& root, TokenizerSpec& spec) {
  spec.kind = TokenizerKind::wordpiece;
  if (spec.byte_level) {
    return make_error(Code::unsupported, Error::no_offset, root.path_of("pre_tokenizer"),
                      "ByteLevel with WordPiece is not supported; with BPE it is");
  }
  ONEPASS_TRY_ASSIGN(model, root.object("model"));
  return read_model(model, spec);
}

Status check_tokenizer_config(const JsonNode& config, const TokenizerSpec& spec) {
  if (spec.kind != TokenizerKind::wordpiece) return {};
  ONEPASS_TRY_ASSIGN(tokenizer_class, config.optional_string("tokenizer_class"));
  const bool bert = tokenizer_class.has_value() && is_bert_tokenizer(*tokenizer_class);
  const std::optional<bool> absent = bert ? std::optional(true) : std::nullopt;
  const NormalizerSpec* normalizer = find_bert(spec);
  const uint32_t flags = normalizer == nullptr ? 0 : normalizer->flags;
  const bool lowercase = (flags & bert_lowercase) != 0;
  ONEPASS_TRY(check_flag(config, "do_lower_case", "lowercase", lowercase, absent));
  ONEPASS_TRY(check_flag(config, "tokenize_chinese_chars", "handle_chinese_chars",
                         (flags & bert_handle_chinese_chars) != 0, absent));
  return check_flag(config, "strip_accents", "strip_accents", (flags & bert_strip_accents) != 0,
                    bert ? std::optional(lowercase) : std::nullopt);
}

}  // namespace onepass
