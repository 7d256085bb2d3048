// Writes safetensors files for tests and fixtures.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace onepass::test {

struct SafetensorsTensor {
  std::string name;
  std::string dtype;
  std::vector<uint64_t> shape;
  std::vector<uint8_t> bytes;
};

SafetensorsTensor f32_tensor(std::string name, std::vector<uint64_t> shape, std::span<const float> values);

// A well-formed file; the tensors lie in the order given.
std::vector<uint8_t> write_safetensors(std::span<const SafetensorsTensor> tensors,
                                       const std::map<std::string, std::string>& metadata = {});

// A file of exactly this header and this data, well-formed or not.
std::vector<uint8_t> safetensors_file(std::string_view header, std::span<const uint8_t> data = {});

}  // namespace onepass::test
