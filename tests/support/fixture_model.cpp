#include "tests/support/fixture_model.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <nlohmann/json.hpp>
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

convert::WeightType type_of(const std::string& weights) {
  return weights == "f32"   ? convert::WeightType::f32
         : weights == "f16" ? convert::WeightType::f16
                            : convert::WeightType::int8;
}

ModelContent content_of_fixture(const std::string& name, convert::WeightType weights) {
  auto content = must(convert::convert_folder({.source = fixture_path(name), .weights = weights}, nullptr), name);
  if (const auto s = convert::add_self_tests(content); !s.ok())
    throw std::runtime_error(name + ": " + s.error().message);
  return content;
}

}  // namespace

std::vector<uint8_t> fixture_model(const std::string& name, const std::string& weights) {
  return must(serialize_model(content_of_fixture(name, type_of(weights))), name);
}

std::vector<uint8_t> fixture_words_model(const std::string& name, const std::string& weights) {
  const std::filesystem::path folder = fixture_path("label_words/lm/" + name);
  std::ifstream file(folder / "labels.json");
  const auto json = nlohmann::ordered_json::parse(file);
  convert::LabelWords words;
  words.prompt = json.at("template").get<std::string>();
  for (const auto& [label, list] : json.at("labels").items()) {
    words.labels.push_back({label, list.get<std::vector<std::string>>()});
  }
  const convert::Options options{.source = folder, .weights = type_of(weights), .label_words = words};
  return must(serialize_model(must(convert::convert_folder(options, nullptr), name)), name);
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
