#include "engine/text/unigram.h"

#include <cmath>
#include <limits>

#include "engine/text/kind_row.h"
#include "engine/text/unicode.h"

namespace onepass {

namespace {

constexpr std::string_view kWhere = "tokenizer";
constexpr uint32_t kByteFallback = 1;
constexpr double kUnknownPenalty = 10;
constexpr double kUnreached = -std::numeric_limits<double>::infinity();

// A step of a path: its id and its bytes - 1.
constexpr uint32_t kLengthBits = 12;
static_assert(kMaxPieceBytes <= 1u << kLengthBits && kMaxPieces <= 1u << (32 - kLengthBits));
constexpr uint32_t pack(uint32_t id, size_t length) { return id << kLengthBits | static_cast<uint32_t>(length - 1); }
constexpr uint32_t id_of(uint32_t step) { return step >> kLengthBits; }
constexpr size_t length_of(uint32_t step) { return (step & ((1u << kLengthBits) - 1)) + 1; }

Error no_memory() noexcept {
  return make_error(Code::out_of_memory, Error::no_offset, kWhere, "no memory for the vocabulary");
}

Status read_scores(Cursor& cursor, const Pieces& pieces, Unigram& model) noexcept {
  double lowest = -kUnreached;
  if (!model.scores.resize_uninitialized(pieces.size())) return no_memory();
  for (uint32_t id = 0; id < pieces.size(); ++id) {
    const uint64_t offset = cursor.offset();
    const double score = cursor.f64();
    if (!cursor.ok())
      return make_error(Code::truncated, offset, kWhere, "the section ends in the score of piece %u", id);
    if (!std::isfinite(score)) return make_error(Code::non_finite, offset, kWhere, "the score of piece %u", id);
    if (std::fabs(score) > kMaxUnigramScore) {
      return make_error(Code::limit_exceeded, offset, kWhere, "a score of %g for piece %u; the limit is %g", score, id,
                        kMaxUnigramScore);
    }
    model.scores[id] = score;
    if (pieces.literal(id) || pieces.piece(id).empty()) {
      if (score != 0 || std::signbit(score)) {
        return make_error(Code::bad_value, offset, kWhere, "a score for piece %u, which the model does not know", id);
      }
    } else if (score < lowest) {
      lowest = score;
    }
  }
  model.unk_score = lowest - kUnknownPenalty;
  return {};
}

// A path steps from character to character, so every piece must end where one does.
Status check_characters(const Pieces& pieces) noexcept {
  const std::string_view first = pieces.piece(0);
  const std::string_view last = pieces.piece(static_cast<uint32_t>(pieces.size() - 1));
  const std::string_view all(first.data(), static_cast<size_t>(last.data() + last.size() - first.data()));
  const size_t valid = valid_utf8_prefix(all);
  for (uint32_t id = 0; id < pieces.size(); ++id) {
    const std::string_view piece = pieces.piece(id);
    if (piece.empty()) continue;
    const bool inside = (static_cast<uint8_t>(piece[0]) & 0xC0) == 0x80;
    if (inside || static_cast<size_t>(piece.data() - all.data()) + piece.size() > valid) {
      return make_error(Code::bad_utf8, pieces.file_offset(id), kWhere, "piece %u is not valid UTF-8", id);
    }
  }
  return {};
}

Status parse(Cursor& cursor, TokenizerModel& all) noexcept {
  Unigram& model = all.unigram;
  const Pieces& pieces = all.pieces;
  const uint64_t offset = cursor.offset();
  const uint32_t flags = cursor.u32();
  model.unk_id = cursor.u32();
  if (!cursor.ok()) return make_error(Code::truncated, offset, kWhere, "the section ends in the parameters");
  if ((flags & ~kByteFallback) != 0) {
    return make_error(Code::unknown_flags, offset, kWhere, "unknown flags 0x%x of a unigram model", flags);
  }
  model.byte_fallback = (flags & kByteFallback) != 0;
  if (model.unk_id >= pieces.size() || pieces.literal(model.unk_id) || pieces.piece(model.unk_id).empty()) {
    return make_error(Code::bad_value, offset + 4, kWhere, "the unknown token %u is no piece of the model",
                      model.unk_id);
  }
  ONEPASS_TRY(check_characters(pieces));
  ONEPASS_TRY(read_scores(cursor, pieces, model));
  ONEPASS_TRY(model.trie.build(pieces));
  // An unknown character has up to 4 bytes.
  model.window = std::bit_ceil((model.trie.longest() < 4 ? 4 : model.trie.longest()) + 1);
  constexpr char kHex[] = "0123456789ABCDEF";
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const char name[10] = {'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'};
    model.byte_ids[byte] = model.byte_fallback ? model.trie.find(pieces, name, 6) : kNoPiece;
  }
  return {};
}

// scratch.last = the steps of the best path over text[0, size), each at the position where it begins. False when out of
// memory.
bool find_path(const Pieces& pieces, const Unigram& model, const char* text, size_t size,
               UnigramScratch& scratch) noexcept {
  while (scratch.best.size() < model.window) {
    if (!scratch.best.push_back(kUnreached)) return false;
  }
  if (scratch.last.size() <= size && !scratch.last.resize_uninitialized(size + 1)) return false;
  double* best = scratch.best.data();
  uint32_t* last = scratch.last.data();
  const size_t mask = model.window - 1;
  const double* scores = model.scores.data();
  best[0] = 0;
  last[0] = 0;
  for (size_t begin = 0; begin < size;) {
    const double so_far = best[begin & mask];
    best[begin & mask] = kUnreached;
    const size_t char_length = decode_valid(text + begin).length;
    bool has_char = false;
    const auto reach = [&](uint32_t id, size_t length, double score) noexcept {
      double& there = best[(begin + length) & mask];
      if (score > there) {
        there = score;
        last[begin + length] = pack(id, length);
      }
    };
    model.trie.prefixes(pieces, text + begin, size - begin, [&](uint32_t id, size_t length) noexcept {
      reach(id, length, scores[id] + so_far);
      has_char |= length == char_length;
    });
    if (!has_char) reach(model.unk_id, char_length, model.unk_score + so_far);
    begin += char_length;
  }
  best[size & mask] = kUnreached;
  // Turn the path around: every step moves from where it ends to where it begins.
  uint32_t step = last[size];
  for (size_t end = size; end > 0;) {
    const size_t begin = end - length_of(step);
    const uint32_t before = last[begin];
    last[begin] = step;
    step = before;
    end = begin;
  }
  return true;
}

// A run of unknown characters is looked up as a whole, as the library does: it may be a piece with a score too low to
// be chosen.
bool add_unknown(const TokenizerModel& all, const char* text, size_t begin, size_t end, TokenSink& sink) noexcept {
  const Unigram& model = all.unigram;
  const uint32_t whole = model.trie.find(all.pieces, text + begin, end - begin);
  if (whole != kNoPiece) return sink.add(whole, begin, end);
  if (model.byte_fallback) {
    bool all_bytes = true;
    for (size_t i = begin; i < end && all_bytes; ++i) {
      all_bytes = model.byte_ids[static_cast<uint8_t>(text[i])] != kNoPiece;
    }
    if (all_bytes) {
      for (size_t i = begin; i < end; ++i) {
        if (!sink.add(model.byte_ids[static_cast<uint8_t>(text[i])], begin, end)) return false;
      }
      return true;
    }
  }
  return sink.add(model.unk_id, begin, end);
}

bool tokenize(const TokenizerModel& all, const TextView& view, size_t begin, size_t end, EncodeScratch& scratch,
              TokenSink& sink) noexcept {
  const Unigram& model = all.unigram;
  const char* text = view.data;
  if (!find_path(all.pieces, model, text + begin, end - begin, scratch.unigram)) return false;
  const uint32_t* steps = scratch.unigram.last.data();
  for (size_t pos = begin; pos < end;) {
    size_t next = pos + length_of(steps[pos - begin]);
    const uint32_t id = id_of(steps[pos - begin]);
    if (id != model.unk_id) {
      if (!sink.add(id, pos, next)) return false;
    } else {
      while (next < end && id_of(steps[next - begin]) == model.unk_id) next += length_of(steps[next - begin]);
      if (!add_unknown(all, text, pos, next, sink)) return false;
    }
    pos = next;
  }
  return true;
}

}  // namespace

const KindRow kUnigramRow = {TokenizerKind::unigram, "unigram", true, parse, tokenize};

}  // namespace onepass
