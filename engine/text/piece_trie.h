// PieceTrie: every piece that a text starts with, shortest first. A double array built at load.
//
// A node's children lie at its base ^ byte, and each knows its byte, so a step is one load. Where one piece alone is
// left below a node, the node ends the trie and holds the piece's next bytes itself.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/core/array.h"
#include "engine/core/result.h"
#include "engine/text/pieces.h"

namespace onepass {

class PieceTrie {
 public:
  // Takes every piece with content that is no literal. Errors: duplicate_name, bad_vocabulary (more nodes than any real
  // vocabulary has), out_of_memory.
  Status build(const Pieces& pieces) noexcept;

  size_t longest() const noexcept { return longest_; }  // bytes of a piece
  size_t bytes() const noexcept { return units_.size() * sizeof(Unit); }

  // on_piece(id, length) for every piece that text[0, size) starts with; 4 bytes more are readable. `pieces` are those
  // that the trie was built of.
  template <class OnPiece>
  void prefixes(const Pieces& pieces, const char* text, size_t size, OnPiece on_piece) const noexcept {
    const Unit* units = units_.data();
    uint32_t base = 0;
    for (size_t i = 0; i < size;) {
      const auto byte = static_cast<uint8_t>(text[i]);
      const Unit unit = units[base ^ byte];
      const uint32_t state = unit.what >> kStateShift & kStateMask;
      if (state == kFree || (unit.what & 0xFF) != byte) return;
      ++i;
      base = unit.base;
      if (state == kInner) continue;
      const uint32_t id = unit.what >> kIdShift;
      if (state == kInnerPiece) {
        on_piece(id, i);
        continue;
      }
      const uint32_t rest = state - kTail;
      if (rest <= 4) {
        if (rest <= size - i && load_bytes(text + i, rest) == unit.base) on_piece(id, i + rest);
      } else if (size - i > 4 && load_bytes(text + i, 4) == unit.base) {
        const std::string_view piece = pieces.piece(id);
        if (piece.size() <= size && std::memcmp(piece.data() + i, text + i, piece.size() - i) == 0) {
          on_piece(id, piece.size());
        }
      }
      return;
    }
  }
  // The id of the piece text[0, size), or kNoPiece; 4 bytes more are readable.
  uint32_t find(const Pieces& pieces, const char* text, size_t size) const noexcept {
    uint32_t found = kNoPiece;
    prefixes(pieces, text, size, [&](uint32_t id, size_t length) { found = length == size ? id : found; });
    return found;
  }

 private:
  friend class PieceTrieBuilder;

  struct Unit {
    uint32_t base;  // of a tail: its first 4 bytes, zeros after its end
    uint32_t what;  // bits 0-7 the byte, 8-11 the state, 12-31 the id of the piece
  };
  static constexpr uint32_t kStateShift = 8;
  static constexpr uint32_t kStateMask = 15;
  static constexpr uint32_t kIdShift = 12;
  static_assert(kMaxPieces <= 1u << (32 - kIdShift));
  // States.
  static constexpr uint32_t kFree = 0;
  static constexpr uint32_t kInner = 1;
  static constexpr uint32_t kInnerPiece = 2;  // inner, and a piece ends here
  static constexpr uint32_t kTail = 3;        // and up to 5 more: one piece is left, with as many bytes; 5: or more

  // The first `size` <= 4 bytes; all 4 are readable.
  static uint32_t load_bytes(const char* p, size_t size) noexcept {
    uint32_t bytes;
    std::memcpy(&bytes, p, 4);
    if constexpr (std::endian::native == std::endian::big) bytes = __builtin_bswap32(bytes);
    return size == 4 ? bytes : bytes & ((1u << 8 * size) - 1);
  }

  Array<Unit> units_;  // of whole blocks of 256, the first being the root's children
  size_t longest_ = 0;
};

}  // namespace onepass
