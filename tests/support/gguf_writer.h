// Writes GGUF files for tests, well-formed or not: every count can be set to a lie, and tensors can lie anywhere.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onepass::test {

class GgufBytes {
 public:
  GgufBytes& u8(uint8_t v) {
    bytes.push_back(v);
    return *this;
  }
  GgufBytes& u32(uint32_t v) { return little_endian(v, 4); }
  GgufBytes& u64(uint64_t v) { return little_endian(v, 8); }
  GgufBytes& f32(float v) { return u32(std::bit_cast<uint32_t>(v)); }
  GgufBytes& raw(std::string_view text) {
    bytes.insert(bytes.end(), text.begin(), text.end());
    return *this;
  }
  GgufBytes& string(std::string_view text) { return u64(text.size()).raw(text); }

  std::vector<uint8_t> bytes;

 private:
  GgufBytes& little_endian(uint64_t v, uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) bytes.push_back(static_cast<uint8_t>(v >> (8 * i)));
    return *this;
  }
};

// A file in parts. `file()` joins them; what is set in the optional members stands in place of what is true.
class GgufFile {
 public:
  GgufFile& key(std::string_view name, uint32_t type, const GgufBytes& value) {
    keys_.string(name).u32(type).raw(text_of(value));
    ++key_count_;
    return *this;
  }
  GgufFile& key_u32(std::string_view name, uint32_t value) { return key(name, 4, GgufBytes().u32(value)); }
  GgufFile& key_f32(std::string_view name, float value) { return key(name, 6, GgufBytes().f32(value)); }
  GgufFile& key_bool(std::string_view name, uint8_t value) { return key(name, 7, GgufBytes().u8(value)); }
  GgufFile& key_text(std::string_view name, std::string_view value) { return key(name, 8, GgufBytes().string(value)); }
  GgufFile& key_texts(std::string_view name, const std::vector<std::string>& values) {
    GgufBytes array;
    array.u32(8).u64(values.size());
    for (const std::string& value : values) array.string(value);
    return key(name, 9, array);
  }
  GgufFile& key_f32s(std::string_view name, const std::vector<float>& values) {
    GgufBytes array;
    array.u32(6).u64(values.size());
    for (const float value : values) array.f32(value);
    return key(name, 9, array);
  }
  GgufFile& key_i32s(std::string_view name, const std::vector<int32_t>& values) {
    GgufBytes array;
    array.u32(5).u64(values.size());
    for (const int32_t value : values) array.u32(static_cast<uint32_t>(value));
    return key(name, 9, array);
  }

  // `dims` as the file has them: the contiguous one first. The data follows the tensor before it.
  GgufFile& tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                   const std::vector<uint8_t>& data, std::optional<uint64_t> offset = std::nullopt) {
    infos_.string(name).u32(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) infos_.u64(dim);
    infos_.u32(type).u64(offset.value_or(data_.size()));
    data_.insert(data_.end(), data.begin(), data.end());
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    ++tensor_count_;
    return *this;
  }
  GgufFile& infos(const GgufBytes& bytes) {  // one tensor's, as it is
    infos_.raw(text_of(bytes));
    ++tensor_count_;
    return *this;
  }

  std::vector<uint8_t> file() const {
    GgufBytes out;
    out.raw(magic).u32(version).u64(tensor_count.value_or(tensor_count_)).u64(key_count.value_or(key_count_));
    out.raw(text_of(keys_)).raw(text_of(infos_));
    if (!data_.empty()) {
      out.bytes.resize((out.bytes.size() + alignment - 1) / alignment * alignment, padding);
      out.bytes.insert(out.bytes.end(), data_.begin(), data_.end());
    }
    return out.bytes;
  }

  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t alignment = 32;
  uint8_t padding = 0;
  std::optional<uint64_t> tensor_count, key_count;

 private:
  static std::string_view text_of(const GgufBytes& b) {
    return {reinterpret_cast<const char*>(b.bytes.data()), b.bytes.size()};
  }

  GgufBytes keys_, infos_;
  std::vector<uint8_t> data_;
  uint64_t key_count_ = 0, tensor_count_ = 0;
};

}  // namespace onepass::test
