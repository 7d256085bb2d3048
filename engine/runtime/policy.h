// Policy: for which texts the answer of this model is good enough, and for which another one should be asked. Data in,
// a verdict with its reasons out: nothing here sends anything anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "formats/onepass/model_file.h"

namespace onepass {

enum class Route : uint8_t { local = 0, cloud = 1, local_uncertain = 2 };
constexpr uint32_t route_count = 3;
const char* route_name(Route route) noexcept;

// Bits of Verdict::reasons.
enum Reason : uint32_t {
  low_confidence = 1u << 0,
  negation = 1u << 1,
  sarcasm = 1u << 2,
  too_long = 1u << 3,
  offline = 1u << 4,
  high_stakes = 1u << 5,
};
constexpr uint32_t reason_count = 6;
// The name of bit `bit`; empty beyond them.
const char* reason_name(uint32_t bit) noexcept;

struct Policy {
  float min_confidence = 0;           // below: low_confidence
  size_t max_tokens = 0;              // more: too_long; 0: any length
  bool negation_and_sarcasm = false;  // a negation and a marker of sarcasm in one text: both are reasons
  bool offline = false;               // nobody else can be asked now
  bool high_stakes = false;           // every text is
  float abstain_below = 0;            // a confidence below it is no answer
  // Lists with an entry a line; a null one is the list that is built in (English).
  std::string_view high_stakes_labels{};  // texts to which one of these labels applies are high_stakes, too
  std::string_view negations{}, sarcasm_markers{};
};

struct Verdict {
  Route route = Route::local;
  uint32_t reasons = 0;
  bool abstained = false;
};

// What a policy looks at: the text, its tokens as if it had been read whole, and the scores of every head.
struct Reading {
  std::string_view text;
  size_t tokens = 0;
  float confidence = 1;
  std::span<const float> scores{};
};

// cloud where high_stakes; else local where no reason was found; else cloud, or local_uncertain while offline, which is
// then the last reason.
Verdict decide(const Policy& policy, std::span<const HeadView> heads, const Reading& reading) noexcept;

// True where an entry of `list` occurs in `text`. Letters of ASCII match in either case. An entry matches whole words:
// where it begins or ends with a letter or digit, none may stand beside it, unless it begins with '*', which allows
// any beginning ("*n't"). A space in an entry matches any run of spaces, punctuation and symbols but apostrophes; '
// matches U+2019, too. Time is proportional to the length of the text times that of the list.
bool mentions(std::string_view text, std::string_view list) noexcept;

extern const char* const english_negations;
extern const char* const english_sarcasm_markers;

}  // namespace onepass
