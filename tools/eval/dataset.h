// Labelled texts for `onepass eval`, in the formats that people have them in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/result.h"
#include "onepass/onepass.hpp"

namespace onepass::eval {

struct Dataset {
  std::vector<std::string> texts;
  std::vector<uint8_t> gold;   // [N,C] of 0 and 1, label heads
  std::vector<double> values;  // [N,C], regression heads
};

// goemotions  text TAB comma-separated label numbers TAB id
// emobank     CSV with columns id,split,V,A,D,text: the rows of `split`; V, A, D of 1..5 become (x - 3) / 2
// tsv         text TAB comma-separated label names (label heads) or numbers (regression heads)
// jsonl       {"text": ..., "labels": [names]} or {"text": ..., "values": {name: number}}
Result<Dataset> read_dataset(const std::string& path, const std::string& format, const std::string& split,
                             const Head& head) noexcept;

// Rows of a CSV file (RFC 4180: quoted fields may hold commas, quotes and line breaks). Exposed for its test.
Result<std::vector<std::vector<std::string>>> parse_csv(std::string_view text, std::string_view where) noexcept;

}  // namespace onepass::eval
