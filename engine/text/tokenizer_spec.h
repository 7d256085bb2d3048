// TokenizerSpec: a tokenizer as plain data, and its bytes in a model file (docs/tokenizers.md, "Section layout").
// For the converter and tests; the runtime reads the bytes with Tokenizer::parse and never includes this header.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/text/tokenizer_kind.h"

namespace onepass {

struct AddedTokenSpec {
  uint32_t id = 0;  // of a piece with this very content, or pieces.size(), pieces.size() + 1, ... in list order
  std::string content;
  bool single_word = false;
  bool lstrip = false;
  bool rstrip = false;
  bool normalized = false;
  bool special = false;
};

// One entry of the template around a text: a token, or the text itself (exactly once).
struct TemplateEntry {
  bool is_sequence = false;
  uint32_t id = 0;  // of the token; 0 for the sequence
};

struct TokenizerSpec {
  TokenizerKind kind = TokenizerKind::wordpiece;
  std::vector<std::string> pieces;  // by id
  uint32_t unk_id = 0;
  std::string continuing_prefix = "##";
  uint32_t max_input_chars_per_word = 100;
  bool clean_text = true;
  bool handle_chinese_chars = true;
  bool strip_accents = true;  // a null in tokenizer.json means: as lowercase
  bool lowercase = true;
  std::vector<AddedTokenSpec> added_tokens;  // in the order of tokenizer.json
  std::vector<TemplateEntry> single_template;
};

// The canonical bytes. Nothing is validated here: Tokenizer::parse is the one judge, and the converter runs it on
// the result.
std::vector<uint8_t> serialize_tokenizer(const TokenizerSpec& spec);

}  // namespace onepass
