// Normaliser: the steps that a text takes before it is cut into words, as the file lists them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "engine/core/array.h"
#include "engine/core/cursor.h"
#include "engine/core/result.h"
#include "engine/text/encode_scratch.h"

namespace onepass {

// Stable numbers, stored in files; only ever appended to. The names are those of the tokenizers library.
enum class NormalizerKind : uint32_t {
  bert = 1,  // flags: of BertFlag
  nfc = 2,
  nfd = 3,
  nfkc = 4,
  nfkd = 5,
  lowercase = 6,
  strip_accents = 7,
  replace = 8,         // every `pattern` by `content`
  replace_spaces = 9,  // every run of two or more U+0020 by `content`
  prepend = 10,        // `content` before a text that is not empty
  strip = 11,          // flags: 1 left, 2 right
  nmt = 12,
  precompiled = 13,  // pattern: the character map of SentencePiece
};

enum BertFlag : uint32_t {
  bert_clean_text = 1 << 0,
  bert_handle_chinese_chars = 1 << 1,
  bert_strip_accents = 1 << 2,
  bert_lowercase = 1 << 3,
};

constexpr uint32_t kMaxNormalizerSteps = 16;

struct NormalizerStep {
  NormalizerKind kind;
  uint32_t flags;
  std::string_view pattern;
  std::string_view content;
};

enum class Change { none, done, no_memory };

// One kind of step.
struct NormalizerRow {
  NormalizerKind kind;
  uint32_t flags;  // those it may have
  bool has_pattern;
  bool has_content;
  // Null, or judges the parameters beyond that; `offset` is the place of the pattern in the file.
  Status (*check)(const NormalizerStep& step, uint64_t offset) noexcept;
  // Writes the changed text, with its runs relative to `text` (valid UTF-8), or gives none and leaves `out` undefined.
  Change (*apply)(const NormalizerStep& step, std::string_view text, EncodeScratch& scratch, DerivedText& out) noexcept;
};

class Normalizer {
 public:
  // Reads `count` steps. The section's bytes outlive the Normalizer.
  Status read(Cursor& cursor, uint32_t count) noexcept;

  std::span<const NormalizerStep> steps() const noexcept { return steps_.span(); }

  // Normalises source.text[*begin, *end) and gives the text and the range in it, with runs to the source. The view
  // lives in the scratch, or is the source where nothing changes. False when out of memory.
  bool run(const TextView& source, size_t* begin, size_t* end, EncodeScratch& scratch, TextView* out) const noexcept;

 private:
  Array<NormalizerStep> steps_;
};

// runs: from a text of `size` bytes to another one; becomes those to the source of that one, `inner` being its runs.
// `spare` is overwritten. False when out of memory.
bool compose_runs(Array<AlignmentRun>& runs, size_t size, std::span<const AlignmentRun> inner,
                  Array<AlignmentRun>& spare) noexcept;

}  // namespace onepass
