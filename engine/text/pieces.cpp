#include "engine/text/pieces.h"

namespace onepass {

Status Pieces::read(Cursor& cursor, uint32_t count) noexcept {
  constexpr std::string_view kWhere = "tokenizer";
  if (count == 0 || count > kMaxPieces) {
    return make_error(Code::limit_exceeded, cursor.offset(), kWhere, "%u pieces; the limit is 1 to %u", count,
                      kMaxPieces);
  }
  const uint64_t start = cursor.offset();
  const uint32_t size = cursor.u32();
  const auto entries = cursor.bytes((uint64_t{count} + 1) * 4);
  const uint64_t base = cursor.offset();
  const auto bytes = cursor.bytes(size);
  if (!cursor.ok()) return make_error(Code::truncated, start, kWhere, "%u pieces do not fit the section", count);
  entries_ = entries.data();
  bytes_ = reinterpret_cast<const char*>(bytes.data());
  readable_ = bytes.size() + cursor.remaining();
  base_ = base;
  count_ = count;
  uint32_t longest = 0;
  uint32_t previous = 0;
  bool ordered = offset(0) == 0;
  uint32_t flags = 0;
  for (uint32_t i = 1; i <= count; ++i) {
    const uint32_t e = load_u32(entries.data() + 4 * size_t{i});
    const uint32_t at = e & kPieceOffsetMask;
    flags |= e;
    ordered = ordered && at >= previous;
    longest = at - previous > longest ? at - previous : longest;
    previous = at;
  }
  flags |= entry(0);
  if (!ordered || entry(count) != size) {
    return make_error(Code::bad_value, start + 4, kWhere, "the places of the pieces do not rise from 0 to %u", size);
  }
  if ((flags & ~(piece_all_flags | kPieceOffsetMask)) != 0) {
    return make_error(Code::unknown_flags, start + 4, kWhere, "unknown flags 0x%x of a piece",
                      flags & ~(piece_all_flags | kPieceOffsetMask));
  }
  if (longest > kMaxPieceBytes) {
    return make_error(Code::limit_exceeded, start + 4, kWhere, "a piece of %u bytes; the limit is %zu", longest,
                      kMaxPieceBytes);
  }
  return {};
}

}  // namespace onepass
