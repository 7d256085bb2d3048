#include "engine/text/added_tokens.h"

#include <algorithm>

#include "engine/core/utf8.h"

namespace onepass {

namespace {

uint8_t from_end(std::string_view text, size_t i) noexcept { return static_cast<uint8_t>(text[text.size() - 1 - i]); }

bool reversed_less(std::string_view a, std::string_view b) noexcept {
  const size_t n = std::min(a.size(), b.size());
  for (size_t i = 0; i < n; ++i) {
    if (from_end(a, i) != from_end(b, i)) return from_end(a, i) < from_end(b, i);
  }
  return a.size() < b.size();
}

// The patterns sorted[low, high) share their last `depth` bytes and no others do: a node of the automaton.
struct NodeRange {
  uint32_t low;
  uint32_t high;
  uint32_t depth;
};

Error no_memory() noexcept {
  return make_error(Code::out_of_memory, Error::no_offset, "tokenizer", "no memory for the added tokens");
}

}  // namespace

uint32_t PatternMatcher::child(uint32_t node, uint8_t byte) const noexcept {
  if (node == 0) return root_[byte];
  uint32_t low = begin_[node];
  uint32_t high = begin_[node + 1];
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (byte_[middle] == byte) return middle;
    if (byte_[middle] < byte) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return 0;
}

bool PatternMatcher::build(std::span<const std::string_view> patterns) noexcept {
  if (patterns.empty()) return true;
  const auto count = static_cast<uint32_t>(patterns.size());
  Array<uint32_t> sorted;
  for (uint32_t i = 0; i < count; ++i) {
    if (!sorted.push_back(i) || !lengths_.push_back(static_cast<uint32_t>(patterns[i].size()))) return false;
  }
  std::sort(sorted.begin(), sorted.end(), [&](uint32_t a, uint32_t b) {
    if (reversed_less(patterns[a], patterns[b])) return true;
    return !reversed_less(patterns[b], patterns[a]) && a < b;
  });

  Array<NodeRange> nodes;
  if (!nodes.push_back({0, count, 0}) || !byte_.push_back(0)) return false;
  for (uint32_t node = 0; node < nodes.size(); ++node) {
    NodeRange range = nodes[node];
    uint32_t match = 0;
    // Sorted order puts the patterns that end here first, and the first of equal ones before the others.
    while (range.low < range.high && patterns[sorted[range.low]].size() == range.depth) {
      if (match == 0) match = sorted[range.low] + 1;
      ++range.low;
    }
    if (!match_.push_back(match) || !begin_.push_back(static_cast<uint32_t>(nodes.size()))) return false;
    while (range.low < range.high) {
      const uint8_t byte = from_end(patterns[sorted[range.low]], range.depth);
      uint32_t end = range.low + 1;
      while (end < range.high && from_end(patterns[sorted[end]], range.depth) == byte) ++end;
      if (node == 0) root_[byte] = static_cast<uint32_t>(nodes.size());
      if (!nodes.push_back({range.low, end, range.depth + 1}) || !byte_.push_back(byte)) return false;
      range.low = end;
    }
  }
  if (!begin_.push_back(static_cast<uint32_t>(nodes.size())) || !fail_.resize(nodes.size())) return false;

  for (uint32_t node = 0; node < nodes.size(); ++node) {
    for (uint32_t next = begin_[node]; next < begin_[node + 1]; ++next) {
      uint32_t fail = 0;
      if (node != 0) {
        fail = fail_[node];
        while (fail != 0 && child(fail, byte_[next]) == 0) fail = fail_[fail];
        fail = child(fail, byte_[next]);
      }
      fail_[next] = fail;
      if (match_[next] == 0) match_[next] = match_[fail];
    }
  }
  return true;
}

bool PatternMatcher::find(std::string_view text, Array<AddedMatch>& matches) const noexcept {
  matches.clear();
  if (empty()) return true;
  uint32_t node = 0;
  for (size_t i = text.size(); i-- > 0;) {
    const auto byte = static_cast<uint8_t>(text[i]);
    uint32_t next = child(node, byte);
    while (next == 0 && node != 0) {
      node = fail_[node];
      next = child(node, byte);
    }
    node = next;
    if (match_[node] != 0 && !matches.push_back({static_cast<uint32_t>(i), match_[node] - 1})) return false;
  }
  return true;
}

Status AddedTokens::read(Cursor& cursor, uint32_t count, const Pieces& pieces) noexcept {
  constexpr size_t kRecordBytes = 8;
  if (count > kMaxAddedTokens) {
    return make_error(Code::limit_exceeded, cursor.offset(), "tokenizer", "%u added tokens; the limit is %u", count,
                      kMaxAddedTokens);
  }
  if (count > cursor.remaining() / kRecordBytes) {
    return make_error(Code::truncated, cursor.offset(), "tokenizer", "%u added tokens do not fit the section", count);
  }
  if (!tokens_.reserve(count)) return no_memory();
  size_t bytes = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t offset = cursor.offset();
    AddedToken token;
    token.id = cursor.u32();
    token.flags = cursor.u32();
    if ((token.flags & ~uint32_t{added_all_flags}) != 0) {
      return make_error(Code::unknown_flags, offset + 4, "tokenizer", "added token %u has unknown flags 0x%x", i,
                        token.flags);
    }
    if (token.id >= pieces.size()) {
      return make_error(Code::bad_value, offset, "tokenizer", "added token %u has id %u of %zu", i, token.id,
                        pieces.size());
    }
    token.content = pieces.piece(token.id);
    if (token.content.empty()) {
      return make_error(Code::bad_value, offset, "tokenizer", "added token %u is empty", i);
    }
    bytes += token.content.size();
    if (bytes > kMaxAddedBytes) {
      return make_error(Code::limit_exceeded, offset, "tokenizer", "%zu bytes of added tokens; the limit is %zu", bytes,
                        kMaxAddedBytes);
    }
    if (!is_valid_utf8(token.content)) {
      return make_error(Code::bad_utf8, pieces.file_offset(token.id), "tokenizer", "added token %u is not valid UTF-8",
                        i);
    }
    (void)tokens_.push_back(token);
  }
  // Equal contents meet in sorted order.
  Array<uint32_t> sorted;
  for (uint32_t i = 0; i < count; ++i) {
    if (!sorted.push_back(i)) return no_memory();
  }
  std::sort(sorted.begin(), sorted.end(),
            [&](uint32_t a, uint32_t b) { return tokens_[a].content < tokens_[b].content; });
  for (uint32_t i = 1; i < count; ++i) {
    if (tokens_[sorted[i]].content == tokens_[sorted[i - 1]].content) {
      return make_error(Code::duplicate_name, cursor.offset(), "tokenizer",
                        "added tokens %u and %u have the same content", sorted[i - 1], sorted[i]);
    }
  }
  return {};
}

Status AddedTokens::index(std::span<const std::string_view> normalized) noexcept {
  Array<std::string_view> patterns;
  for (int which = 0; which < 2; ++which) {
    patterns.clear();
    for (uint32_t i = 0; i < tokens_.size(); ++i) {
      if (((tokens_[i].flags & added_normalized) != 0) != (which == 1)) continue;
      const std::string_view pattern = which == 1 ? normalized[i] : tokens_[i].content;
      if (!patterns.push_back(pattern) || !sets_[which].tokens.push_back(i)) return no_memory();
    }
    if (!sets_[which].matcher.build(patterns.span())) return no_memory();
  }
  return {};
}

}  // namespace onepass
