// Pieces: the contents of all ids of a tokenizer, as the file has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/core/array.h"
#include "engine/core/cursor.h"
#include "engine/core/result.h"
#include "engine/text/little_endian.h"

namespace onepass {

constexpr uint32_t kMaxPieces = 1u << 20;
constexpr size_t kMaxPieceBytes = 4096;
constexpr uint32_t kNoPiece = UINT32_MAX;

// As stored, above the offset of a piece.
enum PieceFlag : uint32_t {
  piece_literal = 1u << 28,  // only an added token: the model never makes it
  piece_whole = 1u << 29,    // BPE makes this one token of a word with this content
  piece_all_flags = 3u << 28,
};
constexpr uint32_t kPieceOffsetMask = (1u << 28) - 1;

class Pieces {
 public:
  // Reads u32 bytes, count + 1 offsets with flags, and the bytes. The section's bytes outlive the Pieces. An empty
  // piece is an id without content.
  Status read(Cursor& cursor, uint32_t count) noexcept;

  size_t size() const noexcept { return count_; }
  // id < size().
  std::string_view piece(uint32_t id) const noexcept {
    const uint32_t begin = offset(id);
    return {bytes_ + begin, offset(id + 1) - begin};
  }
  uint32_t flags(uint32_t id) const noexcept { return entry(id) & piece_all_flags; }
  bool literal(uint32_t id) const noexcept { return (entry(id) & piece_literal) != 0; }
  // Whether `bytes` bytes may be read at a place inside the pieces.
  bool readable(const char* at, size_t bytes) const noexcept {
    return readable_ - static_cast<size_t>(at - bytes_) >= bytes;
  }
  // Place of a piece in the file, for error messages.
  uint64_t file_offset(uint32_t id) const noexcept { return base_ + offset(id); }

 private:
  uint32_t entry(size_t i) const noexcept { return load_u32(entries_ + 4 * i); }
  uint32_t offset(size_t i) const noexcept { return entry(i) & kPieceOffsetMask; }

  const uint8_t* entries_ = nullptr;  // u32, little-endian, in the file's bytes
  const char* bytes_ = nullptr;
  size_t readable_ = 0;
  uint64_t base_ = 0;
  uint32_t count_ = 0;
};

}  // namespace onepass
