// What a kind of tokenizer provides: one file and one row of the table in tokenizer.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/core/array.h"
#include "engine/core/cursor.h"
#include "engine/core/result.h"
#include "engine/text/encode_scratch.h"
#include "engine/text/token_sink.h"
#include "engine/text/tokenizer_kind.h"
#include "engine/text/tokenizer_model.h"

namespace onepass {

struct KindRow {
  TokenizerKind kind;
  const char* name;
  // Reads and validates the kind's parameters and the pieces, which follow the section's common header.
  Status (*parse)(Cursor& cursor, uint32_t piece_count, TokenizerModel& model) noexcept;
  // out = the normalised `text`, whose place in the source is `origin`. False when out of memory.
  bool (*normalize)(const TokenizerModel& model, std::string_view text, uint32_t origin, EncodeScratch& scratch,
                    DerivedText& out) noexcept;
  // Gives the tokens of the normalised text[begin, end) to the sink. False when out of memory.
  bool (*tokenize)(const TokenizerModel& model, const DerivedText& text, size_t begin, size_t end,
                   TokenSink& sink) noexcept;
};

extern const KindRow kWordPieceRow;

}  // namespace onepass
