#include "engine/text/vocab.h"

#include <bit>
#include <cstring>

#include "engine/core/utf8.h"
#include "engine/text/piece_hash.h"

namespace onepass {

namespace {

constexpr uint32_t kClustered = kNoPiece - 1;

// May say no of a text that is, never yes of one that is not. `after`: bytes that may be read behind the text.
bool is_short_ascii(std::string_view text, size_t after) noexcept {
  if (text.size() > kHashBlock || text.size() + after < kHashBlock) return false;
  const HashBlock block = load_padded(text.data(), text.size());
  return ((block.low | block.high) & 0x8080808080808080) == 0;
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
  if (key.size <= kHashBlock && pieces_.readable(candidate.data(), kHashBlock)) {
    return load_padded(candidate.data(), key.size) == key.tail;
  }
  return std::memcmp(candidate.data(), key.text, key.size) == 0;
}

uint32_t Vocab::look_up(const HashedKey& key) const noexcept {
  const size_t mask = slots_.size() - 1;
  const uint32_t tag = slot_tag(key.hash);
  for (uint32_t probe = 0; probe < probes_; ++probe) {
    const uint32_t slot = slots_[(static_cast<size_t>(key.hash) + probe) & mask];
    if (slot == 0) break;
    if ((slot & ~kSlotIdMask) == tag && equals(slot & kSlotIdMask, key)) return slot & kSlotIdMask;
  }
  return kNoPiece;
}

uint32_t Vocab::insert(uint32_t id, bool continuing) noexcept {
  std::string_view content = piece(id);
  if (continuing) content.remove_prefix(prefix_.size());
  const HashedKey key = hash_key(content, continuing, pieces_.readable(content.data() + content.size(), kHashBlock));
  const size_t mask = slots_.size() - 1;
  const uint32_t tag = slot_tag(key.hash);
  for (uint32_t probe = 0; probe < kMaxProbes; ++probe) {
    uint32_t& slot = slots_[(static_cast<size_t>(key.hash) + probe) & mask];
    if (slot == 0) {
      slot = tag | id;
      if (probe >= probes_) probes_ = probe + 1;
      uint16_t& longest = longest_[continuing][content.empty() ? 0 : static_cast<uint8_t>(content[0])];
      if (content.size() > longest) longest = static_cast<uint16_t>(content.size());
      return kNoPiece;
    }
    if ((slot & ~kSlotIdMask) == tag && equals(slot & kSlotIdMask, key)) return slot & kSlotIdMask;
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
    if (!is_short_ascii(text, pieces.readable(text.data(), kHashBlock) ? kHashBlock : 0) && !is_valid_utf8(text)) {
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
  uint64_t states[kMaxPieceBytes / kHashBlock + 1];
  states[0] = kHashSeeds[continuing];
  for (size_t i = 1; i * kHashBlock < length; ++i) {
    states[i] = hash_mix(states[i - 1], load_padded(text + (i - 1) * kHashBlock, kHashBlock));
  }
  for (length = shorter_[continuing][length]; length != 0; length = shorter_[continuing][length - 1]) {
    if (length < size && (static_cast<uint8_t>(text[length]) & 0xC0) == 0x80) continue;
    const size_t block = (length - 1) / kHashBlock;
    const HashBlock tail = load_padded(text + block * kHashBlock, length - block * kHashBlock);
    const uint32_t id = look_up({text, length, continuing, tail, hash_finish(states[block], tail, length)});
    if (id != kNoPiece) return {id, static_cast<uint32_t>(length)};
  }
  return {kNoPiece, 0};
}

}  // namespace onepass
