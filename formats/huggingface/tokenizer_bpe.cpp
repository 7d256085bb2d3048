// The model BPE of tokenizer.json.
#include <algorithm>

#include "engine/core/utf8.h"
#include "engine/text/bpe.h"
#include "formats/huggingface/tokenizer_parts.h"

namespace onepass {

namespace {

struct Alphabet {
  // The byte of a character, or -1. Bytes that print are themselves, the others follow from U+0100 on.
  int byte_of[0x180];
  constexpr Alphabet() : byte_of() {
    for (int& byte : byte_of) byte = -1;
    int next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool plain = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      byte_of[plain ? byte : next++] = byte;
    }
  }
};
constexpr Alphabet kAlphabet;

// The bytes of a piece in the byte-level alphabet; false where it has other characters.
bool to_bytes(std::string_view piece, std::string& bytes) {
  bytes.clear();
  for (size_t pos = 0; pos < piece.size();) {
    const Utf8Char c = decode_utf8(piece, pos);
    if (c.code_point >= std::size(kAlphabet.byte_of) || kAlphabet.byte_of[c.code_point] < 0) return false;
    bytes.push_back(static_cast<char>(kAlphabet.byte_of[c.code_point]));
    pos += c.length;
  }
  return true;
}

Status check_nothing(const JsonNode& model, std::string_view key) {
  ONEPASS_TRY_ASSIGN(text, model.optional_string(key));
  if (text.value_or("").empty()) return {};
  return make_error(Code::unsupported, Error::no_offset, model.path_of(key), "\"%.40s\" is not supported; null is",
                    text->c_str());
}

Result<uint32_t> id_in(const TokenIds& ids, std::string_view token, const std::string& where) {
  const auto at = ids.find(token);
  if (at != ids.end()) return at->second;
  return make_error(Code::bad_vocabulary, Error::no_offset, where, "the vocabulary has no token \"%.*s\"",
                    static_cast<int>(std::min<size_t>(token.size(), 80)), token.data());
}

// One merge: "a b", or ["a", "b"].
Result<std::pair<std::string, std::string>> read_merge(const JsonNode& node) {
  if (node.value().is_array()) {
    ONEPASS_TRY_ASSIGN(parts, node.as_strings());
    if (parts.size() == 2) return std::pair(std::move(parts[0]), std::move(parts[1]));
    return make_error(Code::bad_value, Error::no_offset, node.path(), "%zu parts; a merge has two", parts.size());
  }
  ONEPASS_TRY_ASSIGN(text, node.as_string());
  return split_merge(text, node.path());
}

}  // namespace

Result<std::pair<std::string, std::string>> split_merge(std::string_view text, const std::string& where) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
    return make_error(Code::bad_value, Error::no_offset, where,
                      "\"%.*s\" is not two parts with one space between them; was a no-break space lost when the file "
                      "was copied?",
                      static_cast<int>(std::min<size_t>(text.size(), 80)), text.data());
  }
  return std::pair(std::string(text.substr(0, space)), std::string(text.substr(space + 1)));
}

Status add_merge(const TokenIds& ids, const std::string& left, const std::string& right, const std::string& where,
                 TokenizerSpec& spec) {
  ONEPASS_TRY_ASSIGN(left_id, id_in(ids, left, where));
  ONEPASS_TRY_ASSIGN(right_id, id_in(ids, right, where));
  ONEPASS_TRY_ASSIGN(result, id_in(ids, left + right, where));
  spec.merges.push_back({left_id, right_id, result});
  if (spec.merges.size() > kMaxMerges) {
    return make_error(Code::limit_exceeded, Error::no_offset, where, "more than %u merges", kMaxMerges);
  }
  return {};
}

Status read_bpe(const JsonNode& root, TokenizerSpec& spec) {
  spec.kind = TokenizerKind::bpe;
  ONEPASS_TRY_ASSIGN(model, root.object("model"));
  ONEPASS_TRY(model.only({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                          "byte_fallback", "ignore_merges", "vocab", "merges"},
                         Code::unsupported));
  ONEPASS_TRY_ASSIGN(dropout, model.optional_number("dropout"));
  if (dropout.value_or(0.0) != 0.0) {
    return make_error(Code::unsupported, Error::no_offset, model.path_of("dropout"),
                      "%g is not supported: tokens would be drawn by chance; null is", *dropout);
  }
  ONEPASS_TRY(check_nothing(model, "continuing_subword_prefix"));
  ONEPASS_TRY(check_nothing(model, "end_of_word_suffix"));
  ONEPASS_TRY_ASSIGN(fuse_unk, model.optional_boolean("fuse_unk"));
  ONEPASS_TRY_ASSIGN(byte_fallback, model.optional_boolean("byte_fallback"));
  ONEPASS_TRY_ASSIGN(ignore_merges, model.optional_boolean("ignore_merges"));
  ONEPASS_TRY_ASSIGN(unk_token, model.optional_string("unk_token"));
  ONEPASS_TRY_ASSIGN(vocab, model.object("vocab"));
  ONEPASS_TRY_ASSIGN(pieces, read_vocab(vocab));
  spec.pieces = std::move(pieces);
  spec.bpe_flags = (fuse_unk.value_or(false) ? bpe_fuse_unk : 0u) |
                   (byte_fallback.value_or(false) ? bpe_byte_fallback : 0u) |
                   (ignore_merges.value_or(false) ? bpe_ignore_merges : 0u) | (spec.byte_level ? bpe_byte_level : 0u);
  const TokenIds ids = ids_of(spec);
  if (unk_token.has_value()) {
    ONEPASS_TRY_ASSIGN(id, id_in(ids, *unk_token, model.path_of("unk_token")));
    spec.unk_id = id;
    spec.bpe_flags |= bpe_has_unk;
  }
  ONEPASS_TRY_ASSIGN(list, model.array("merges"));
  ONEPASS_TRY_ASSIGN(nodes, list.elements());
  for (const JsonNode& node : nodes) {
    if (node.value().is_string() && node.value().get_ref<const std::string&>().starts_with("#version")) continue;
    ONEPASS_TRY_ASSIGN(merge, read_merge(node));
    ONEPASS_TRY(add_merge(ids, merge.first, merge.second, node.path(), spec));
  }
  return find_bytes(spec, model.path_of("vocab"));
}

Status find_bytes(TokenizerSpec& spec, const std::string& where) {
  if ((spec.bpe_flags & (uint32_t{bpe_byte_level} | bpe_byte_fallback)) == 0) {
    if ((spec.bpe_flags & bpe_has_unk) != 0) return {};
    return make_error(Code::unsupported, Error::no_offset, where,
                      "BPE of characters without unk_token and byte_fallback drops what it does not know; that is not "
                      "supported");
  }
  spec.byte_ids.assign(256, kNoPiece);
  const bool fallback = (spec.bpe_flags & bpe_byte_level) == 0;
  std::string bytes;
  size_t found = 0;
  for (uint32_t id = 0; id < spec.pieces.size(); ++id) {
    const std::string& piece = spec.pieces[id];
    unsigned byte = 256;
    if (!fallback) {
      if (to_bytes(piece, bytes) && bytes.size() == 1) byte = static_cast<uint8_t>(bytes[0]);
    } else if (piece.size() == 6 && piece.starts_with("<0x") && piece[5] == '>') {
      const auto digit = [&](size_t at) {
        const size_t value = std::string_view("0123456789ABCDEF").find(piece[at]);
        return value == std::string_view::npos ? 256u : static_cast<unsigned>(value);
      };
      byte = digit(3) * 16 + digit(4);
    }
    if (byte >= 256) continue;
    spec.byte_ids[byte] = id;
    ++found;
  }
  if (fallback) {
    // The library falls back for a character whose bytes are all there.
    if (found == 256) return {};
    if (found == 0) {
      spec.byte_ids.clear();
      spec.bpe_flags &= ~uint32_t{bpe_byte_fallback};
      return find_bytes(spec, where);
    }
    return make_error(Code::unsupported, Error::no_offset, where,
                      "byte_fallback with %zu of the 256 tokens <0x00> to <0xFF> is not supported", found);
  }
  return {};
}

Status pieces_to_bytes(const JsonNode& root, TokenizerSpec& spec) {
  if (!spec.byte_level) return {};
  spec.literal_pieces.resize(spec.pieces.size());
  std::string bytes;
  std::vector<bool> added(spec.pieces.size());
  for (const AddedTokenSpec& token : spec.added_tokens) {
    if (token.id < added.size()) added[token.id] = true;
  }
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    if (spec.literal_pieces[id] || spec.pieces[id].empty()) continue;
    if (!to_bytes(spec.pieces[id], bytes)) {
      spec.literal_pieces[id] = true;
      continue;
    }
    if (added[id] && bytes != spec.pieces[id]) {
      return make_error(Code::unsupported, Error::no_offset, root.path_of("added_tokens"),
                        "\"%.80s\" is an added token and stands for other bytes in the vocabulary; that is not "
                        "supported",
                        spec.pieces[id].c_str());
    }
    spec.pieces[id] = bytes;
  }
  return {};
}

}  // namespace onepass
