// GgufModel: a GGUF file that stays open, and its tensors.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "engine/core/mapped_file.h"
#include "formats/gguf/gguf.h"
#include "formats/weight_file.h"

namespace onepass {

class GgufModel {
 public:
  // Maps the file, which must not change while this lives, and checks its header. Splits of a larger file are refused.
  static Result<GgufModel> open(const std::filesystem::path& path) noexcept;

  const std::string& name() const noexcept { return name_; }  // of the file, for errors
  const GgufMetadata& metadata() const noexcept { return header_.metadata; }
  const std::vector<GgufTensor>& tensors() const noexcept { return header_.tensors; }
  const GgufTensor* find(std::string_view name) const noexcept;
  std::span<const uint8_t> file() const noexcept { return file_.bytes(); }

  // Rows [begin, end) of a tensor of [rows, width], or the elements of a vector, which is one row. Errors: non_finite.
  Result<std::vector<float>> read_f32(const GgufTensor& tensor, uint64_t begin, uint64_t end) const;
  // The same as codes, for Q4_0, Q4_1 and Q4_K. Errors: bad_dtype, non_finite, bad_value.
  Result<Int4Codes> read_int4(const GgufTensor& tensor, uint64_t begin, uint64_t end) const;

 private:
  MappedFile file_;
  std::string name_;
  GgufHeader header_;
  std::map<std::string, size_t, std::less<>> index_;
};

// Whole blocks of 32 or 256 as int4 codes, appended to `out`. False where f16 cannot hold a scale, or one is not
// finite. `type` is Q4_0, Q4_1 or Q4_K.
bool append_int4(GgmlType type, std::span<const uint8_t> blocks, Int4Codes& out);

}  // namespace onepass
