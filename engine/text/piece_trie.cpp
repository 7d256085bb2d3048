#include "engine/text/piece_trie.h"

namespace onepass {

namespace {

constexpr uint32_t kBlock = 256;
// Blocks that may still take nodes; the oldest is closed when one more is opened.
constexpr size_t kOpenBlocks = 16;
// 32 MiB. The largest real vocabularies take a tenth of it.
constexpr size_t kMaxUnits = size_t{1} << 22;
constexpr size_t kInsertionSortLimit = 24;

Error no_memory() noexcept {
  return make_error(Code::out_of_memory, Error::no_offset, "tokenizer", "no memory for the vocabulary");
}

}  // namespace

class PieceTrieBuilder {
 public:
  PieceTrieBuilder(const Pieces& pieces, PieceTrie& trie) noexcept : pieces_(pieces), trie_(trie) {}

  Status run() noexcept {
    for (uint32_t id = 0; id < pieces_.size(); ++id) {
      if (pieces_.literal(id) || pieces_.piece(id).empty()) continue;
      if (!ids_.push_back(id)) return no_memory();
      if (pieces_.piece(id).size() > trie_.longest_) trie_.longest_ = pieces_.piece(id).size();
    }
    if (!sorted_.resize_uninitialized(ids_.size()) || !open_block()) return no_memory();
    // The root's children take the first block for themselves, so that the base of the root is 0.
    ONEPASS_TRY(add_children({kRoot, 0, static_cast<uint32_t>(ids_.size()), 0}));
    for (size_t next = 0; next < queue_.size(); ++next) {
      const Node node = queue_[next];
      ONEPASS_TRY(add_children(node));
    }
    return {};
  }

 private:
  using Unit = PieceTrie::Unit;
  static constexpr uint32_t kRoot = UINT32_MAX;
  static constexpr uint32_t kWords = kBlock / 64;
  static constexpr uint64_t kLowHalves[6] = {0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F,
                                             0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0x00000000FFFFFFFF};

  // A set of the places of a block.
  struct Places {
    uint64_t words[kWords] = {};
  };
  struct Block {
    uint32_t first = 0;
    Places taken;
    Places based;  // bases that a node has
  };

  // A node whose children are still to be made: those of ids_[begin, end), which have `depth` bytes in common.
  struct Node {
    uint32_t unit;
    uint32_t begin;
    uint32_t end;
    uint32_t depth;
  };

  uint8_t byte_at(uint32_t id, uint32_t depth) const noexcept { return static_cast<uint8_t>(pieces_.piece(id)[depth]); }

  // By the byte at `depth`, which all have.
  void sort(uint32_t begin, uint32_t end, uint32_t depth) noexcept {
    uint32_t* ids = ids_.data();
    if (end - begin <= kInsertionSortLimit) {
      for (uint32_t i = begin + 1; i < end; ++i) {
        const uint32_t id = ids[i];
        const uint8_t byte = byte_at(id, depth);
        uint32_t j = i;
        for (; j > begin && byte_at(ids[j - 1], depth) > byte; --j) ids[j] = ids[j - 1];
        ids[j] = id;
      }
      return;
    }
    uint32_t starts[257] = {};
    for (uint32_t i = begin; i < end; ++i) ++starts[byte_at(ids[i], depth) + 1];
    for (size_t byte = 1; byte < 257; ++byte) starts[byte] += starts[byte - 1];
    for (uint32_t i = begin; i < end; ++i) sorted_[begin + starts[byte_at(ids[i], depth)]++] = ids[i];
    std::memcpy(ids + begin, sorted_.data() + begin, (end - begin) * sizeof(uint32_t));
  }

  Status add_children(Node node) noexcept {
    // The piece that ends here comes first; a second one has the same content.
    uint32_t own = kNoPiece;
    for (uint32_t i = node.begin; i < node.end; ++i) {
      const uint32_t id = ids_[i];
      if (pieces_.piece(id).size() != node.depth) continue;
      if (own != kNoPiece) {
        return make_error(Code::duplicate_name, pieces_.file_offset(id > own ? id : own), "tokenizer",
                          "pieces %u and %u have the same content", id < own ? id : own, id > own ? id : own);
      }
      own = id;
      ids_[i] = ids_[node.begin];
      ids_[node.begin] = id;
    }
    const uint32_t begin = node.begin + (own != kNoPiece);
    sort(begin, node.end, node.depth);
    uint8_t bytes[256];
    size_t count = 0;
    for (uint32_t i = begin; i < node.end; ++i) {
      const uint8_t byte = byte_at(ids_[i], node.depth);
      if (count == 0 || bytes[count - 1] != byte) bytes[count++] = byte;
    }
    uint32_t base = 0;
    if (node.unit != kRoot) {
      ONEPASS_TRY(find_base({bytes, count}, &base));
      Unit& unit = trie_.units_[node.unit];
      unit.base = base;
      unit.what |= own == kNoPiece ? PieceTrie::kInner << PieceTrie::kStateShift
                                   : own << PieceTrie::kIdShift | PieceTrie::kInnerPiece << PieceTrie::kStateShift;
    }
    for (uint32_t i = begin; i < node.end;) {
      const uint8_t byte = byte_at(ids_[i], node.depth);
      uint32_t last = i + 1;
      while (last < node.end && byte_at(ids_[last], node.depth) == byte) ++last;
      const uint32_t at = base ^ byte;
      take(at);
      trie_.units_[at] = {0, byte};
      if (last - i == 1) {
        end_piece(trie_.units_[at], ids_[i], node.depth + 1);
      } else if (!queue_.push_back({at, i, last, node.depth + 1})) {
        return no_memory();
      }
      i = last;
    }
    return {};
  }

  void end_piece(Unit& unit, uint32_t id, uint32_t depth) const noexcept {
    const std::string_view piece = pieces_.piece(id);
    const std::string_view rest(piece.data() + depth, piece.size() - depth);
    const auto size = static_cast<uint32_t>(rest.size() < 5 ? rest.size() : 5);
    for (size_t i = 0; i < rest.size() && i < 4; ++i) unit.base |= uint32_t{static_cast<uint8_t>(rest[i])} << (8 * i);
    unit.what |= id << PieceTrie::kIdShift | (PieceTrie::kTail + size) << PieceTrie::kStateShift;
  }

  bool open_block() noexcept {
    const size_t size = trie_.units_.size();
    if (!trie_.units_.resize(size + kBlock)) return false;
    Block& block = blocks_[opened_++ % kOpenBlocks];
    block = {};
    block.first = static_cast<uint32_t>(size);
    return true;
  }

  void take(uint32_t at) noexcept {
    for (Block& block : blocks_) {
      if (block.first != (at & ~(kBlock - 1))) continue;
      block.taken.words[at % kBlock / 64] |= uint64_t{1} << (at % 64);
    }
  }

  // A base that no other node has, and whose children's places are free.
  Status find_base(std::span<const uint8_t> bytes, uint32_t* base) noexcept {
    for (;;) {
      const size_t open = opened_ < kOpenBlocks ? opened_ : kOpenBlocks;
      for (size_t i = 0; i < open; ++i) {
        Block& block = blocks_[(opened_ - 1 - i) % kOpenBlocks];
        if (block.first == 0) continue;  // the root's
        Places fit = bases_with_room(block, bytes);
        for (uint32_t word = 0; word < kWords; ++word) {
          if (fit.words[word] == 0) continue;
          block.based.words[word] |= fit.words[word] & (~fit.words[word] + 1);
          *base = block.first | (64 * word + static_cast<uint32_t>(std::countr_zero(fit.words[word])));
          return {};
        }
      }
      if (trie_.units_.size() + kBlock > kMaxUnits) {
        return make_error(Code::bad_vocabulary, pieces_.file_offset(0), "tokenizer",
                          "the pieces have more than %zu different beginnings, as no real vocabulary has", kMaxUnits);
      }
      if (!open_block()) return no_memory();
    }
  }

  // The bases that are free and have places ^ byte free for all bytes, found for all places of the block at once.
  static Places bases_with_room(const Block& block, std::span<const uint8_t> bytes) noexcept {
    Places fit;
    for (uint32_t word = 0; word < kWords; ++word) fit.words[word] = ~block.based.words[word];
    for (const uint8_t byte : bytes) {
      uint64_t any = 0;
      for (uint32_t word = 0; word < kWords; ++word) {
        uint64_t taken = block.taken.words[word ^ byte / 64];
        for (uint32_t bit = 0; bit < 6; ++bit) {
          if ((byte >> bit & 1) == 0) continue;
          const uint32_t step = 1u << bit;
          taken = (taken >> step & kLowHalves[bit]) | (taken & kLowHalves[bit]) << step;
        }
        any |= fit.words[word] &= ~taken;
      }
      if (any == 0) break;
    }
    return fit;
  }

  const Pieces& pieces_;
  PieceTrie& trie_;
  Array<uint32_t> ids_;
  Array<uint32_t> sorted_;
  Array<Node> queue_;
  Block blocks_[kOpenBlocks];
  size_t opened_ = 0;
};

Status PieceTrie::build(const Pieces& pieces) noexcept { return PieceTrieBuilder(pieces, *this).run(); }

}  // namespace onepass
