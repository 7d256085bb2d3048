// WeightFile: the named tensors that a conversion reads, whatever file they are in.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/result.h"
#include "formats/gguf/ggml_types.h"

namespace onepass {

// A matrix in groups of 32 of a row as its file has it: nibbles [n,k] (0 to 15), f16 scales and minima [n, k/32].
// value = (nibble - 8) * scale, or nibble * scale + minimum where there are minima.
struct Int4Codes {
  std::vector<uint8_t> nibbles;
  std::vector<uint16_t> scales, minima;
  bool exact = true;  // false: scales and minima are rounded to f16
};

class WeightFile {
 public:
  virtual ~WeightFile() = default;

  virtual std::vector<std::string> names() const = 0;  // sorted
  // Row-major; null where there is no such tensor.
  virtual const std::vector<uint64_t>* shape(std::string_view name) const noexcept = 0;
  // How the file stores it, or a type that loses as much on the way to a layout; nullopt where there is no such tensor,
  // or for numbers of another kind.
  virtual std::optional<GgmlType> stored_type(std::string_view name) const noexcept = 0;
  // What people call it.
  virtual std::string stored_name(std::string_view name) const {
    const auto type = stored_type(name);
    return type ? info_of(*type).name : "other numbers";
  }
  // Whether the tensor changes nothing wherever it belongs, so that a model without it is the same.
  virtual bool adds_nothing(std::string_view) const { return false; }
  // The values in row-major order. Errors: missing_tensor, bad_dtype, non_finite, truncated, io_error.
  virtual Result<std::vector<float>> read_f32(std::string_view name) const noexcept = 0;
  // For stored_type Q4_0, Q4_1 and Q4_K; bad_dtype for others. Errors besides those of read_f32: bad_value (a scale
  // that f16 cannot hold).
  virtual Result<Int4Codes> read_int4(std::string_view name) const noexcept;
  // The name for messages: with that in the file, where it is another.
  virtual std::string label(std::string_view name) const { return std::string(name); }
  // SHA-256 over the bytes of the weight files.
  virtual Result<std::array<uint8_t, 32>> source_hash() const noexcept = 0;

 protected:
  WeightFile() = default;
  WeightFile(const WeightFile&) = default;
  WeightFile(WeightFile&&) = default;
  WeightFile& operator=(const WeightFile&) = default;
  WeightFile& operator=(WeightFile&&) = default;
};

inline Result<Int4Codes> WeightFile::read_int4(std::string_view name) const noexcept {
  return make_error(Code::bad_dtype, Error::no_offset, name, "the tensor is not stored in groups of 4 bits");
}

}  // namespace onepass
