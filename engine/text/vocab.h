// Vocab: a hash table over the pieces of WordPiece, built at load. It holds ids. A slot is a tag of 12 hash bits and an
// id of 20, zero when empty; open addressing, linear probing, at most half full. A vocabulary made to cluster is
// refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/core/array.h"
#include "engine/core/result.h"
#include "engine/text/pieces.h"

namespace onepass {

// Different lengths of pieces, in bytes. Real vocabularies have about 20; each costs a look-up at every place of an
// unknown word, so more are refused.
constexpr size_t kMaxPieceLengths = 128;

struct HashedKey;

// The hash of a key: a piece, or a continuing piece without its prefix. The low bits choose the first slot.
uint64_t hash_piece(std::string_view key, bool continuing) noexcept;

class Vocab {
 public:
  // Indexes the pieces, which outlive the Vocab; empty and literal ones are never found. A piece that starts with
  // `continuing_prefix` is found at the start of a word as it is, and inside a word without the prefix.
  Status build(const Pieces& pieces, std::string_view continuing_prefix) noexcept;

  struct Match {
    uint32_t id;      // kNoPiece when nothing matches
    uint32_t length;  // bytes of the text
  };
  // The longest piece that text[0, size) starts with: a piece as it is, or, inside a word (`continuing`), one with
  // the prefix. size > 0; kTextPadding bytes after the text are readable.
  Match longest(const char* text, size_t size, bool continuing) const noexcept;
  std::string_view continuing_prefix() const noexcept { return prefix_; }

 private:
  bool reserve_slots(size_t keys) noexcept;
  // The equal piece that has the key already, kNoPiece when the key went in, or kClustered.
  uint32_t insert(uint32_t id, bool continuing) noexcept;
  bool has_prefix(std::string_view piece) const noexcept {
    return prefix_.empty() || (!piece.empty() && piece[0] == prefix_[0] && piece.starts_with(prefix_));
  }
  Status index_lengths() noexcept;
  std::string_view piece(uint32_t id) const noexcept { return pieces_.piece(id); }
  uint32_t look_up(const HashedKey& key) const noexcept;
  bool equals(uint32_t id, const HashedKey& key) const noexcept;

  Pieces pieces_;
  std::string_view prefix_;
  Array<uint32_t> slots_;
  uint32_t probes_ = 0;            // the most slots that an insertion looked at
  uint16_t longest_[2][256] = {};  // by continuing and first byte: the longest piece
  Array<uint16_t> shorter_[2];     // by continuing and a length: the longest length of a piece up to that, or 0
};

}  // namespace onepass
