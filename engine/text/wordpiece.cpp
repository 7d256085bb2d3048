#include "engine/text/wordpiece.h"

#include "engine/core/utf8.h"
#include "engine/text/kind_row.h"

namespace onepass {

namespace {

Status parse(Cursor& cursor, TokenizerModel& model) noexcept {
  constexpr std::string_view kWhere = "tokenizer";
  WordPiece& wordpiece = model.wordpiece;
  const uint64_t offset = cursor.offset();
  wordpiece.unk_id = cursor.u32();
  wordpiece.max_input_chars_per_word = cursor.u32();
  const std::string_view prefix = cursor.string();
  if (!cursor.ok()) return make_error(Code::truncated, offset, kWhere, "the section ends in the parameters");
  if (wordpiece.unk_id >= model.pieces.size()) {
    return make_error(Code::bad_value, offset, kWhere, "the unknown token is %u of %zu pieces", wordpiece.unk_id,
                      model.pieces.size());
  }
  if (wordpiece.max_input_chars_per_word == 0 || wordpiece.max_input_chars_per_word > kMaxInputChars) {
    return make_error(Code::bad_value, offset + 4, kWhere, "max_input_chars_per_word is %u; it must be 1 to %u",
                      wordpiece.max_input_chars_per_word, kMaxInputChars);
  }
  if (prefix.size() > kMaxPieceBytes) {
    return make_error(Code::limit_exceeded, offset + 8, kWhere, "the continuing prefix has %zu bytes; the limit is %zu",
                      prefix.size(), kMaxPieceBytes);
  }
  if (!is_valid_utf8(prefix)) {
    return make_error(Code::bad_utf8, offset + 12, kWhere, "the continuing prefix is not valid UTF-8");
  }
  return wordpiece.vocab.build(model.pieces, prefix);
}

size_t count_chars(const char* text, size_t size) noexcept {
  size_t count = 0;
  for (size_t i = 0; i < size; ++i) count += (static_cast<uint8_t>(text[i]) & 0xC0) != 0x80;
  return count;
}

bool tokenize(const TokenizerModel& model, const TextView& view, size_t begin, size_t end, EncodeScratch&,
              TokenSink& sink) noexcept {
  const WordPiece& wordpiece = model.wordpiece;
  const char* text = view.data;
  const uint32_t max_chars = wordpiece.max_input_chars_per_word;
  if (end - begin > max_chars && count_chars(text + begin, end - begin) > max_chars) {
    return sink.add(wordpiece.unk_id, begin, end);
  }
  Vocab::Match match = wordpiece.vocab.longest(text + begin, end - begin, false);
  if (match.length == end - begin) return sink.add(match.id, begin, end);
  // A word that the pieces do not cover to its end is unknown as a whole.
  Vocab::Match matches[kMaxInputChars];
  size_t count = 0;
  for (size_t pos = begin; match.id != kNoPiece;) {
    matches[count++] = match;
    pos += match.length;
    if (pos == end) {
      pos = begin;
      for (size_t i = 0; i < count; ++i) {
        if (!sink.add(matches[i].id, pos, pos + matches[i].length)) return false;
        pos += matches[i].length;
      }
      return true;
    }
    match = wordpiece.vocab.longest(text + pos, end - pos, true);
  }
  return sink.add(wordpiece.unk_id, begin, end);
}

}  // namespace

const KindRow kWordPieceRow = {TokenizerKind::wordpiece, "wordpiece", true, parse, tokenize};

}  // namespace onepass
