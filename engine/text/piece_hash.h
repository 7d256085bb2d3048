// The hash of pieces and words. The low bits choose the first slot of a table, the high ones the tag in it. Tables
// stored in files depend on it: a change needs a new version of the section.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "engine/text/derived_text.h"
#include "engine/text/little_endian.h"
#include "engine/text/pieces.h"

namespace onepass {

// The hash takes 16 bytes a step, so that the hashes of all prefixes of a word cost one step each: the state after
// the whole blocks before a prefix's last 1 to 16 bytes is shared.
constexpr size_t kHashBlock = 16;
static_assert(kTextPadding >= kHashBlock);
constexpr uint64_t kHashSeeds[2] = {0x243F6A8885A308D3, 0x13198A2E03707344};  // of a word's start, of its inside

struct HashBlock {
  uint64_t low;
  uint64_t high;
  bool operator==(const HashBlock&) const = default;
};

// The first `size` <= 16 bytes, zeros after them; all 16 are readable.
inline HashBlock load_padded(const char* p, size_t size) noexcept {
  constexpr uint64_t kAll = ~uint64_t{0};
  const uint64_t low = size >= 8 ? kAll : ~(kAll << (8 * size));
  const uint64_t high = size >= 16 ? kAll : size <= 8 ? 0 : ~(kAll << (8 * (size - 8)));
  return {load_u64(p) & low, load_u64(p + 8) & high};
}

// The same where nothing past p[0, size) may be read.
inline HashBlock load_exact(const char* p, size_t size) noexcept {
  char buffer[kHashBlock] = {};
  if (size != 0) std::memcpy(buffer, p, size);
  return {load_u64(buffer), load_u64(buffer + 8)};
}

inline uint64_t hash_mix(uint64_t state, HashBlock block) noexcept {
  uint64_t h = (state ^ block.low) * 0x9E3779B97F4A7C15;
  h = (h ^ h >> 32 ^ block.high) * 0xD6E8FEB86659FD93;
  return h ^ h >> 29;
}

// Of a key of `size` bytes whose last block, of 1 to 16 bytes, is `tail`; `state` covers the blocks before it.
inline uint64_t hash_finish(uint64_t state, HashBlock tail, size_t size) noexcept {
  const uint64_t h = (hash_mix(state, tail) ^ size) * 0xA0761D6478BD642F;
  return h ^ h >> 32;
}

// A key ready for look-up. `tail` is its last block of 1 to 16 bytes, zero when it is empty.
struct HashedKey {
  const char* text;
  size_t size;
  bool continuing;  // WordPiece: inside a word
  HashBlock tail;
  uint64_t hash;
};

// `padded`: 16 bytes from every byte of the key on may be read.
inline HashedKey hash_key(std::string_view key, bool continuing, bool padded) noexcept {
  uint64_t state = kHashSeeds[continuing];
  size_t pos = 0;
  for (; key.size() - pos > kHashBlock; pos += kHashBlock) {
    state = hash_mix(state, load_padded(key.data() + pos, kHashBlock));
  }
  const HashBlock tail =
      padded ? load_padded(key.data() + pos, key.size() - pos) : load_exact(key.data() + pos, key.size() - pos);
  return {key.data(), key.size(), continuing, tail, hash_finish(state, tail, key.size())};
}

// A slot of a table: 12 bits of the hash above 20 of an id; zero is empty.
constexpr uint32_t kSlotIdBits = 20;
static_assert(kMaxPieces == 1u << kSlotIdBits);
constexpr uint32_t kSlotIdMask = kMaxPieces - 1;
inline uint32_t slot_tag(uint64_t hash) noexcept {
  const auto tag = static_cast<uint32_t>(hash >> 52);
  return (tag == 0 ? 1 : tag) << kSlotIdBits;
}
// Far above what half-full linear probing meets by chance (about 70 among 2^20 keys).
constexpr uint32_t kMaxProbes = 256;

}  // namespace onepass
