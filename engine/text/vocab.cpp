#include "engine/text/vocab.h"

#include <bit>
#include <cstring>

#include "engine/core/utf8.h"
#include "engine/text/derived_text.h"

namespace onepass {

namespace {

// The hash takes 16 bytes a step, so that the hashes of all prefixes of a word cost one step each: the state after
// the whole blocks before a prefix's last 1 to 16 bytes is shared.
constexpr size_t kBlock = 16;
static_assert(kTextPadding >= kBlock);
constexpr uint64_t kSeeds[2] = {0x243F6A8885A308D3, 0x13198A2E03707344};  // of a word's start, of its inside

// Far above what half-full linear probing meets by chance (about 70 among 2^20 keys).
constexpr uint32_t kMaxProbes = 256;
constexpr uint32_t kClustered = kNoPiece - 1;
constexpr uint32_t kIdBits = 20;
static_assert(kMaxPieces == 1u << kIdBits);
constexpr uint32_t kIdMask = kMaxPieces - 1;

struct Block {
  uint64_t low;
  uint64_t high;
  bool operator==(const Block&) const = default;
};

uint64_t load_word(const char* p) noexcept {
  uint64_t word;
  std::memcpy(&word, p, sizeof(word));
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

// The first `size` <= 16 bytes, zeros after them; all 16 are readable.
Block load_padded(const char* p, size_t size) noexcept {
  constexpr uint64_t kAll = ~uint64_t{0};
  const uint64_t low = size >= 8 ? kAll : ~(kAll << (8 * size));
  const uint64_t high = size >= 16 ? kAll : size <= 8 ? 0 : ~(kAll << (8 * (size - 8)));
  return {load_word(p) & low, load_word(p + 8) & high};
}

// The same where nothing past p[0, size) may be read.
Block load_exact(const char* p, size_t size) noexcept {
  char buffer[kBlock] = {};
  if (size != 0) std::memcpy(buffer, p, size);
  return {load_word(buffer), load_word(buffer + 8)};
}

uint64_t mix(uint64_t state, Block block) noexcept {
  uint64_t h = (state ^ block.low) * 0x9E3779B97F4A7C15;
  h = (h ^ h >> 32 ^ block.high) * 0xD6E8FEB86659FD93;
  return h ^ h >> 29;
}

// Of a key of `size` bytes whose last block, of 1 to 16 bytes, is `tail`; `state` covers the blocks before it.
uint64_t finish(uint64_t state, Block tail, size_t size) noexcept {
  const uint64_t h = (mix(state, tail) ^ size) * 0xA0761D6478BD642F;
  return h ^ h >> 32;
}

uint32_t tag_of(uint64_t hash) noexcept {
  const auto tag = static_cast<uint32_t>(hash >> 52);
  return (tag == 0 ? 1 : tag) << kIdBits;
}

// May say no of a text that is, never yes of one that is not. `after`: bytes that may be read behind the text.
bool is_short_ascii(std::string_view text, size_t after) noexcept {
  if (text.size() > kBlock || text.size() + after < kBlock) return false;
  const Block block = load_padded(text.data(), text.size());
  return ((block.low | block.high) & 0x8080808080808080) == 0;
}

}  // namespace

// What look_up needs of a key. `tail` is its last block of 1 to 16 bytes, zero when it is empty.
struct HashedKey {
  const char* text;
  size_t size;
  bool continuing;
  Block tail;
  uint64_t hash;
};

namespace {

// `padded`: 16 bytes from every byte of the key on may be read.
HashedKey hash_key(std::string_view key, bool continuing, bool padded) noexcept {
  uint64_t state = kSeeds[continuing];
  size_t pos = 0;
  for (; key.size() - pos > kBlock; pos += kBlock) state = mix(state, load_padded(key.data() + pos, kBlock));
  const Block tail =
      padded ? load_padded(key.data() + pos, key.size() - pos) : load_exact(key.data() + pos, key.size() - pos);
  return {key.data(), key.size(), continuing, tail, finish(state, tail, key.size())};
}

}  // namespace

uint64_t hash_piece(std::string_view key, bool continuing) noexcept { return hash_key(key, continuing, false).hash; }

bool Vocab::reserve_slots(size_t keys) noexcept { return slots_.resize(std::bit_ceil(keys < 8 ? 16 : 2 * keys)); }

bool Vocab::equals(uint32_t id, const HashedKey& key) const noexcept {
  std::string_view candidate = piece(id);
  if (key.continuing) {
    if (!has_prefix(candidate)) return false;
    candidate.remove_prefix(prefix_.size());
  }
  if (candidate.size() != key.size) return false;
  if (key.size <= kBlock && pieces_.readable(candidate.data(), kBlock)) {
    return load_padded(candidate.data(), key.size) == key.tail;
  }
  return std::memcmp(candidate.data(), key.text, key.size) == 0;
}

uint32_t Vocab::look_up(const HashedKey& key) const noexcept {
  const size_t mask = slots_.size() - 1;
  const uint32_t tag = tag_of(key.hash);
  for (uint32_t probe = 0; probe < probes_; ++probe) {
    const uint32_t slot = slots_[(key.hash + probe) & mask];
    if (slot == 0) break;
    if ((slot & ~kIdMask) == tag && equals(slot & kIdMask, key)) return slot & kIdMask;
  }
  return kNoPiece;
}

uint32_t Vocab::insert(uint32_t id, bool continuing) noexcept {
  std::string_view content = piece(id);
  if (continuing) content.remove_prefix(prefix_.size());
  const HashedKey key = hash_key(content, continuing, pieces_.readable(content.data() + content.size(), kBlock));
  const size_t mask = slots_.size() - 1;
  const uint32_t tag = tag_of(key.hash);
  for (uint32_t probe = 0; probe < kMaxProbes; ++probe) {
    uint32_t& slot = slots_[(key.hash + probe) & mask];
    if (slot == 0) {
      slot = tag | id;
      if (probe >= probes_) probes_ = probe + 1;
      uint16_t& longest = longest_[continuing][content.empty() ? 0 : static_cast<uint8_t>(content[0])];
      if (content.size() > longest) longest = static_cast<uint16_t>(content.size());
      return kNoPiece;
    }
    if ((slot & ~kIdMask) == tag && equals(slot & kIdMask, key)) return slot & kIdMask;
  }
  return kClustered;
}

Status Vocab::index_lengths() noexcept {
  for (const bool continuing : {false, true}) {
    size_t longest = 0;
    for (const uint16_t length : longest_[continuing]) longest = length > longest ? length : longest;
    Array<uint16_t>& shorter = shorter_[continuing];
    if (!shorter.resize(longest + 1)) {
      return make_error(Code::out_of_memory, Error::no_offset, "tokenizer", "no memory for the vocabulary");
    }
    for (uint32_t id = 0; id < pieces_.size(); ++id) {
      size_t length = piece(id).size();
      if (pieces_.literal(id) || (continuing && !has_prefix(piece(id)))) continue;
      if (continuing) length -= prefix_.size();
      if (length <= longest) shorter[length] = static_cast<uint16_t>(length);
    }
    size_t lengths = 0;
    for (size_t i = 1; i <= longest; ++i) {
      lengths += shorter[i] == i;
      if (shorter[i] != i) shorter[i] = shorter[i - 1];
    }
    if (lengths > kMaxPieceLengths) {
      return make_error(Code::bad_vocabulary, pieces_.file_offset(0), "tokenizer",
                        "pieces of %zu different lengths, as no real vocabulary has; the limit is %zu", lengths,
                        kMaxPieceLengths);
    }
  }
  return {};
}

Status Vocab::build(const Pieces& pieces, std::string_view continuing_prefix) noexcept {
  pieces_ = pieces;
  prefix_ = continuing_prefix;
  size_t keys = 0;
  for (uint32_t id = 0; id < pieces.size(); ++id) {
    const std::string_view text = piece(id);
    if (!is_short_ascii(text, pieces.readable(text.data(), kBlock) ? kBlock : 0) && !is_valid_utf8(text)) {
      return make_error(Code::bad_utf8, pieces.file_offset(id), "tokenizer", "piece %u is not valid UTF-8", id);
    }
    keys += has_prefix(text) ? 2 : 1;
  }
  if (!reserve_slots(keys)) {
    return make_error(Code::out_of_memory, Error::no_offset, "tokenizer", "no memory for the vocabulary");
  }
  for (uint32_t id = 0; id < pieces.size(); ++id) {
    const std::string_view text = piece(id);
    if (text.empty() || pieces.literal(id)) continue;
    uint32_t other = has_prefix(text) ? insert(id, true) : kNoPiece;
    if (other == kNoPiece) other = insert(id, false);
    if (other == kClustered) {
      return make_error(Code::bad_vocabulary, pieces.file_offset(id), "tokenizer",
                        "the pieces cluster in the hash table as no real vocabulary does; the file is hostile or "
                        "damaged");
    }
    if (other != kNoPiece) {
      return make_error(Code::duplicate_name, pieces.file_offset(id), "tokenizer",
                        "pieces %u and %u have the same content", other, id);
    }
  }
  return index_lengths();
}

Vocab::Match Vocab::longest(const char* text, size_t size, bool continuing) const noexcept {
  size_t length = longest_[continuing][static_cast<uint8_t>(text[0])];
  if (length > size) length = size;
  uint64_t states[kMaxPieceBytes / kBlock + 1];
  states[0] = kSeeds[continuing];
  for (size_t i = 1; i * kBlock < length; ++i) {
    states[i] = mix(states[i - 1], load_padded(text + (i - 1) * kBlock, kBlock));
  }
  for (length = shorter_[continuing][length]; length != 0; length = shorter_[continuing][length - 1]) {
    if (length < size && (static_cast<uint8_t>(text[length]) & 0xC0) == 0x80) continue;
    const size_t block = (length - 1) / kBlock;
    const Block tail = load_padded(text + block * kBlock, length - block * kBlock);
    const uint32_t id = look_up({text, length, continuing, tail, finish(states[block], tail, length)});
    if (id != kNoPiece) return {id, static_cast<uint32_t>(length)};
  }
  return {kNoPiece, 0};
}

}  // namespace onepass
