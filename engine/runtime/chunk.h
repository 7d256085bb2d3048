// Chunks: a text of more tokens than a pass reads, cut into overlapping parts at the ends of sentences or words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/core/array.h"
#include "engine/core/result.h"
#include "engine/text/tokenizer.h"

namespace onepass {

// What a chunk is: the model reads text[begin, end) exactly as if that were a text of its own.
struct Chunk {
  uint64_t begin = 0, end = 0;
  uint32_t tokens = 0;      // that the model is fed, template tokens included
  uint32_t new_tokens = 0;  // of the text, that no chunk before had
};

// Where a chunk that begins at `begin` and may reach to `limit` ends: after the last sentence that ends in its second
// half; else after its last word; else at `limit`, or before the character that `limit` would cut. A sentence ends
// with . ! ? or their likes, closing quotes and brackets included, before a space or the end, or before an empty line;
// so abbreviations count, too. Requires begin < limit <= text.size(); the result is in (begin, limit], or the end of
// the first character where that alone is beyond `limit`.
size_t chunk_end(std::string_view text, size_t begin, size_t limit) noexcept;

// Where the chunk after one that ends at `end` begins, if it may begin at `from`: with the first sentence that begins
// in the first half of [from, end), else with the first word that begins there, else behind the spaces after `end`.
size_t chunk_begin(std::string_view text, size_t from, size_t end) noexcept;

struct ChunkOptions {
  size_t max_tokens = 0;  // of a chunk, template tokens included
  size_t overlap = 0;     // tokens that two neighbours share at most, and no more than half their bytes
};

// The chunks of one text, in order.
class Chunker {
 public:
  Chunker() noexcept = default;
  // Requires 4 * overlap + special tokens <= max_tokens, and room for one token of the text.
  Chunker(const Tokenizer& tokenizer, std::string_view text, const ChunkOptions& options) noexcept
      : tokenizer_(&tokenizer), text_(text), options_(options) {}

  bool done() const noexcept { return done_; }
  // Appends the ids of the next chunk. Requires !done(). `spans` is scratch. Reading a whole text takes time that is
  // proportional to its length.
  Status next(EncodeScratch& scratch, Array<TokenSpan>& spans, Array<uint32_t>& ids, Chunk& chunk) noexcept;

 private:
  const Tokenizer* tokenizer_ = nullptr;
  std::string_view text_;
  ChunkOptions options_;
  size_t begin_ = 0;
  size_t read_ = 0;  // the end of the chunk before
  bool done_ = false;
};

}  // namespace onepass
