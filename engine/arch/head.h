// What a head's numbers mean.
#pragma once

#include <cstdint>

namespace onepass {

// Stable numbers: they are stored in model files.
enum class HeadKind : uint32_t {
  single_label = 1,  // softmax over the labels, one wins
  multi_label = 2,   // a sigmoid a label, each against its own threshold
  regression = 3,    // the numbers themselves, clamped to a range
  token_label = 4,   // softmax over the labels of every token: Pool::every_token
};
constexpr uint32_t head_kind_count = 4;

}  // namespace onepass
