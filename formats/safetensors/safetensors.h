// safetensors: an 8-byte length, a JSON header, and the tensors' bytes without gaps.
// https://github.com/huggingface/safetensors#format, read by the rules of docs/security.md.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/result.h"

namespace onepass {

enum class SafetensorsType : uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };
size_t size_of(SafetensorsType type) noexcept;
const char* name_of(SafetensorsType type) noexcept;  // as the file writes it, "BF16"

constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;
constexpr size_t kMaxCheckpointTensors = 65'536;
constexpr size_t kMaxTensorRank = 8;
constexpr uint64_t kMaxTensorDim = (uint64_t{1} << 31) - 1;
constexpr uint64_t kMaxTensorElements = uint64_t{1} << 36;

struct SafetensorsEntry {
  std::string name;
  SafetensorsType dtype = SafetensorsType::f32;
  std::vector<uint64_t> shape;
  uint64_t elements = 0;  // the product of shape
  uint64_t begin = 0;     // the tensor's bytes in the file: [begin, end)
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // sorted by begin; together they cover the file's data exactly
  std::map<std::string, std::string> metadata;
  uint64_t data_begin = 0;
};

// The length of header and length field together, from the first bytes of a file of file_size bytes. Errors:
// truncated, bad_value (a header below 2 bytes), limit_exceeded.
Result<uint64_t> safetensors_prefix_size(std::span<const uint8_t> first_bytes, uint64_t file_size,
                                         std::string_view where) noexcept;

// Parses and checks everything but the tensors' values. `prefix` is the file's first safetensors_prefix_size() bytes.
Result<SafetensorsHeader> parse_safetensors_header(std::span<const uint8_t> prefix, uint64_t file_size,
                                                   std::string_view where) noexcept;

// The same for a file that lies in memory.
Result<SafetensorsHeader> parse_safetensors(std::span<const uint8_t> file, std::string_view where) noexcept;

// Converts the elements of a tensor to f32: out[i] for i < out.size() from bytes[i * size_of(type)], which need no
// alignment. `first` is the index of out[0] in the tensor. Errors: bad_dtype (an integer type), non_finite (naming
// the element; also an F64 beyond the range of f32). Requires bytes.size() == out.size() * size_of(type).
Status convert_to_f32(SafetensorsType type, std::span<const uint8_t> bytes, std::span<float> out, uint64_t first,
                      std::string_view where) noexcept;

}  // namespace onepass
