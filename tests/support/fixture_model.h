// A checkpoint of tests/fixtures, converted: for tests that must not see the converter's headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace onepass::test {

// "bert/own_heads" below tests/fixtures.
std::filesystem::path fixture_path(const std::string& name);

// The bytes of the .onepass file, self-tests included. `weights` is f32, f16 or int8. Throws where the conversion
// fails.
std::vector<uint8_t> fixture_model(const std::string& name, const std::string& weights = "f32");
// A language model of tests/fixtures/label_words whose labels are words, with the template that lies beside it.
std::vector<uint8_t> fixture_words_model(const std::string& name, const std::string& weights = "int8");
// As fixture_model, f32, with right hashes and one stored logit off.
std::vector<uint8_t> fixture_model_with_wrong_self_test(const std::string& name);

// 64-byte aligned memory of exactly that size, so that a sanitizer sees the first byte beyond it.
class AlignedCopy {
 public:
  explicit AlignedCopy(std::span<const uint8_t> bytes);
  ~AlignedCopy();
  AlignedCopy(const AlignedCopy&) = delete;
  AlignedCopy& operator=(const AlignedCopy&) = delete;
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<uint8_t> span() const { return {data_, size_}; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_;
};

}  // namespace onepass::test
