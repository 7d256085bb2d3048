// BERT's normaliser, as BertNormalizer of the tokenizers library: clean the text, set ideographs apart, strip
// accents (canonical decomposition without nonspacing marks), lower the case.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/text/encode_scratch.h"

namespace onepass {

struct BertNormalizer {
  bool clean_text = false;
  bool handle_chinese_chars = false;
  bool strip_accents = false;
  bool lowercase = false;
};

// out = the normalised text, aligned to positions of `text` plus `origin`. `text` is valid UTF-8. False when out of
// memory.
bool normalize_bert(const BertNormalizer& normalizer, std::string_view text, uint32_t origin, PendingMarks& marks,
                    DerivedText& out) noexcept;

}  // namespace onepass
