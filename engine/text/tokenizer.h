// Tokenizer: text to token ids, identical to the Hugging Face tokenizers library. See docs/tokenizers.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "engine/core/array.h"
#include "engine/core/result.h"
#include "engine/text/added_tokens.h"
#include "engine/text/encode_scratch.h"
#include "engine/text/normalizer.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/token_sink.h"
#include "engine/text/token_span.h"
#include "engine/text/tokenizer_kind.h"
#include "engine/text/tokenizer_model.h"

namespace onepass {

struct EncodeOptions {
  size_t max_tokens = SIZE_MAX;  // the template's tokens included
  bool add_special = true;       // put the template around the text
};

struct EncodeStats {
  size_t total_tokens = 0;  // before truncation, the template's tokens included
  bool truncated = false;   // some tokens of the text were cut
  size_t bytes_used = 0;    // end of the last kept token of the text: the kept tokens lie in text[0, bytes_used)
};

// Immutable after parse, so any number of threads may share one; each brings its own EncodeScratch.
class Tokenizer {
 public:
  // Reads and validates the tokenizer section of a model file. The bytes may be hostile; they are read again by
  // encode, so they lie in private memory that outlives the Tokenizer. `base_offset` is the place of section[0] in
  // the file, for error messages.
  static Result<Tokenizer> parse(std::span<const uint8_t> section, uint32_t embedding_rows,
                                 uint64_t base_offset = 0) noexcept;

  // Appends the ids of one text, and with `spans` one span an id. Any bytes are a valid text of up to kMaxTextBytes:
  // a malformed UTF-8 sequence counts as U+FFFD. The result equals that of tokenising all and then cutting the
  // text's tokens at the end so that template and text fit max_tokens. Fails with text_too_long, with
  // invalid_argument when the template alone exceeds max_tokens, and with out_of_memory; ids and spans are then as
  // before the call. `spans` and `stats` may be null.
  Status encode(std::string_view text, const EncodeOptions& options, EncodeScratch& scratch, Array<uint32_t>& ids,
                Array<TokenSpan>* spans, EncodeStats* stats) const noexcept;

  // Appends the ids that the model gives one word, which for BPE of bytes may be any bytes and is valid UTF-8 else:
  // no added tokens, no steps, no template. Fails with out_of_memory.
  Status encode_word(std::string_view word, EncodeScratch& scratch, Array<uint32_t>& ids) const noexcept;

  static constexpr size_t kMaxTextBytes = size_t{1} << 30;

  // The bytes of a token; empty when id >= vocab_size(), and for an id without content. Tokens of bytes need not be
  // valid UTF-8.
  std::string_view token(uint32_t id) const noexcept;
  size_t vocab_size() const noexcept { return model_.pieces.size(); }  // ids lie below it
  TokenizerKind kind() const noexcept { return kind_; }
  const char* kind_name() const noexcept;
  bool lowercase() const noexcept;  // the normaliser makes lower case
  // Tokens that the template puts around every text.
  size_t special_count() const noexcept { return template_.size() - 1; }
  // Those of them that come before the text.
  std::span<const uint32_t> prefix() const noexcept;
  // Pieces within a word begin with a mark, as WordPiece's "##".
  bool marks_continuation() const noexcept;
  // The token of what the vocabulary does not have; false where there is none.
  bool is_unknown(uint32_t id) const noexcept;

 private:
  Tokenizer() noexcept = default;
  Status parse_template(Cursor& cursor, uint32_t count) noexcept;
  Status index_added_tokens() noexcept;
  bool encode_text(const TextView& text, EncodeScratch& scratch, TokenSink& sink) const noexcept;
  bool encode_segment(const TextView& text, size_t begin, size_t end, EncodeScratch& scratch,
                      TokenSink& sink) const noexcept;

  TokenizerKind kind_ = TokenizerKind::none;
  const KindRow* row_ = nullptr;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  TokenizerModel model_;
  TrimRule trim_;
  AddedTokens added_;
  Array<uint32_t> template_;  // token ids, and kSequence once
};

}  // namespace onepass
