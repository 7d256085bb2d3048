// PieceIndex: finds a piece by its whole content, in a hash table that the file holds.
//
// Open addressing with linear probing; a slot is a tag of 12 hash bits above an id of 20. The table is trusted with
// nothing: ids are checked and contents compared, so a damaged one only hides pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/core/cursor.h"
#include "engine/core/result.h"
#include "engine/text/piece_hash.h"
#include "engine/text/pieces.h"

namespace onepass {

class PieceIndex {
 public:
  // Reads u32 number of slots, a power of two, and the slots. The section's bytes outlive the index.
  Status read(Cursor& cursor) noexcept;

  // The id of the piece, or kNoPiece. `padded`: kTextPadding bytes past the key may be read.
  uint32_t find(const Pieces& pieces, std::string_view key, bool padded) const noexcept {
    const HashedKey hashed = hash_key(key, false, padded);
    const uint32_t tag = slot_tag(hashed.hash);
    for (uint32_t probe = 0; probe < kMaxProbes; ++probe) {
      const uint32_t slot = load_u32(slots_ + 4 * ((hashed.hash + probe) & mask_));
      if (slot == 0) break;
      if ((slot & ~kSlotIdMask) == tag && equals(pieces, slot & kSlotIdMask, hashed)) return slot & kSlotIdMask;
    }
    return kNoPiece;
  }

 private:
  static bool equals(const Pieces& pieces, uint32_t id, const HashedKey& key) noexcept {
    if (id >= pieces.size()) return false;
    const std::string_view candidate = pieces.piece(id);
    if (candidate.size() != key.size || pieces.literal(id)) return false;
    if (key.size <= kHashBlock && pieces.readable(candidate.data(), kHashBlock)) {
      return load_padded(candidate.data(), key.size) == key.tail;
    }
    return std::memcmp(candidate.data(), key.text, key.size) == 0;
  }

  const uint8_t* slots_ = nullptr;
  uint64_t mask_ = 0;
};

}  // namespace onepass
