// SentencePiece models: spm.model, spiece.model, tokenizer.model, sentencepiece.bpe.model. A message of protocol
// buffers (sentencepiece_model.proto); what is not listed here is skipped, after its structure is checked.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/result.h"

namespace onepass {

constexpr size_t kMaxSentencePieceBytes = size_t{64} << 20;

enum class SentencePieceType : uint32_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6,
};

struct SentencePiece {
  std::string piece;
  float score = 0;
  SentencePieceType type = SentencePieceType::normal;
};

enum class SentencePieceAlgorithm : uint32_t { unigram = 1, bpe = 2, word = 3, character = 4 };

struct SentencePieceModel {
  std::vector<SentencePiece> pieces;  // by id
  // The trainer's specification.
  SentencePieceAlgorithm algorithm = SentencePieceAlgorithm::unigram;
  bool byte_fallback = false;
  bool treat_whitespace_as_suffix = false;
  uint32_t unk_id = 0;
  std::string unk_piece = "<unk>";
  // The normaliser's.
  std::string precompiled_charsmap;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

// Errors, each with its offset: truncated (a length or integer runs past the end), bad_syntax (a tag, wire type or
// integer that no writer makes), bad_type (a known field of another wire type), duplicate_name (a single field twice; a
// piece twice), limit_exceeded, bad_utf8, unknown_value (type of a piece, kind of model), non_finite (a score),
// bad_vocabulary (no pieces, an empty piece, unk_id that is no unknown piece), missing_key (a piece without content).
Result<SentencePieceModel> parse_sentencepiece(std::span<const uint8_t> bytes,
                                               std::string_view where = "spm.model") noexcept;

}  // namespace onepass
