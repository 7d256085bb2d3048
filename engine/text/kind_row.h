// What a kind of model provides: one file and one row of the table in tokenizer.cpp.
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
  // The model reads kTextPadding bytes past a word: a text without padding is copied for it.
  bool padded;
  // Reads and validates the model's parameters, which end the section; model.pieces is there.
  Status (*parse)(Cursor& cursor, TokenizerModel& model) noexcept;
  // Gives the tokens of the word view.text[begin, end), which is not empty, to the sink. False when out of memory.
  bool (*tokenize)(const TokenizerModel& model, const TextView& view, size_t begin, size_t end, EncodeScratch& scratch,
                   TokenSink& sink) noexcept;
};

extern const KindRow kUnigramRow;
extern const KindRow kWordPieceRow;
extern const KindRow kBpeRow;

}  // namespace onepass
