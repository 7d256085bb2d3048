// Byte pair encoding: a word is cut into bytes or characters, and the pair of neighbours that the file ranks lowest
// becomes one token, again and again, the leftmost of equals first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/core/cursor.h"
#include "engine/core/result.h"
#include "engine/text/little_endian.h"
#include "engine/text/piece_index.h"

namespace onepass {

// As stored in a model file.
enum BpeFlag : uint32_t {
  bpe_byte_level = 1 << 0,       // pieces are bytes, and a word starts as its bytes; else as its characters
  bpe_ignore_merges = 1 << 1,    // a word that is a piece is that one token
  bpe_byte_fallback = 1 << 2,    // an unknown character is its bytes
  bpe_fuse_unk = 1 << 3,         // neighbouring unknown characters are one unknown token
  bpe_has_unk = 1 << 4,          // without it what is unknown is dropped
  bpe_cut_before_mark = 1 << 5,  // no merge joins U+2581 with a character before it that is not listed
  bpe_all_flags = (1 << 6) - 1,
};

constexpr uint32_t kMaxMerges = 1u << 21;
constexpr uint32_t kNoMerge = UINT32_MAX;

// The merges by pair, in a hash table that the file holds. A slot is bit 63, the left and the right id of 20 bits, and
// the rank of 21; zero is empty. Linear probing.
class MergeTable {
 public:
  // Reads u32 merges, u32 slots, the slots and the result of every merge by rank; `pieces` limits the results.
  Status read(Cursor& cursor, size_t pieces) noexcept;

  // The rank of the pair, or kNoMerge.
  uint32_t rank(uint32_t left, uint32_t right) const noexcept {
    const uint64_t key = key_of(left, right);
    uint64_t at = first_slot(key, slots_count_);
    for (uint32_t probe = 0; probe < kMaxProbes; ++probe) {
      const uint64_t slot = load_u64(slots_ + 8 * at);
      if (slot >> kRankBits == key) {
        const auto rank = static_cast<uint32_t>(slot & (kMaxMerges - 1));
        return rank < count_ ? rank : kNoMerge;
      }
      if (slot == 0) break;
      if (++at == slots_count_) at = 0;
    }
    return kNoMerge;
  }
  uint32_t result(uint32_t rank) const noexcept { return load_u32(results_ + 4 * size_t{rank}); }

  static constexpr uint32_t kRankBits = 21;
  static uint64_t key_of(uint32_t left, uint32_t right) noexcept {
    return uint64_t{1} << 42 | uint64_t{left} << 20 | right;
  }
  // `slots` > 0 and below 2^32.
  static uint64_t first_slot(uint64_t key, uint64_t slots) noexcept {
    uint64_t h = key * 0x9E3779B97F4A7C15;
    h ^= h >> 32;
    h *= 0xD6E8FEB86659FD93;
    return (h >> 32) * slots >> 32;
  }

 private:
  const uint8_t* slots_ = nullptr;
  const uint8_t* results_ = nullptr;
  uint64_t slots_count_ = 0;
  uint32_t count_ = 0;
};
static_assert(kMaxMerges == 1u << MergeTable::kRankBits);

// Bytes of the characters that bpe_cut_before_mark excepts, together.
constexpr size_t kMaxJoining = 64;

struct Bpe {
  uint32_t flags = 0;
  uint32_t unk_id = 0;
  uint32_t byte_ids[256] = {};  // kNoPiece where there is none
  std::string_view joining;     // characters that some merge joins with U+2581 behind them
  PieceIndex index;
  MergeTable merges;
};

}  // namespace onepass
