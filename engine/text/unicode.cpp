#include "engine/text/unicode.h"

#include <cstring>

#include "engine/core/utf8.h"

namespace onepass {

namespace {

// A code point's record is kRecords[leaf]: kTop by its high bits, kMiddle by the next kMiddleBits, kLeaf by the last
// kLeafBits, equal blocks stored once. Decompositions: sorted keys, kDecomposeStarts (one more than keys) into a pool
// of UTF-16; those of Hangul syllables are computed. Compatibility decompositions likewise, with one pool.
// Compositions: sorted by the second and then the first character.
#include "engine/text/unicode_tables.inc"

constexpr uint32_t kHangulFirst = 0xAC00;
constexpr uint32_t kHangulCount = 11172;

// Index of `key` in the sorted keys[0, n), or n.
template <class T>
size_t find_key(const T* keys, size_t n, uint32_t key) noexcept {
  size_t low = 0;
  size_t high = n;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (keys[middle] < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < n && keys[low] == key ? low : n;
}

size_t read_pool(const uint16_t* pool, size_t begin, size_t end, uint32_t* out) noexcept {
  size_t length = 0;
  for (size_t i = begin; i < end; ++i) {
    uint32_t c = pool[i];
    if (c >= 0xD800 && c < 0xDC00) c = 0x10000 + ((c - 0xD800) << 10) + (pool[++i] - 0xDC00u);
    out[length++] = c;
  }
  return length;
}

template <class T, size_t N>
size_t look_up(const T (&keys)[N], const uint16_t* starts, const uint16_t* pool, uint32_t code_point,
               uint32_t* out) noexcept {
  const size_t at = find_key(keys, N, code_point);
  return at == N ? 0 : read_pool(pool, starts[at], starts[at + 1], out);
}

template <class T, size_t N>
uint32_t look_up_pair(const T (&seconds)[N], const T (&firsts)[N], const T (&composites)[N], uint32_t first,
                      uint32_t second) noexcept {
  const uint64_t key = uint64_t{second} << 32 | first;
  size_t low = 0;
  size_t high = N;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if ((uint64_t{seconds[middle]} << 32 | firsts[middle]) < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < N && seconds[low] == second && firsts[low] == first ? composites[low] : 0;
}

}  // namespace

const CharInfo& char_info(uint32_t c) noexcept {
  const size_t middle = size_t{kTop[c >> (kLeafBits + kMiddleBits)]} << kMiddleBits;
  const size_t leaf = size_t{kMiddle[middle + (c >> kLeafBits & ((1u << kMiddleBits) - 1))]} << kLeafBits;
  return kRecords[kLeaf[leaf + (c & ((1u << kLeafBits) - 1))]];
}

size_t decompose(uint32_t c, uint32_t out[kMaxDecomposition]) noexcept {
  const uint32_t syllable = c - kHangulFirst;
  if (syllable < kHangulCount) {
    out[0] = 0x1100 + syllable / (21 * 28);
    out[1] = 0x1161 + syllable / 28 % 21;
    out[2] = 0x11A7 + syllable % 28;
    return syllable % 28 == 0 ? 2 : 3;
  }
  if (c < 0x10000) return look_up(kDecomposeKeysBmp, kDecomposeStartsBmp, kDecomposePoolBmp, c, out);
  return look_up(kDecomposeKeysHigh, kDecomposeStartsHigh, kDecomposePoolHigh, c, out);
}

size_t decompose_compat(uint32_t c, uint32_t out[kMaxCompatDecomposition]) noexcept {
  if (c < 0x10000) return look_up(kCompatKeysBmp, kCompatStarts, kCompatPool, c, out);
  constexpr size_t kBmp = sizeof(kCompatKeysBmp) / sizeof(kCompatKeysBmp[0]);
  return look_up(kCompatKeysHigh, kCompatStarts + kBmp, kCompatPool, c, out);
}

uint32_t compose(uint32_t first, uint32_t second) noexcept {
  constexpr uint32_t kL = 0x1100, kV = 0x1161, kT = 0x11A7, kLCount = 19, kVCount = 21, kTCount = 28;
  if (first - kL < kLCount && second - kV < kVCount) {
    return kHangulFirst + ((first - kL) * kVCount + (second - kV)) * kTCount;
  }
  if (first - kHangulFirst < kHangulCount && (first - kHangulFirst) % kTCount == 0 && second - kT - 1 < kTCount - 1) {
    return first + (second - kT);
  }
  const uint32_t composite = look_up_pair(kComposeSecondBmp, kComposeFirstBmp, kComposeCompositeBmp, first, second);
  return composite != 0 ? composite
                        : look_up_pair(kComposeSecondHigh, kComposeFirstHigh, kComposeCompositeHigh, first, second);
}

size_t valid_utf8_prefix(std::string_view text) noexcept {
  size_t pos = 0;
  while (pos < text.size()) {
    uint64_t word;
    while (text.size() - pos >= sizeof(word)) {
      std::memcpy(&word, text.data() + pos, sizeof(word));
      if ((word & 0x8080808080808080) != 0) break;
      pos += sizeof(word);
    }
    while (pos < text.size() && static_cast<uint8_t>(text[pos]) < 0x80) ++pos;
    if (pos == text.size()) break;
    const Utf8Char c = decode_utf8(text, pos);
    if (!c.valid) break;
    pos += c.length;
  }
  return pos;
}

}  // namespace onepass
