// TokenizerSpec: a tokenizer as plain data, and its bytes in a model file (docs/tokenizers.md, "Section layout").
// For the converter and tests; the runtime reads the bytes with Tokenizer::parse and never includes this header.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/text/normalizer.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/tokenizer_kind.h"

namespace onepass {

struct AddedTokenSpec {
  uint32_t id = 0;      // of a piece with this very content; a literal piece where the model has none
  std::string content;  // the writer adds it to the pieces where their list is too short for the id
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

struct NormalizerSpec {
  NormalizerKind kind = NormalizerKind::bert;
  uint32_t flags = 0;
  std::string pattern;
  std::string content;
};

struct PreTokenizerSpec {
  PreTokenizerKind kind = PreTokenizerKind::bert;
  uint32_t flags = 0;
  uint32_t value = 0;
  std::string text;
};

struct MergeSpec {
  uint32_t left = 0;
  uint32_t right = 0;
  uint32_t result = 0;
};

struct TokenizerSpec {
  TokenizerKind kind = TokenizerKind::wordpiece;
  std::vector<std::string> pieces;   // by id; an empty one is an id without content
  std::vector<bool> literal_pieces;  // by id, false where shorter: only an added token, unknown to the model
  std::vector<NormalizerSpec> normalizer;
  std::vector<PreTokenizerSpec> pre_tokenizer;
  std::vector<AddedTokenSpec> added_tokens;  // in the order of tokenizer.json
  std::vector<TemplateEntry> single_template;
  bool byte_level = false;         // pieces are bytes, not text
  bool trim_offsets = false;       // spans lose the white space at their ends
  bool trim_prefix_space = false;  // but for a single space before the first word

  // WordPiece.
  uint32_t unk_id = 0;
  std::string continuing_prefix = "##";
  uint32_t max_input_chars_per_word = 100;

  // Unigram, with unk_id.
  std::vector<double> scores;  // of the pieces, by id
  bool byte_fallback = false;
  // BPE; unk_id is above.
  uint32_t bpe_flags = 0;          // of BpeFlag; the writer adds bpe_cut_before_mark where it holds
  std::vector<uint32_t> byte_ids;  // 256, or none
  std::vector<MergeSpec> merges;   // by rank; of equal pairs the last counts
};

// The canonical bytes, hash tables included. Nothing is validated here: Tokenizer::parse is the one judge, and the
// converter runs it on the result.
std::vector<uint8_t> serialize_tokenizer(const TokenizerSpec& spec);

}  // namespace onepass
