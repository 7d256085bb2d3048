// Vocab: the pieces of a model and a hash table over them, built at load.
//
// The pieces stay where the file has them; the table holds ids. A slot is a tag of 12 hash bits and an id of 20, zero
// when empty; open addressing, linear probing, at most half full. A vocabulary made to cluster is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/core/array.h"
#include "engine/core/cursor.h"
#include "engine/core/result.h"

namespace onepass {

constexpr uint32_t kMaxPieces = 1u << 20;
constexpr size_t kMaxPieceBytes = 4096;
// Different lengths of pieces, in bytes. Real vocabularies have about 20; each costs a look-up at every place of an
// unknown word, so more are refused.
constexpr size_t kMaxPieceLengths = 128;
constexpr uint32_t kNoPiece = UINT32_MAX;

struct HashedKey;

// The hash of a key: a piece, or a continuing piece without its prefix. The low bits choose the first slot.
uint64_t hash_piece(std::string_view key, bool continuing) noexcept;

class Vocab {
 public:
  // Reads `count` strings and indexes them. A piece that starts with `continuing_prefix` can be found, without the
  // prefix, inside a word. `word_initial_prefix` says whether a word may start with the prefix and go on: such
  // pieces are then also found, with the prefix, at the start of a word. The section's bytes outlive the Vocab.
  Status read(Cursor& cursor, uint32_t count, std::string_view continuing_prefix, bool word_initial_prefix) noexcept;

  size_t size() const noexcept { return count_; }
  std::string_view piece(uint32_t id) const noexcept {
    return {bytes_ + offsets_[id], offsets_[id + 1] - offsets_[id] - 4};
  }
  // The id of a piece by its whole content, or kNoPiece.
  uint32_t find(std::string_view piece) const noexcept;

  struct Match {
    uint32_t id;      // kNoPiece when nothing matches
    uint32_t length;  // bytes of the text
  };
  // The longest piece that text[0, size) starts with: a piece as it is, or, inside a word (`continuing`), one with
  // the prefix. size > 0; kTextPadding bytes after the text are readable.
  Match longest(const char* text, size_t size, bool continuing) const noexcept;

 private:
  bool reserve_slots(size_t keys) noexcept;
  // The equal piece that has the key already, kNoPiece when the key went in, or kClustered.
  uint32_t insert(uint32_t id, bool continuing) noexcept;
  bool has_prefix(std::string_view piece) const noexcept {
    return prefix_.empty() || (!piece.empty() && piece[0] == prefix_[0] && piece.starts_with(prefix_));
  }
  Status index_lengths(uint64_t offset) noexcept;
  bool readable_block(const char* text) const noexcept;
  uint32_t look_up(const HashedKey& key) const noexcept;
  bool equals(uint32_t id, const HashedKey& key) const noexcept;

  const char* bytes_ = nullptr;  // offsets_ count from here
  size_t readable_ = 0;          // bytes of the section from there
  std::string_view prefix_;
  uint32_t count_ = 0;
  Array<uint32_t> offsets_;  // of every piece, and past the end as if one more followed
  Array<uint32_t> slots_;
  uint32_t probes_ = 0;            // the most slots that an insertion looked at
  uint16_t longest_[2][256] = {};  // by continuing and first byte: the longest piece
  Array<uint16_t> shorter_[2];     // by continuing and a length: the longest length of a piece up to that, or 0
};

}  // namespace onepass
