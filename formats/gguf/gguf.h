// GGUF, versions 2 and 3, little-endian: metadata, tensor infos and the tensors' blocks.
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, read by the rules of docs/security.md.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/result.h"
#include "formats/gguf/ggml_types.h"

namespace onepass {

// Numbers as files have them.
enum class GgufType : uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};
constexpr uint32_t gguf_type_count = 13;
const char* name_of(GgufType type) noexcept;  // "uint32", as the format's description has it

constexpr uint64_t kMaxGgufKeys = 65'536;
constexpr uint64_t kMaxGgufTensors = 65'536;
constexpr uint64_t kMaxGgufString = uint64_t{16} << 20;
constexpr uint64_t kMaxGgufArray = uint64_t{1} << 24;
constexpr size_t kMaxGgufKeyBytes = 255;
constexpr size_t kMaxGgufTensorName = 63;
constexpr uint32_t kMaxGgufRank = 4;
constexpr uint64_t kMaxGgufDim = (uint64_t{1} << 31) - 1;
constexpr uint64_t kMaxGgufElements = uint64_t{1} << 36;
constexpr uint32_t kGgufDefaultAlignment = 32;

struct GgufValue {
  GgufType type = GgufType::u32;
  GgufType element = GgufType::u32;  // of an array
  uint64_t offset = 0;               // of the value in the file
  uint64_t bits = 0;                 // of a number or boolean, as it is stored
  std::string text;                  // of a string: UTF-8
  uint64_t count = 0;                // of an array
  std::vector<uint8_t> numbers;      // of an array of numbers or booleans: little-endian, as they are stored
  std::vector<std::string> texts;    // of an array of strings
};

// Keys and values. The getters ask for one type exactly, as writers always use the same for a key. Errors: missing_key,
// bad_type, non_finite, each with the value's offset and the key's name.
class GgufMetadata {
 public:
  explicit GgufMetadata(std::string where = "") : where_(std::move(where)) {}

  const std::map<std::string, GgufValue, std::less<>>& values() const noexcept { return values_; }
  const GgufValue* find(std::string_view key) const noexcept;
  bool has(std::string_view key) const noexcept { return find(key) != nullptr; }
  std::string path_of(std::string_view key) const { return where_ + ": " + std::string(key); }

  Result<uint32_t> u32(std::string_view key) const;
  Result<float> f32(std::string_view key) const;
  Result<std::string> text(std::string_view key) const;
  Result<std::vector<std::string>> texts(std::string_view key) const;
  Result<std::vector<float>> f32s(std::string_view key) const;
  Result<std::vector<int32_t>> i32s(std::string_view key) const;
  Result<std::string> bytes(std::string_view key) const;  // an array of uint8 or int8
  Result<std::vector<uint8_t>> booleans(std::string_view key) const;

  Result<std::optional<uint32_t>> optional_u32(std::string_view key) const;
  Result<std::optional<float>> optional_f32(std::string_view key) const;
  Result<std::optional<bool>> optional_boolean(std::string_view key) const;
  Result<std::optional<std::string>> optional_text(std::string_view key) const;

  // False where the key is there already.
  bool add(std::string key, GgufValue value) { return values_.emplace(std::move(key), std::move(value)).second; }

 private:
  Result<const GgufValue*> expect(std::string_view key, GgufType type) const;
  Result<const GgufValue*> expect_array(std::string_view key, GgufType element) const;

  std::string where_;
  std::map<std::string, GgufValue, std::less<>> values_;
};

struct GgufTensor {
  std::string name;
  GgmlType type = GgmlType::f32;
  std::vector<uint64_t> shape;  // row-major, the file's dimensions in reverse: [N,K]
  uint64_t elements = 0;        // the product of shape
  uint64_t begin = 0;           // the tensor's bytes in the file: [begin, end)
  uint64_t end = 0;
};

struct GgufHeader {
  uint32_t version = 0;
  uint32_t alignment = kGgufDefaultAlignment;
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;  // in the order of the file, one behind the other but for zeros up to the alignment
};

// Parses and checks everything but the tensors' values; every byte before them is read once. Errors, with their offset:
// truncated, bad_magic, bad_version, bad_endian, limit_exceeded, bad_name, bad_utf8, duplicate_name, unknown_value (a
// value type), too_deep (an array of arrays), bad_type and bad_value (general.alignment; a boolean), bad_shape,
// bad_dtype, misaligned and bad_section (a tensor that does not begin where it must), nonzero_padding, trailing_bytes.
Result<GgufHeader> parse_gguf(std::span<const uint8_t> file, std::string_view where) noexcept;

// The elements of a tensor or of whole blocks of it, bit for bit as ggml's reference computes them. `first` is the
// index of out[0] in the tensor. Errors: non_finite (a weight, or the scale of a block). Requires out.size() % block ==
// 0 and bytes.size() == out.size() / block * bytes, of info_of(type).
Status dequantize(GgmlType type, std::span<const uint8_t> bytes, std::span<float> out, uint64_t first,
                  std::string_view where) noexcept;

}  // namespace onepass
