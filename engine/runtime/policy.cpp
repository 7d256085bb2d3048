#include "engine/runtime/policy.h"

#include "engine/runtime/decide.h"

namespace onepass {

// An entry a line, as for `mentions`.
const char* const english_negations =
    "not\nno\nnever\nnone\nnothing\nnobody\nnowhere\nneither\nnor\nwithout\nhardly\nbarely\nscarcely\ncannot\n*n't\n"
    "dont\ndidnt\ndoesnt\nisnt\nwasnt\narent\nwont\ncant\ncouldnt\nwouldnt\nshouldnt\naint";

// Marks of sarcasm in writing: what is said with it, and what is written about it. None of them proves it.
const char* const english_sarcasm_markers =
    "/s\nyeah right\noh great\noh wonderful\noh joy\noh sure\nsure thing\nas if\njust great\njust perfect\njust "
    "wonderful\njust what i needed\nbig surprise\nwhat a surprise\nhow surprising\nhow original\nhow nice of\nthanks a "
    "lot\nthanks for nothing\nso much fun\ntotally\nobviously\nclearly\nof course\nshocker\nwho knew\ngenius\ngood "
    "luck with that\nlucky me\ntell me about it\n\"\n\xE2\x80\x9C\n\xF0\x9F\x99\x84\n\xF0\x9F\x99\x83\n"
    "\xF0\x9F\x98\x8F\n\xF0\x9F\x98\x92";

namespace {

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

constexpr std::string_view kRightQuote = "\xE2\x80\x99";

bool is_apostrophe(std::string_view text, size_t at) noexcept {
  if (at >= text.size()) return false;
  return text[at] == '\'' || std::string_view(text.data() + at, text.size() - at).starts_with(kRightQuote);
}

unsigned byte_at(std::string_view text, size_t at) noexcept {
  return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
}

bool is_ascii_word(char c) noexcept { return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9'); }

// Bytes of what is no part of a word at text[at]: 1 for ASCII, more for the punctuation and symbols of U+2000..2BFF
// and the pictures of U+1F000..1FFFF; 0 for letters, which those of every other script count as, and at the end.
size_t separator(std::string_view text, size_t at) noexcept {
  const unsigned first = byte_at(text, at);
  if (at >= text.size() || is_ascii_word(text[at])) return 0;
  if (first < 0x80) return 1;
  if (first == 0xE2 && byte_at(text, at + 1) < 0xB0 && at + 3 <= text.size()) return 3;
  return first == 0xF0 && byte_at(text, at + 1) == 0x9F && at + 4 <= text.size() ? 4 : 0;
}

bool begins_word(std::string_view text, size_t at) noexcept {
  size_t before = at;
  while (before != 0 && at - before < 4 && (byte_at(text, --before) & 0xC0) == 0x80) {
  }
  return at == 0 || separator(text, before) == at - before;
}

bool ends_word(std::string_view text, size_t at) noexcept { return at == text.size() || separator(text, at) != 0; }

// Where the match of `entry` at text[at] ends, or npos.
size_t match_end(std::string_view text, size_t at, std::string_view entry) noexcept {
  for (const char c : entry) {
    if (c == ' ') {
      const size_t before = at;
      while (!is_apostrophe(text, at) && separator(text, at) != 0) at += separator(text, at);
      if (at == before) return std::string_view::npos;
    } else if (at >= text.size()) {
      return std::string_view::npos;
    } else if (c == '\'' && is_apostrophe(text, at)) {
      at += text[at] == '\'' ? 1 : kRightQuote.size();
    } else if (lower(text[at]) == lower(c)) {
      ++at;
    } else {
      return std::string_view::npos;
    }
  }
  return at;
}

bool mentions_entry(std::string_view text, std::string_view entry) noexcept {
  const bool any_beginning = entry.front() == '*' && entry.size() > 1;
  if (any_beginning) entry.remove_prefix(1);
  const bool whole_begin = !any_beginning && is_ascii_word(entry.front());
  const bool whole_end = is_ascii_word(entry.back());
  for (size_t at = 0; at < text.size(); ++at) {
    // The first byte decides at most places.
    if (lower(text[at]) != lower(entry.front()) && entry.front() != ' ' && entry.front() != '\'') continue;
    if (whole_begin && !begins_word(text, at)) continue;
    const size_t end = match_end(text, at, entry);
    if (end != std::string_view::npos && (!whole_end || ends_word(text, end))) return true;
  }
  return false;
}

// f(entry) for every entry of a list until one is true.
template <class F>
bool any_entry(std::string_view list, F&& f) noexcept {
  while (!list.empty()) {
    const size_t end = list.find('\n');
    const std::string_view entry(list.data(), end == std::string_view::npos ? list.size() : end);
    if (!entry.empty() && f(entry)) return true;
    if (end == std::string_view::npos) break;
    list.remove_prefix(end + 1);
  }
  return false;
}

bool high_stakes_label_applies(std::string_view list, std::span<const HeadView> heads,
                               std::span<const float> scores) noexcept {
  size_t first = 0;
  for (const HeadView& head : heads) {
    const auto of_head = scores.subspan(first, head.labels.size());
    first += head.labels.size();
    for (size_t c = 0; c < head.labels.size(); ++c) {
      if (label_applies(head, of_head, c) &&
          any_entry(list, [&](std::string_view entry) { return entry == head.labels[c]; })) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace

const char* route_name(Route route) noexcept {
  switch (route) {
    case Route::cloud:
      return "cloud";
    case Route::local_uncertain:
      return "local_uncertain";
    default:
      return "local";
  }
}

const char* reason_name(uint32_t bit) noexcept {
  switch (1u << (bit < reason_count ? bit : 31)) {
    case low_confidence:
      return "low_confidence";
    case negation:
      return "negation";
    case sarcasm:
      return "sarcasm";
    case too_long:
      return "too_long";
    case offline:
      return "offline";
    case high_stakes:
      return "high_stakes";
    default:
      return "";
  }
}

bool mentions(std::string_view text, std::string_view list) noexcept {
  return any_entry(list, [&](std::string_view entry) { return mentions_entry(text, entry); });
}

Verdict decide(const Policy& policy, std::span<const HeadView> heads, const Reading& reading) noexcept {
  Verdict verdict;
  if (reading.confidence < policy.min_confidence) verdict.reasons |= low_confidence;
  if (policy.negation_and_sarcasm &&
      mentions(reading.text, policy.negations.data() == nullptr ? english_negations : policy.negations) &&
      mentions(reading.text,
               policy.sarcasm_markers.data() == nullptr ? english_sarcasm_markers : policy.sarcasm_markers)) {
    verdict.reasons |= negation | sarcasm;
  }
  if (policy.max_tokens != 0 && reading.tokens > policy.max_tokens) verdict.reasons |= too_long;
  const bool stakes = policy.high_stakes || high_stakes_label_applies(policy.high_stakes_labels, heads, reading.scores);
  if (stakes) verdict.reasons |= high_stakes;
  if (verdict.reasons != 0) {
    verdict.route = Route::cloud;
    if (policy.offline) {
      verdict.reasons |= offline;
      if (!stakes) verdict.route = Route::local_uncertain;
    }
  }
  verdict.abstained = reading.confidence < policy.abstain_below;
  return verdict;
}

}  // namespace onepass
