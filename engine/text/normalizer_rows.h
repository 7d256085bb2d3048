// The kinds of normaliser step: one function each, and a row of the table in normalizer.cpp.
#pragma once

#include "engine/text/normalizer.h"

namespace onepass {

// Longest pattern or content of a replacement, in bytes: a text grows by no more than this factor at a step.
constexpr size_t kMaxReplacement = 64;

Change normalize_bert(const NormalizerStep& step, std::string_view text, EncodeScratch& scratch,
                      DerivedText& out) noexcept;
// NFC, NFD, NFKC and NFKD, by the step's kind.
Change normalize_unicode(const NormalizerStep& step, std::string_view text, EncodeScratch& scratch,
                         DerivedText& out) noexcept;
Change normalize_strip_accents(const NormalizerStep& step, std::string_view text, EncodeScratch& scratch,
                               DerivedText& out) noexcept;
Change normalize_lowercase(const NormalizerStep& step, std::string_view text, EncodeScratch& scratch,
                           DerivedText& out) noexcept;
Change normalize_replace(const NormalizerStep& step, std::string_view text, EncodeScratch& scratch,
                         DerivedText& out) noexcept;
Change normalize_replace_spaces(const NormalizerStep& step, std::string_view text, EncodeScratch& scratch,
                                DerivedText& out) noexcept;
Change normalize_prepend(const NormalizerStep& step, std::string_view text, EncodeScratch& scratch,
                         DerivedText& out) noexcept;
Change normalize_strip(const NormalizerStep& step, std::string_view text, EncodeScratch& scratch,
                       DerivedText& out) noexcept;
Change normalize_precompiled(const NormalizerStep& step, std::string_view text, EncodeScratch& scratch,
                             DerivedText& out) noexcept;
Change normalize_nmt(const NormalizerStep& step, std::string_view text, EncodeScratch& scratch,
                     DerivedText& out) noexcept;

}  // namespace onepass
