#include "tests/support/safetensors_writer.h"

#include <bit>
#include <utility>

#include "formats/json/json.h"

namespace onepass::test {

SafetensorsTensor f32_tensor(std::string name, std::vector<uint64_t> shape, std::span<const float> values) {
  SafetensorsTensor tensor{std::move(name), "F32", std::move(shape), {}};
  for (const float value : values) {
    const auto bits = std::bit_cast<uint32_t>(value);
    for (uint32_t i = 0; i < 4; ++i) tensor.bytes.push_back(static_cast<uint8_t>(bits >> (8 * i)));
  }
  return tensor;
}

std::vector<uint8_t> write_safetensors(std::span<const SafetensorsTensor> tensors,
                                       const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  std::vector<uint8_t> data;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  for (const SafetensorsTensor& tensor : tensors) {
    const size_t begin = data.size();
    data.insert(data.end(), tensor.bytes.begin(), tensor.bytes.end());
    header[tensor.name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  return safetensors_file(header.dump(), data);
}

std::vector<uint8_t> safetensors_file(std::string_view header, std::span<const uint8_t> data) {
  std::vector<uint8_t> file;
  for (uint32_t i = 0; i < 8; ++i) file.push_back(static_cast<uint8_t>(uint64_t{header.size()} >> (8 * i)));
  file.insert(file.end(), header.begin(), header.end());
  file.insert(file.end(), data.begin(), data.end());
  return file;
}

}  // namespace onepass::test
