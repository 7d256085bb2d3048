#include "engine/text/piece_index.h"

namespace onepass {

Status PieceIndex::read(Cursor& cursor) noexcept {
  constexpr std::string_view kWhere = "tokenizer";
  const uint64_t offset = cursor.offset();
  const uint32_t count = cursor.u32();
  const auto slots = cursor.bytes(uint64_t{count} * 4);
  if (!cursor.ok()) return make_error(Code::truncated, offset, kWhere, "the section ends in the index of the pieces");
  if (count == 0 || (count & (count - 1)) != 0 || count > 4 * kMaxPieces) {
    return make_error(Code::bad_value, offset, kWhere, "an index of %u slots; the number must be a power of two",
                      count);
  }
  slots_ = slots.data();
  mask_ = count - 1;
  return {};
}

}  // namespace onepass
