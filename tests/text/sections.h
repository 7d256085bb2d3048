// Tokenizer sections for the tests of this room.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_spec.h"

namespace onepass::test {

inline AddedTokenSpec special(uint32_t id, std::string content) {
  AddedTokenSpec token;
  token.id = id;
  token.content = std::move(content);
  token.special = true;
  return token;
}

// BERT's special tokens, and pieces enough for "unaffable", "hello world!" and single letters.
inline TokenizerSpec small_spec() {
  TokenizerSpec spec;
  spec.pieces = {"[PAD]",  "[UNK]", "[CLS]",        "[SEP]", "[MASK]",  "un", "##aff",
                 "##able", "hello", "world",        "!",     "##hello", "a",  "##a",
                 "b",      "##b",   "\xE4\xB8\xAD", "e",     "#",       "x",  "a_long_piece_of_more_than_16_bytes"};
  spec.normalizer.resize(1);
  spec.normalizer[0].flags = bert_clean_text | bert_handle_chinese_chars | bert_strip_accents | bert_lowercase;
  spec.pre_tokenizer.resize(1);
  spec.unk_id = 1;
  for (uint32_t id = 0; id < 5; ++id) spec.added_tokens.push_back(special(id, spec.pieces[id]));
  spec.single_template = {{false, 2}, {true, 0}, {false, 3}};
  return spec;
}

// A section and the tokenizer that reads it.
struct Parsed {
  explicit Parsed(const TokenizerSpec& spec) : Parsed(serialize_tokenizer(spec)) {}
  explicit Parsed(std::vector<uint8_t> section, uint32_t embedding_rows = UINT32_MAX)
      : bytes(std::move(section)), result(Tokenizer::parse(bytes, embedding_rows)) {}
  Code code() const { return result.code(); }
  const Tokenizer& operator*() const { return *result; }
  const Tokenizer* operator->() const { return &*result; }

  std::vector<uint8_t> bytes;
  Result<Tokenizer> result;
};

struct Encoded {
  std::vector<uint32_t> ids;
  std::vector<TokenSpan> spans;
  EncodeStats stats;
  Code code = Code::ok;
};

inline Encoded encode(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options = {}) {
  EncodeScratch scratch;
  Array<uint32_t> ids;
  Array<TokenSpan> spans;
  Encoded out;
  out.code = tokenizer.encode(text, options, scratch, ids, &spans, &out.stats).code();
  out.ids.assign(ids.begin(), ids.end());
  out.spans.assign(spans.begin(), spans.end());
  return out;
}

inline void set_u32(std::vector<uint8_t>& bytes, size_t at, uint32_t value) {
  for (size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<uint8_t>(value >> (8 * i));
}

}  // namespace onepass::test
