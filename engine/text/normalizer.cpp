#include "engine/text/normalizer.h"

#include <utility>

#include "engine/core/left_out.h"
#include "engine/text/charsmap.h"
#include "engine/text/normalizer_rows.h"

namespace onepass {

namespace {

constexpr std::string_view kWhere = "tokenizer";

// The character maps of SentencePiece come with these kinds of tokenizers.
#if defined(ONEPASS_WITHOUT_BPE) && defined(ONEPASS_WITHOUT_UNIGRAM)
Status check_charsmap(const NormalizerStep&, uint64_t) noexcept {
  return left_out(kWhere, "the normaliser of SentencePiece", "ONEPASS_TOKENIZERS", "unigram");
}
constexpr auto* kNormalizePrecompiled = static_cast<decltype(&normalize_precompiled)>(nullptr);
#else
Status check_charsmap(const NormalizerStep& step, uint64_t offset) noexcept {
  return Charsmap::check(step.pattern, offset);
}
constexpr auto* kNormalizePrecompiled = normalize_precompiled;
#endif

Status check_replacement(const NormalizerStep& step, uint64_t offset) noexcept {
  if (step.pattern.size() > kMaxReplacement || step.content.size() > kMaxReplacement) {
    return make_error(Code::limit_exceeded, offset, kWhere, "a replacement of %zu bytes by %zu; the limit is %zu",
                      step.pattern.size(), step.content.size(), kMaxReplacement);
  }
  if (!is_valid_utf8(step.pattern) || !is_valid_utf8(step.content)) {
    return make_error(Code::bad_utf8, offset, kWhere, "a replacement that is not valid UTF-8");
  }
  if (step.kind == NormalizerKind::replace && step.pattern.empty()) {
    return make_error(Code::bad_value, offset, kWhere, "a replacement of the empty text");
  }
  return {};
}

constexpr uint32_t kBertFlags = bert_clean_text | bert_handle_chinese_chars | bert_strip_accents | bert_lowercase;

constexpr NormalizerRow kRows[] = {
    {NormalizerKind::bert, kBertFlags, false, false, nullptr, normalize_bert},
    {NormalizerKind::nfc, 0, false, false, nullptr, normalize_unicode},
    {NormalizerKind::nfd, 0, false, false, nullptr, normalize_unicode},
    {NormalizerKind::nfkc, 0, false, false, nullptr, normalize_unicode},
    {NormalizerKind::nfkd, 0, false, false, nullptr, normalize_unicode},
    {NormalizerKind::strip_accents, 0, false, false, nullptr, normalize_strip_accents},
    {NormalizerKind::lowercase, 0, false, false, nullptr, normalize_lowercase},
    {NormalizerKind::replace, 0, true, true, check_replacement, normalize_replace},
    {NormalizerKind::replace_spaces, 0, false, true, check_replacement, normalize_replace_spaces},
    {NormalizerKind::prepend, 0, false, true, check_replacement, normalize_prepend},
    {NormalizerKind::strip, 3, false, false, nullptr, normalize_strip},
    {NormalizerKind::nmt, 0, false, false, nullptr, normalize_nmt},
    {NormalizerKind::precompiled, 0, true, false, check_charsmap, kNormalizePrecompiled},
};

const NormalizerRow* row_of(uint32_t kind) noexcept {
  for (const NormalizerRow& row : kRows) {
    if (static_cast<uint32_t>(row.kind) == kind) return &row;
  }
  return nullptr;
}

}  // namespace

Status Normalizer::read(Cursor& cursor, uint32_t count) noexcept {
  if (count > kMaxNormalizerSteps) {
    return make_error(Code::limit_exceeded, cursor.offset(), kWhere, "%u normaliser steps; the limit is %u", count,
                      kMaxNormalizerSteps);
  }
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t offset = cursor.offset();
    const uint32_t kind = cursor.u32();
    NormalizerStep step = {};
    step.flags = cursor.u32();
    step.pattern = cursor.string();
    const uint64_t content = cursor.offset();
    step.content = cursor.string();
    if (!cursor.ok()) {
      return make_error(Code::truncated, offset, kWhere, "the section ends in normaliser step %u", i);
    }
    const NormalizerRow* row = row_of(kind);
    if (row == nullptr) {
      return make_error(Code::unknown_value, offset, kWhere,
                        "normaliser step %u; a newer version of the library may know it", kind);
    }
    step.kind = row->kind;
    if ((step.flags & ~row->flags) != 0) {
      return make_error(Code::unknown_flags, offset + 4, kWhere, "unknown flags 0x%x of a normaliser step", step.flags);
    }
    if ((!row->has_pattern && !step.pattern.empty()) || (!row->has_content && !step.content.empty())) {
      return make_error(Code::bad_value, !row->has_pattern && !step.pattern.empty() ? offset + 8 : content, kWhere,
                        "a normaliser step with a text that it does not use");
    }
    if (row->check != nullptr) ONEPASS_TRY(row->check(step, offset + 12));
    if (!steps_.push_back(step)) {
      return make_error(Code::out_of_memory, Error::no_offset, kWhere, "no memory for the normaliser");
    }
  }
  return {};
}

bool Normalizer::run(const TextView& source, size_t* begin, size_t* end, EncodeScratch& scratch,
                     TextView* out) const noexcept {
  std::string_view text(source.data + *begin, *end - *begin);
  const DerivedText* last = nullptr;
  for (const NormalizerStep& step : steps_) {
    DerivedText& next = scratch.normalized[last == &scratch.normalized[0] ? 1 : 0];
    const Change change = row_of(static_cast<uint32_t>(step.kind))->apply(step, text, scratch, next);
    if (change == Change::no_memory) return false;
    if (change == Change::none) continue;
    if (last == nullptr) {
      for (AlignmentRun& run : next.runs) run.source += static_cast<uint32_t>(*begin);
    } else if (!compose_runs(next.runs, next.size, last->runs.span(), scratch.runs)) {
      return false;
    }
    last = &next;
    text = {next.bytes.data(), next.size};
  }
  if (last == nullptr) {
    *out = source;
    return true;
  }
  *out = view_of(*last);
  *begin = 0;
  *end = last->size;
  return true;
}

bool compose_runs(Array<AlignmentRun>& runs, size_t size, std::span<const AlignmentRun> inner,
                  Array<AlignmentRun>& spare) noexcept {
  if (inner.empty()) return true;
  spare.clear();
  size_t k = 0;  // the last inner run that begins at or before the position
  for (size_t i = 0; i < runs.size(); ++i) {
    const AlignmentRun run = runs[i];
    const auto end = static_cast<uint32_t>(i + 1 < runs.size() ? runs[i + 1].at : size);
    const uint32_t last = run.source + (end - run.at);  // in the inner text, past the run
    while (k + 1 < inner.size() && inner[k + 1].at <= run.source) ++k;
    uint32_t at = run.at;
    uint32_t from = run.source;
    for (size_t j = k; at < end; ++j) {
      const uint32_t source = inner[j].source + (from - inner[j].at);
      const bool linear = !spare.empty() && source - spare[spare.size() - 1].source == at - spare[spare.size() - 1].at;
      if (!linear && !spare.push_back({at, source})) return false;
      if (j + 1 == inner.size() || inner[j + 1].at >= last) break;
      from = inner[j + 1].at;
      at = run.at + (from - run.source);
    }
  }
  std::swap(runs, spare);
  return true;
}

}  // namespace onepass
