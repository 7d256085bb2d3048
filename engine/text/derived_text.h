// Texts derived from a source, step by step, and where their characters come from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "engine/core/array.h"
#include "engine/core/utf8.h"

namespace onepass {

// From position `at` of a derived text on, up to the next run, position p comes from source position
// source + (p - at). Holds for the first byte of every character.
struct AlignmentRun {
  uint32_t at;
  uint32_t source;
};

// Models may read the text in words of this many bytes.
constexpr size_t kTextPadding = 16;

// A text derived from a source, in valid UTF-8, and where its characters come from. Sources never fall.
struct DerivedText {
  Array<char> bytes;  // followed by kTextPadding readable bytes within the array's size
  size_t size = 0;
  Array<AlignmentRun> runs;
};

// A text as one step hands it to the next. Without runs it is the source itself.
struct TextView {
  const char* data = nullptr;
  size_t size = 0;
  size_t readable = 0;  // bytes from data on that may be read: size, or size and kTextPadding
  std::span<const AlignmentRun> runs;

  std::string_view text() const noexcept { return {data, size}; }
};

inline TextView view_of(const DerivedText& text) noexcept {
  return {text.bytes.data(), text.size, text.size + kTextPadding, text.runs.span()};
}

// Positions of a derived text in its source. Without runs the two are the same text.
class AlignmentCursor {
 public:
  AlignmentCursor() noexcept = default;
  explicit AlignmentCursor(std::span<const AlignmentRun> runs) noexcept : runs_(runs) {}

  // `at` is the start of a character. Quick when `at` rises little from call to call.
  uint32_t source(uint32_t at) noexcept {
    if (runs_.empty()) return at;
    if (at < runs_[run_].at || after(run_, at)) seek(at);
    return runs_[run_].source + (at - runs_[run_].at);
  }

 private:
  bool after(size_t run, uint32_t at) const noexcept { return run + 1 < runs_.size() && runs_[run + 1].at <= at; }
  void seek(uint32_t at) noexcept {
    for (int steps = 0; steps < 8 && at >= runs_[run_].at; ++steps) {
      if (!after(run_, at)) return;
      ++run_;
    }
    size_t low = 0;
    size_t high = runs_.size();
    while (high - low > 1) {
      const size_t middle = (low + high) / 2;
      (runs_[middle].at <= at ? low : high) = middle;
    }
    run_ = low;
  }

  std::span<const AlignmentRun> runs_;
  size_t run_ = 0;
};

// Writes a DerivedText. All functions give false when out of memory.
class TextWriter {
 public:
  explicit TextWriter(DerivedText& out) noexcept : out_(out) {
    out.size = 0;
    out.runs.clear();
  }

  // The next character comes from `source`.
  bool align(size_t source) noexcept {
    const auto at = static_cast<uint32_t>(out_.size);
    const auto from = static_cast<uint32_t>(source);
    if (!out_.runs.empty()) {
      const AlignmentRun& last = out_.runs[out_.runs.size() - 1];
      if (from - last.source == at - last.at) return true;
    }
    return out_.runs.push_back({at, from});
  }
  // Room for `bytes` more and the padding. A text beyond 32-bit positions counts as out of memory.
  bool reserve(size_t bytes) noexcept {
    const size_t need = out_.size + bytes + kTextPadding;
    if (need > UINT32_MAX) return false;
    return need <= out_.bytes.size() || out_.bytes.resize_uninitialized(need + need / 2);
  }
  bool put(uint32_t code_point, size_t source) noexcept {
    if (!align(source) || !reserve(4)) return false;
    out_.size += encode_utf8(code_point, out_.bytes.data() + out_.size);
    return true;
  }
  // `text`, whose characters all come from the one at `source`.
  bool put_all(std::string_view text, size_t source) noexcept {
    if (!reserve(text.size())) return false;
    for (size_t pos = 0; pos < text.size();) {
      if (!align(source)) return false;
      const size_t length = decode_utf8(text, pos).length;
      std::memcpy(out_.bytes.data() + out_.size, text.data() + pos, length);
      out_.size += length;
      pos += length;
    }
    return true;
  }
  // A part of the source as it is.
  bool copy(std::string_view text, size_t source) noexcept {
    if (text.empty()) return true;
    if (!align(source) || !reserve(text.size())) return false;
    std::memcpy(out_.bytes.data() + out_.size, text.data(), text.size());
    out_.size += text.size();
    return true;
  }
  // The place of the next byte, for who writes himself after reserve; then advance by what was written.
  char* end() noexcept { return out_.bytes.data() + out_.size; }
  void advance(size_t bytes) noexcept { out_.size += bytes; }
  bool finish() noexcept {
    if (!reserve(0)) return false;
    std::memset(out_.bytes.data() + out_.size, 0, kTextPadding);
    return true;
  }

 private:
  DerivedText& out_;
};

}  // namespace onepass
