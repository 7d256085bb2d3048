// The element types of GGUF's tensors: blocks of elements that share their scales.
#pragma once

#include <cstddef>
#include <cstdint>

namespace onepass {

// Numbers as files have them.
enum class GgmlType : uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  iq4_nl = 20,
  iq4_xs = 23,
  bf16 = 30,
};

struct GgmlTypeInfo {
  GgmlType type;
  const char* name;
  uint32_t block;  // elements
  uint32_t bytes;  // of a block
};

// Null for the types that are not read.
const GgmlTypeInfo* find_ggml_type(uint32_t number) noexcept;
// What the type of a number is called, for messages: also of types that are not read. Null where it is unknown.
const char* ggml_type_name(uint32_t number) noexcept;

const GgmlTypeInfo& info_of(GgmlType type) noexcept;

}  // namespace onepass
