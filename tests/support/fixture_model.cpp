#include "tests/support/fixture_model.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

#include "tools/convert/convert.h"

namespace onepass::test {

std::filesystem::path fixture_path(const std::string& name) {
  const char* folder = std::getenv("ONEPASS_FIXTURES");
  return std::filesystem::path(folder == nullptr ? "tests/fixtures" : folder) / name;
}

namespace {

template <class T>
T must(Result<T> result, const std::string& name) {
  if (!result.ok()) throw std::runtime_error(name + ": " + result.error().where + ": " + result.error().message);
  return std::move(result).value();
}

ModelContent content_of_fixture(const std::string& name, convert::WeightType weights) {
  auto content = must(convert::convert_folder({.source = fixture_path(name), .weights = weights}, nullptr), name);
  if (const auto s = convert::add_self_tests(content); !s.ok())
    throw std::runtime_error(name + ": " + s.error().message);
  return content;
}

}  // namespace

std::vector<uint8_t> fixture_model(const std::string& name, const std::string& weights) {
  const auto type = weights == "f32"   ? convert::WeightType::f32
                    : weights == "f16" ? convert::WeightType::f16
                                       : convert::WeightType::int8;
  return must(serialize_model(content_of_fixture(name, type)), name);
}

std::vector<uint8_t> fixture_model_with_wrong_self_test(const std::string& name) {
  ModelContent content = content_of_fixture(name, convert::WeightType::f32);
  float& logit = content.self_tests.at(1).logits.at(0);
  logit = std::nextafter(logit, 1e9f);
  return must(serialize_model(content), name);
}

AlignedCopy::AlignedCopy(std::span<const uint8_t> bytes) : size_(bytes.size()) {
  void* block = nullptr;
  if (posix_memalign(&block, 64, size_) != 0) throw std::bad_alloc();
  data_ = static_cast<uint8_t*>(block);
  std::memcpy(data_, bytes.data(), size_);
}

AlignedCopy::~AlignedCopy() { std::free(data_); }

}  // namespace onepass::test
