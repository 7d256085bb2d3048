#include "engine/text/wordpiece.h"

#include "engine/core/utf8.h"
#include "engine/text/kind_row.h"

namespace onepass {

namespace {

enum WordPieceFlag : uint32_t {
  flag_clean_text = 1 << 0,
  flag_handle_chinese_chars = 1 << 1,
  flag_strip_accents = 1 << 2,
  flag_lowercase = 1 << 3,
  all_flags = (1 << 4) - 1,
};

Status parse(Cursor& cursor, uint32_t piece_count, TokenizerModel& model) noexcept {
  constexpr std::string_view kWhere = "tokenizer";
  WordPiece& wordpiece = model.wordpiece;
  const uint64_t offset = cursor.offset();
  const uint32_t flags = cursor.u32();
  wordpiece.unk_id = cursor.u32();
  wordpiece.max_input_chars_per_word = cursor.u32();
  wordpiece.continuing_prefix = cursor.string();
  if (!cursor.ok()) return make_error(Code::truncated, offset, kWhere, "the section ends in the parameters");
  if ((flags & ~uint32_t{all_flags}) != 0) {
    return make_error(Code::unknown_flags, offset, kWhere, "unknown normaliser flags 0x%x", flags);
  }
  if (wordpiece.unk_id >= piece_count) {
    return make_error(Code::bad_value, offset + 4, kWhere, "the unknown token is %u of %u pieces", wordpiece.unk_id,
                      piece_count);
  }
  if (wordpiece.max_input_chars_per_word == 0 || wordpiece.max_input_chars_per_word > kMaxInputChars) {
    return make_error(Code::bad_value, offset + 8, kWhere, "max_input_chars_per_word is %u; it must be 1 to %u",
                      wordpiece.max_input_chars_per_word, kMaxInputChars);
  }
  if (wordpiece.continuing_prefix.size() > kMaxPieceBytes) {
    return make_error(Code::limit_exceeded, offset + 12, kWhere,
                      "the continuing prefix has %zu bytes; the limit is %zu", wordpiece.continuing_prefix.size(),
                      kMaxPieceBytes);
  }
  if (!is_valid_utf8(wordpiece.continuing_prefix)) {
    return make_error(Code::bad_utf8, offset + 16, kWhere, "the continuing prefix is not valid UTF-8");
  }
  wordpiece.normalizer = {.clean_text = (flags & flag_clean_text) != 0,
                          .handle_chinese_chars = (flags & flag_handle_chinese_chars) != 0,
                          .strip_accents = (flags & flag_strip_accents) != 0,
                          .lowercase = (flags & flag_lowercase) != 0};
  // Punctuation is a word of its own, so no word starts with punctuation and goes on.
  const std::string_view prefix = wordpiece.continuing_prefix;
  const bool word_initial_prefix =
      prefix.empty() || (char_info(decode_valid(prefix.data()).code_point).flags & char_punctuation) == 0;
  return model.vocab.read(cursor, piece_count, prefix, word_initial_prefix);
}

bool normalize(const TokenizerModel& model, std::string_view text, uint32_t origin, EncodeScratch& scratch,
               DerivedText& out) noexcept {
  return normalize_bert(model.wordpiece.normalizer, text, origin, scratch.marks, out);
}

enum CharClass : uint8_t { in_word, space, punctuation, not_ascii };

struct ClassMap {
  CharClass of[256];
};
constexpr ClassMap make_class_map() {
  ClassMap map{};
  for (unsigned c = 0; c < 256; ++c) {
    const bool is_punctuation =
        (c > 0x20 && c < '0') || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') || (c > 'z' && c < 0x7F);
    map.of[c] = c >= 0x80                               ? not_ascii
                : c == 0x20 || (c >= 0x09 && c <= 0x0D) ? space
                : is_punctuation                        ? punctuation
                                                        : in_word;
  }
  return map;
}
constexpr ClassMap kClassMap = make_class_map();

// The class of the character at `text`, and its length.
CharClass classify(const char* text, size_t* length) noexcept {
  const CharClass ascii = kClassMap.of[static_cast<uint8_t>(*text)];
  *length = 1;
  if (ascii != not_ascii) return ascii;
  const ValidChar c = decode_valid(text);
  *length = c.length;
  const uint8_t flags = char_info(c.code_point).flags;
  return (flags & char_space) != 0 ? space : (flags & char_punctuation) != 0 ? punctuation : in_word;
}

size_t count_chars(const char* text, size_t size) noexcept {
  size_t count = 0;
  for (size_t i = 0; i < size; ++i) count += (static_cast<uint8_t>(text[i]) & 0xC0) != 0x80;
  return count;
}

bool add_word(const TokenizerModel& model, const char* text, size_t begin, size_t end, TokenSink& sink) noexcept {
  const WordPiece& wordpiece = model.wordpiece;
  const uint32_t max_chars = wordpiece.max_input_chars_per_word;
  if (end - begin > max_chars && count_chars(text + begin, end - begin) > max_chars) {
    return sink.add(wordpiece.unk_id, begin, end);
  }
  Vocab::Match match = model.vocab.longest(text + begin, end - begin, false);
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
    match = model.vocab.longest(text + pos, end - pos, true);
  }
  return sink.add(wordpiece.unk_id, begin, end);
}

bool tokenize(const TokenizerModel& model, const DerivedText& derived, size_t begin, size_t end,
              TokenSink& sink) noexcept {
  const char* text = derived.bytes.data();
  size_t pos = begin;
  while (pos < end) {
    size_t length;
    const CharClass first = classify(text + pos, &length);
    size_t word_end = pos + length;
    if (first == in_word) {
      while (word_end < end && classify(text + word_end, &length) == in_word) word_end += length;
    }
    if (first != space && !add_word(model, text, pos, word_end, sink)) return false;
    pos = word_end;
  }
  return true;
}

}  // namespace

const KindRow kWordPieceRow = {TokenizerKind::wordpiece, "wordpiece", parse, normalize, tokenize};

}  // namespace onepass
