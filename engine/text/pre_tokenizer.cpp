#include "engine/text/pre_tokenizer.h"

#include "engine/core/left_out.h"
#include "engine/text/split_pattern.h"
#include "engine/text/splitter.h"
#include "engine/text/unicode.h"

namespace onepass {

namespace {

constexpr std::string_view kWhere = "tokenizer";
constexpr size_t kMaxLiteral = 64;

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
  const uint32_t flags = char_info(c.code_point).flags;
  return (flags & char_space) != 0 ? space : (flags & char_punctuation) != 0 ? punctuation : in_word;
}

// Each of the functions below cuts text[begin, end) and gives the words to on_word, which returns false to stop.

template <class OnWord>
bool split_bert(const char* text, size_t begin, size_t end, OnWord on_word) {
  for (size_t pos = begin; pos < end;) {
    size_t length;
    const CharClass first = classify(text + pos, &length);
    size_t word_end = pos + length;
    if (first == in_word) {
      while (word_end < end && classify(text + word_end, &length) == in_word) word_end += length;
    }
    if (first != space && !on_word(pos, word_end)) return false;
    pos = word_end;
  }
  return true;
}

// Runs of characters of one kind; kind_of(flags) 0 is dropped.
template <class KindOf, class OnWord>
bool split_runs(const char* text, size_t begin, size_t end, KindOf kind_of, OnWord on_word) {
  for (size_t pos = begin; pos < end;) {
    ValidChar c = decode_valid(text + pos);
    const int kind = kind_of(char_info(c.code_point).flags);
    size_t run_end = pos + c.length;
    while (run_end < end) {
      c = decode_valid(text + run_end);
      if (kind_of(char_info(c.code_point).flags) != kind) break;
      run_end += c.length;
    }
    if (kind != 0 && !on_word(pos, run_end)) return false;
    pos = run_end;
  }
  return true;
}

// Single characters with one of `flags` are the matches.
template <class OnWord>
bool split_flags(const char* text, size_t begin, size_t end, uint32_t flags, Behaviour behaviour, OnWord on_word) {
  Splitter splitter(behaviour, on_word);
  size_t rest = begin;
  for (size_t pos = begin; pos < end;) {
    const ValidChar c = decode_valid(text + pos);
    const size_t next = pos + c.length;
    if ((char_info(c.code_point).flags & flags) != 0) {
      if (rest < pos && !splitter.add(rest, pos, false)) return false;
      if (!splitter.add(pos, next, true)) return false;
      rest = next;
    }
    pos = next;
  }
  return (rest == end || splitter.add(rest, end, false)) && splitter.finish();
}

template <class OnWord>
bool split_literal(const char* text, size_t begin, size_t end, std::string_view literal, Behaviour behaviour,
                   bool invert, OnWord on_word) {
  Splitter splitter(behaviour, on_word);
  const std::string_view part(text + begin, end - begin);
  size_t rest = 0;
  for (size_t at = part.find(literal); at != std::string_view::npos; at = part.find(literal, rest)) {
    if (rest < at && !splitter.add(begin + rest, begin + at, invert)) return false;
    rest = at + literal.size();
    if (!splitter.add(begin + at, begin + rest, !invert)) return false;
  }
  return (rest == part.size() || splitter.add(begin + rest, end, invert)) && splitter.finish();
}

Behaviour behaviour_of(const PreTokenizerStep& step) noexcept {
  return static_cast<Behaviour>(step.flags & split_behaviour_mask);
}

Error bad(uint64_t offset, const char* why) noexcept {
  return make_error(Code::bad_value, offset, kWhere, "a pre-tokeniser step with %s", why);
}

Status check(const PreTokenizerStep& step, uint64_t offset) noexcept {
  const bool has_behaviour = step.kind == PreTokenizerKind::punctuation || step.kind == PreTokenizerKind::digits ||
                             step.kind == PreTokenizerKind::literal;
  const uint32_t flags = step.kind == PreTokenizerKind::metaspace ? 7
                         : step.kind == PreTokenizerKind::literal ? split_behaviour_mask | split_invert
                         : has_behaviour                          ? split_behaviour_mask
                                                                  : 0;
  if ((step.flags & ~flags) != 0) {
    return make_error(Code::unknown_flags, offset + 4, kWhere, "unknown flags 0x%x of a pre-tokeniser step",
                      step.flags);
  }
  if (has_behaviour && (step.flags & split_behaviour_mask) >= static_cast<uint32_t>(Behaviour::count)) {
    return bad(offset + 4, "an unknown behaviour");
  }
  constexpr uint32_t both = metaspace_prepend_always | metaspace_prepend_first;
  if (step.kind == PreTokenizerKind::metaspace && (step.flags & both) == both) {
    return bad(offset + 4, "two prepend schemes");
  }
  const bool has_text = step.kind == PreTokenizerKind::literal || step.kind == PreTokenizerKind::metaspace;
  if (has_text == step.text.empty()) return bad(offset + 12, has_text ? "an empty text" : "a text that it lacks");
  if (step.text.size() > kMaxLiteral || !is_valid_utf8(step.text)) return bad(offset + 12, "a text that is unfit");
  if (step.kind == PreTokenizerKind::metaspace) {
    const Utf8Char c = decode_utf8(step.text, 0);
    if (c.length != step.text.size()) return bad(offset + 12, "a replacement of several characters");
  }
  const bool pattern = step.kind == PreTokenizerKind::pattern;
  if (pattern && (step.value == 0 || step.value > static_cast<uint32_t>(SplitPattern::last))) {
    return make_error(Code::unknown_value, offset + 8, kWhere, "pattern %u; a newer version of the library may know it",
                      step.value);
  }
#ifdef ONEPASS_WITHOUT_BPE
  if (pattern) return left_out(kWhere, "the patterns of byte-level tokenizers", "ONEPASS_TOKENIZERS", "bpe");
#endif
  if (!pattern && step.value != 0) return bad(offset + 8, "a value that it lacks");
  return {};
}

}  // namespace

Status PreTokenizer::read(Cursor& cursor, uint32_t count) noexcept {
  if (count > kMaxPreTokenizerSteps) {
    return make_error(Code::limit_exceeded, cursor.offset(), kWhere, "%u pre-tokeniser steps; the limit is %u", count,
                      kMaxPreTokenizerSteps);
  }
  uint32_t rewrites = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t offset = cursor.offset();
    const uint32_t kind = cursor.u32();
    PreTokenizerStep step = {};
    step.flags = cursor.u32();
    step.value = cursor.u32();
    step.text = cursor.string();
    if (!cursor.ok()) {
      return make_error(Code::truncated, offset, kWhere, "the section ends in pre-tokeniser step %u", i);
    }
    if (kind == 0 || kind > static_cast<uint32_t>(PreTokenizerKind::literal)) {
      return make_error(Code::unknown_value, offset, kWhere,
                        "pre-tokeniser step %u; a newer version of the library may know it", kind);
    }
    step.kind = static_cast<PreTokenizerKind>(kind);
    ONEPASS_TRY(check(step, offset));
    if (step.kind == PreTokenizerKind::metaspace || step.kind == PreTokenizerKind::prefix_space) {
      step.rewrite = rewrites++;
      if (rewrites > kMaxRewrites) return bad(offset, "too many rewriting steps before it");
    }
    if (!steps_.push_back(step)) {
      return make_error(Code::out_of_memory, Error::no_offset, kWhere, "no memory for the pre-tokeniser");
    }
  }
  return {};
}

bool PreTokenizer::run_step(size_t index, const TextView& view, size_t begin, size_t end,
                            const WordTarget& to) const noexcept {
  if (begin == end) return true;
  if (index == steps_.size()) {
    to.sink.set_view(view);
    return to.row.tokenize(to.model, view, begin, end, to.scratch, to.sink);
  }
  const PreTokenizerStep& step = steps_[index];
  const auto next = [&](size_t from, size_t word_end) { return run_step(index + 1, view, from, word_end, to); };
  switch (step.kind) {
    case PreTokenizerKind::bert:
      return split_bert(view.data, begin, end, next);
    case PreTokenizerKind::whitespace:
      return split_runs(
          view.data, begin, end,
          [](uint32_t flags) { return (flags & char_word) != 0    ? 1
                                      : (flags & char_space) != 0 ? 0
                                                                  : 2; }, next);
    case PreTokenizerKind::whitespace_split:
      return split_runs(
          view.data, begin, end, [](uint32_t flags) { return (flags & char_space) != 0 ? 0 : 1; }, next);
    case PreTokenizerKind::punctuation:
      return split_flags(view.data, begin, end, char_punctuation, behaviour_of(step), next);
    case PreTokenizerKind::digits:
      return split_flags(view.data, begin, end, char_numeric, behaviour_of(step), next);
    case PreTokenizerKind::pattern: {
#ifndef ONEPASS_WITHOUT_BPE
      const auto pattern = static_cast<SplitPattern>(step.value);
      for (size_t pos = begin; pos < end;) {
        const size_t word_end = match_end(pattern, view.data, pos, end);
        if (!next(pos, word_end)) return false;
        pos = word_end;
      }
#endif
      return true;
    }
    case PreTokenizerKind::metaspace:
      return metaspace(index, view, begin, end, to);
    case PreTokenizerKind::prefix_space:
      return prefix_space(index, view, begin, end, to);
    case PreTokenizerKind::literal:
      return split_literal(view.data, begin, end, step.text, behaviour_of(step), (step.flags & split_invert) != 0,
                           next);
  }
  return true;
}

bool PreTokenizer::metaspace(size_t index, const TextView& view, size_t begin, size_t end,
                             const WordTarget& to) const noexcept {
  const PreTokenizerStep& step = steps_[index];
  DerivedText& out = to.scratch.words[step.rewrite];
  TextWriter writer(out);
  AlignmentCursor source(view.runs);
  const std::string_view word(view.data + begin, end - begin);
  const bool has_mark = word[0] == ' ' || word.starts_with(step.text);
  const bool first = source.source(static_cast<uint32_t>(begin)) == 0;
  const bool wanted =
      (step.flags & metaspace_prepend_always) != 0 || ((step.flags & metaspace_prepend_first) != 0 && first);
  if (wanted && !has_mark && !writer.put_all(step.text, source.source(static_cast<uint32_t>(begin)))) return false;
  for (size_t pos = begin; pos < end;) {
    const auto at = source.source(static_cast<uint32_t>(pos));
    if (view.data[pos] == ' ') {
      if (!writer.put_all(step.text, at)) return false;
      ++pos;
    } else {
      const uint32_t length = decode_valid(view.data + pos).length;
      if (!writer.copy({view.data + pos, length}, at)) return false;
      pos += length;
    }
  }
  if (!writer.finish()) return false;
  const TextView rewritten = view_of(out);
  const bool ok = (step.flags & metaspace_split) == 0
                      ? run_step(index + 1, rewritten, 0, out.size, to)
                      : split_literal(out.bytes.data(), 0, out.size, step.text, Behaviour::merged_with_next, false,
                                      [&](size_t from, size_t word_end) {
                                        return run_step(index + 1, rewritten, from, word_end, to);
                                      });
  to.sink.leave_view();
  return ok;
}

bool PreTokenizer::prefix_space(size_t index, const TextView& view, size_t begin, size_t end,
                                const WordTarget& to) const noexcept {
  if (view.data[begin] == ' ') return run_step(index + 1, view, begin, end, to);
  DerivedText& out = to.scratch.words[steps_[index].rewrite];
  TextWriter writer(out);
  AlignmentCursor source(view.runs);
  if (!writer.put(' ', source.source(static_cast<uint32_t>(begin)))) return false;
  for (size_t pos = begin; pos < end;) {
    const uint32_t length = decode_valid(view.data + pos).length;
    if (!writer.copy({view.data + pos, length}, source.source(static_cast<uint32_t>(pos)))) return false;
    pos += length;
  }
  if (!writer.finish()) return false;
  const TextView rewritten = view_of(out);
  const bool ok = run_step(index + 1, rewritten, 0, out.size, to);
  to.sink.leave_view();
  return ok;
}

}  // namespace onepass
