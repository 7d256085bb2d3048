// Checkpoint: the weights of a Hugging Face folder, in model.safetensors or in shards with their index.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/result.h"
#include "formats/safetensors/safetensors.h"
#include "formats/weight_file.h"

namespace onepass {

class Checkpoint : public WeightFile {
 public:
  // Opens folder/model.safetensors, or folder/model.safetensors.index.json and every shard that it names. Headers are
  // read and checked here; tensors are read when asked for, from a file that may have changed: a shorter file is an
  // error then, never a fault. Errors of a single file as in safetensors.h; of an index: bad_name (a shard that is no
  // plain base name of a .safetensors file), missing_tensor, extra_tensor, duplicate_name (in two shards).
  static Result<Checkpoint> open(const std::filesystem::path& folder) noexcept;

  // Sorted by name. The file offsets of an entry are those in its own shard.
  const std::map<std::string, SafetensorsEntry, std::less<>>& tensors() const noexcept { return tensors_; }
  std::vector<std::string> names() const override;
  const std::vector<uint64_t>* shape(std::string_view name) const noexcept override;
  std::optional<GgmlType> stored_type(std::string_view name) const noexcept override;
  const SafetensorsEntry* find(std::string_view name) const noexcept;  // null where there is none

  // The values in row-major order. Errors: missing_tensor, bad_dtype, non_finite, truncated, io_error.
  Result<std::vector<float>> read_f32(std::string_view name) const noexcept override;
  // The values of a tensor of I32, by their bits.
  Result<std::vector<uint32_t>> read_i32(std::string_view name) const noexcept;

  // SHA-256 over the bytes of the weight files, one after the other in the order of their names.
  Result<std::array<uint8_t, 32>> source_hash() const noexcept override;

 private:
  struct File {
    std::filesystem::path path;
    std::string name;
    uint64_t size = 0;
  };

  // Calls f(block, number of its first element) for the bytes of a tensor, in turn.
  template <class F>
  Status for_each_block(const SafetensorsEntry& entry, F&& f) const;
  Status add_file(const std::filesystem::path& path, std::string name,
                  const std::map<std::string, std::string>* weight_map);

  std::vector<File> files_;  // sorted by name
  std::map<std::string, SafetensorsEntry, std::less<>> tensors_;
  std::map<std::string, size_t, std::less<>> file_of_;  // tensor name to index in files_
};

}  // namespace onepass
