#include "engine/text/bpe.h"

#include <algorithm>
#include <utility>

#include "engine/core/utf8.h"
#include "engine/text/kind_row.h"

namespace onepass {

namespace {

constexpr std::string_view kWhere = "tokenizer";
constexpr std::string_view kMark = "\xE2\x96\x81";  // U+2581

// A word of up to this many symbols is merged by looking at all its pairs again and again; a longer one with a heap.
constexpr size_t kShortWord = 32;

Status parse(Cursor& cursor, TokenizerModel& model) noexcept {
  Bpe& bpe = model.bpe;
  const uint64_t offset = cursor.offset();
  bpe.flags = cursor.u32();
  bpe.unk_id = cursor.u32();
  for (uint32_t& id : bpe.byte_ids) id = cursor.u32();
  const uint64_t joining = cursor.offset();
  bpe.joining = cursor.string();
  if (!cursor.ok()) return make_error(Code::truncated, offset, kWhere, "the section ends in the parameters");
  if ((bpe.flags & ~uint32_t{bpe_all_flags}) != 0) {
    return make_error(Code::unknown_flags, offset, kWhere, "unknown flags 0x%x of BPE", bpe.flags);
  }
  const bool has_unk = (bpe.flags & bpe_has_unk) != 0;
  if (has_unk ? bpe.unk_id >= model.pieces.size() : bpe.unk_id != 0) {
    return make_error(Code::bad_value, offset + 4, kWhere, "the unknown token is %u of %zu pieces", bpe.unk_id,
                      model.pieces.size());
  }
  const bool uses_bytes = (bpe.flags & (uint32_t{bpe_byte_level} | bpe_byte_fallback)) != 0;
  for (size_t byte = 0; byte < 256; ++byte) {
    const uint32_t id = bpe.byte_ids[byte];
    if (id != kNoPiece && (!uses_bytes || id >= model.pieces.size())) {
      return make_error(Code::bad_value, offset + 8 + 4 * byte, kWhere, "byte %zu is piece %u of %zu", byte, id,
                        model.pieces.size());
    }
    if (id == kNoPiece && (bpe.flags & bpe_byte_fallback) != 0) {
      return make_error(Code::bad_value, offset + 8 + 4 * byte, kWhere, "byte %zu has no piece to fall back to", byte);
    }
  }
  if (bpe.joining.size() > ((bpe.flags & bpe_cut_before_mark) != 0 ? kMaxJoining : 0) || !is_valid_utf8(bpe.joining)) {
    return make_error(Code::bad_value, joining, kWhere, "characters before a mark: not a list of up to %zu bytes",
                      kMaxJoining);
  }
  ONEPASS_TRY(bpe.index.read(cursor));
  return bpe.merges.read(cursor, model.pieces.size());
}

// Bytes of a byte's character in the library's byte-level alphabet.
uint32_t alphabet_bytes(char byte) noexcept { return byte > 0x20 && byte < 0x7F ? 1 : 2; }

// The library counts the places of a word's tokens in characters of its byte-level alphabet, and leaves out bytes that
// have no token: tokens behind such a byte are too far to the left. This follows it.
class ShiftedPlaces {
 public:
  ShiftedPlaces(const Bpe& bpe, std::string_view word) : bpe_(bpe), word_(word) {}

  // The range in the word of the token for the next `count` bytes that have tokens; count > 0.
  TokenSpan take(uint32_t count) noexcept {
    const uint32_t begin = kept_;
    while (count > 0) {
      const char byte = word_[next_++];
      if (bpe_.byte_ids[static_cast<uint8_t>(byte)] == kNoPiece) continue;
      kept_ += alphabet_bytes(byte);
      --count;
    }
    const uint32_t first = byte_at(begin);
    return {first, byte_at(kept_ - 1) + 1};
  }

 private:
  // The byte of the word at this place of its text in the alphabet; places rise from call to call.
  uint32_t byte_at(uint32_t place) noexcept {
    while (passed_ + alphabet_bytes(word_[at_]) <= place) passed_ += alphabet_bytes(word_[at_++]);
    return at_;
  }

  const Bpe& bpe_;
  std::string_view word_;
  uint32_t next_ = 0;    // of the bytes that tokens take
  uint32_t kept_ = 0;    // places of those so far
  uint32_t at_ = 0;      // of the bytes that places name
  uint32_t passed_ = 0;  // places before it
};

// A heap with the least on top. Eight children share a cache line or two, so that a word of millions of symbols costs a
// third of the misses of a binary heap.
constexpr size_t kHeapArity = 8;

void heap_sink(uint64_t* heap, size_t size, size_t at) noexcept {
  const uint64_t key = heap[at];
  for (size_t child; (child = kHeapArity * at + 1) < size;) {
    const size_t end = std::min(child + kHeapArity, size);
    size_t least = child;
    for (size_t i = child + 1; i < end; ++i) least = heap[i] < heap[least] ? i : least;
    if (heap[least] >= key) break;
    heap[at] = heap[least];
    at = least;
  }
  heap[at] = key;
}

void heap_rise(uint64_t* heap, size_t at) noexcept {
  const uint64_t key = heap[at];
  while (at > 0) {
    const size_t parent = (at - 1) / kHeapArity;
    if (heap[parent] <= key) break;
    heap[at] = heap[parent];
    at = parent;
  }
  heap[at] = key;
}

class Merger {
 public:
  Merger(const TokenizerModel& model, const TextView& view, BpeScratch& scratch, TokenSink& sink)
      : pieces_(model.pieces), bpe_(model.bpe), view_(view), scratch_(scratch), sink_(sink) {}

  bool word(size_t begin, size_t end) {
    dropped_ = false;
    const std::string_view text(view_.data + begin, end - begin);
    if (text.size() <= kMaxPieceBytes) {
      const uint32_t id = bpe_.index.find(pieces_, text, end + kTextPadding <= view_.readable);
      if (id != kNoPiece && ((bpe_.flags & bpe_ignore_merges) != 0 || (pieces_.flags(id) & piece_whole) != 0)) {
        return sink_.add(id, begin, end);
      }
    }
    return text.size() <= kShortWord ? short_word(text, begin) : long_word(text, begin);
  }

 private:
  // Gives the first symbols of a word: put(id, bytes), which returns false to stop. Unknown characters wait for the
  // next one that is known, as in the library.
  template <class Put>
  bool symbols(std::string_view text, Put put) {
    size_t unknown = 0;  // bytes of the unknown token that waits
    const auto flush = [&] { return unknown == 0 || put(bpe_.unk_id, std::exchange(unknown, 0)); };
    for (size_t pos = 0; pos < text.size();) {
      size_t length = 1;
      uint32_t id;
      if ((bpe_.flags & bpe_byte_level) != 0) {
        id = bpe_.byte_ids[static_cast<uint8_t>(text[pos])];
      } else {
        length = decode_valid(text.data() + pos).length;
        const auto place = static_cast<size_t>(text.data() - view_.data) + pos + length;
        id = bpe_.index.find(pieces_, part(text, pos, pos + length), place + kTextPadding <= view_.readable);
      }
      if (id != kNoPiece) {
        if (!flush() || !put(id, length)) return false;
      } else if ((bpe_.flags & bpe_byte_fallback) != 0) {
        for (size_t i = 0; i < length; ++i) {
          if (!put(bpe_.byte_ids[static_cast<uint8_t>(text[pos + i])], 1)) return false;
        }
      } else if ((bpe_.flags & bpe_has_unk) != 0) {
        if ((bpe_.flags & bpe_fuse_unk) == 0 && !flush()) return false;
        unknown += length;
      } else {
        dropped_ = true;
      }
      pos += length;
    }
    return flush();
  }

  bool short_word(std::string_view text, size_t begin) {
    uint32_t ids[kShortWord];
    uint32_t ends[kShortWord];
    uint32_t ranks[kShortWord];  // of a symbol and the next one
    size_t count = 0;
    uint32_t end = 0;
    (void)symbols(text, [&](uint32_t id, size_t bytes) {
      ids[count] = id;
      ends[count++] = end += static_cast<uint32_t>(bytes);
      return true;
    });
    for (size_t i = 0; i + 1 < count; ++i) ranks[i] = bpe_.merges.rank(ids[i], ids[i + 1]);
    while (count > 1) {
      size_t best = 0;
      for (size_t i = 1; i + 1 < count; ++i) best = ranks[i] < ranks[best] ? i : best;
      if (ranks[best] == kNoMerge) break;
      ids[best] = bpe_.merges.result(ranks[best]);
      ends[best] = ends[best + 1];
      --count;
      for (size_t i = best + 1; i < count; ++i) {
        ids[i] = ids[i + 1];
        ends[i] = ends[i + 1];
        ranks[i - 1] = ranks[i];
      }
      if (best + 1 < count) ranks[best] = bpe_.merges.rank(ids[best], ids[best + 1]);
      if (best > 0) ranks[best - 1] = bpe_.merges.rank(ids[best - 1], ids[best]);
    }
    size_t i = 0;
    return emit(text, begin, [&](uint32_t* id, uint32_t* to) {
      if (i == count) return false;
      *id = ids[i];
      *to = ends[i++];
      return true;
    });
  }

  // Gives the tokens of next(&id, &end) to the sink, `end` being what the symbols of the word add up to.
  template <class Next>
  bool emit(std::string_view text, size_t begin, Next next) {
    uint32_t id;
    uint32_t end;
    uint32_t from = 0;
    if (dropped_ && (bpe_.flags & bpe_byte_level) != 0) {
      ShiftedPlaces places(bpe_, text);
      while (next(&id, &end)) {
        const TokenSpan at = places.take(end - from);
        if (!sink_.add_shifted(id, begin + at.begin, begin + at.end, pieces_.piece(id))) return false;
        from = end;
      }
      return true;
    }
    while (next(&id, &end)) {
      if (!sink_.add(id, begin + from, begin + end)) return false;
      from = end;
    }
    return true;
  }

  // An entry of the heap: the rank above the symbol's number. Where the symbol's rank has changed since, it is stale;
  // equal ranks of one symbol are one pair, for what a pair makes only ever grows.
  bool push(uint32_t rank, uint32_t at) {
    if (!scratch_.heap.push_back(uint64_t{rank} << 32 | at)) return false;
    heap_rise(scratch_.heap.data(), scratch_.heap.size() - 1);
    return true;
  }

  bool long_word(std::string_view text, size_t begin) {
    Array<BpeSymbol>& list = scratch_.symbols;
    Array<uint64_t>& heap = scratch_.heap;
    list.clear();
    heap.clear();
    uint32_t end = 0;
    const bool ok = symbols(text, [&](uint32_t id, size_t bytes) {
      end += static_cast<uint32_t>(bytes);
      return list.push_back({id, kNoMerge, end, 0, 0});
    });
    if (!ok) return false;
    const auto count = static_cast<uint32_t>(list.size());
    for (uint32_t i = 0; i < count; ++i) {
      BpeSymbol& symbol = list[i];
      symbol.previous = i - 1;
      symbol.next = i + 1;
      if (i + 1 == count) break;
      symbol.rank = bpe_.merges.rank(symbol.id, list[i + 1].id);
      if (symbol.rank != kNoMerge && !heap.push_back(uint64_t{symbol.rank} << 32 | i)) return false;
    }
    for (size_t i = heap.size() / kHeapArity + 1; i-- > 0;) {
      if (i < heap.size()) heap_sink(heap.data(), heap.size(), i);
    }
    while (!heap.empty()) {
      const uint64_t top = heap[0];
      heap[0] = heap[heap.size() - 1];
      (void)heap.resize(heap.size() - 1);
      if (!heap.empty()) heap_sink(heap.data(), heap.size(), 0);
      const auto at = static_cast<uint32_t>(top);
      const auto rank = static_cast<uint32_t>(top >> 32);
      BpeSymbol& left = list[at];
      if (left.rank != rank) continue;
      const uint32_t right = left.next;
      left.id = bpe_.merges.result(rank);
      left.end = list[right].end;
      list[right].rank = kNoMerge;
      left.next = list[right].next;
      left.rank = kNoMerge;
      if (left.next < count) {
        list[left.next].previous = at;
        left.rank = bpe_.merges.rank(left.id, list[left.next].id);
        if (left.rank != kNoMerge && !push(left.rank, at)) return false;
      }
      if (left.previous < count) {
        BpeSymbol& before = list[left.previous];
        before.rank = bpe_.merges.rank(before.id, left.id);
        if (before.rank != kNoMerge && !push(before.rank, left.previous)) return false;
      }
    }
    uint32_t i = 0;
    return emit(text, begin, [&](uint32_t* id, uint32_t* to) {
      if (i >= count) return false;
      *id = list[i].id;
      *to = list[i].end;
      i = list[i].next;
      return true;
    });
  }

  const Pieces& pieces_;
  const Bpe& bpe_;
  const TextView& view_;
  BpeScratch& scratch_;
  TokenSink& sink_;
  bool dropped_ = false;  // a byte or character of the word has no token
};

// Whether the character that the text starts with is listed.
bool joins(std::string_view listed, std::string_view text) noexcept {
  for (size_t pos = 0; pos < listed.size();) {
    const size_t length = decode_valid(listed.data() + pos).length;
    if (text.starts_with(part(listed, pos, pos + length))) return true;
    pos += length;
  }
  return false;
}

bool tokenize(const TokenizerModel& model, const TextView& view, size_t begin, size_t end, EncodeScratch& scratch,
              TokenSink& sink) noexcept {
  Merger merger(model, view, scratch.bpe, sink);
  if ((model.bpe.flags & bpe_cut_before_mark) == 0) return merger.word(begin, end);
  // Words of a mark, or several, and what follows up to the next one that nothing joins with what is before it.
  const std::string_view text(view.data, end);
  for (size_t from = begin; from < end;) {
    size_t pos = from;
    while (part(text, pos, end).starts_with(kMark)) pos += kMark.size();
    size_t next = std::min(text.find(kMark, pos), end);
    while (next < end && joins(model.bpe.joining, part(text, previous_char(text, next), end))) {
      while (part(text, next, end).starts_with(kMark)) next += kMark.size();
      next = std::min(text.find(kMark, next), end);
    }
    if (!merger.word(from, next)) return false;
    from = next;
  }
  return true;
}

}  // namespace

Status MergeTable::read(Cursor& cursor, size_t pieces) noexcept {
  const uint64_t offset = cursor.offset();
  count_ = cursor.u32();
  slots_count_ = cursor.u32();
  if (cursor.ok() && (count_ > kMaxMerges || slots_count_ > 4 * uint64_t{kMaxMerges})) {
    return make_error(Code::limit_exceeded, offset, kWhere, "%u merges in %llu slots; the limit is %u", count_,
                      static_cast<unsigned long long>(slots_count_), kMaxMerges);
  }
  const auto slots = cursor.bytes(slots_count_ * 8);
  const uint64_t results_offset = cursor.offset();
  const auto results = cursor.bytes(uint64_t{count_} * 4);
  if (!cursor.ok()) return make_error(Code::truncated, offset, kWhere, "the section ends in the merges");
  if (slots_count_ == 0) return make_error(Code::bad_value, offset + 4, kWhere, "a table of merges without a slot");
  slots_ = slots.data();
  results_ = results.data();
  uint32_t highest = 0;
  for (uint32_t i = 0; i < count_; ++i) highest = std::max(highest, result(i));
  if (highest >= pieces) {
    return make_error(Code::bad_value, results_offset, kWhere, "a merge makes piece %u of %zu", highest, pieces);
  }
  return {};
}

const KindRow kBpeRow = {TokenizerKind::bpe, "bpe", false, parse, tokenize};

}  // namespace onepass
