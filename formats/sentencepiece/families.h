// The families of models that use SentencePiece, as data.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace onepass {

enum class SentencePieceLayout : uint32_t {
  as_is,    // ids are those of the file
  fairseq,  // <s> <pad> </s> <unk>, the file's pieces from the fourth on, <mask>
  t5,       // the file's pieces, then <extra_id_99> to <extra_id_0>
};

enum class SentencePieceSteps : uint32_t {
  deberta,     // strip, character map, runs of spaces; "▁" before every word
  albert,      // quotes, NFKD without accents, lower case, character map, runs of spaces; words at white space
  whitespace,  // character map; words at white space
  llama,       // "▁" before the text and for every space
};

struct FamilyToken {
  const char* key;      // in tokenizer_config.json
  const char* content;  // null: the family has none
  bool lstrip;
  bool normalized;
};

struct SentencePieceFamily {
  const char* tokenizer_class;  // without "Fast"
  const char* model_type;       // of config.json
  bool bpe;
  SentencePieceLayout layout;
  SentencePieceSteps steps;
  std::span<const FamilyToken> tokens;  // added to the control pieces of the file
  const char* before;                   // tokens around a text, or null
  const char* after;
};

std::span<const SentencePieceFamily> sentencepiece_families() noexcept;

}  // namespace onepass
