// What the tests of the C API share: owners of its handles, fixture models, and one call that classifies.
// Only the public headers are seen here.
#pragma once

#include <gtest/gtest.h>
#include <onepass/onepass.h>

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/fixture_model.h"

namespace onepass::test {

// Numbers of statuses: stable, so that they are written out here.
constexpr onepass_status kInvalidArgument = 1, kIoError = 3, kUnsupported = 4, kIsaUnavailable = 5, kBufferTooSmall = 6,
                         kTextTooLong = 7, kTruncated = 20, kMisaligned = 27, kHashMismatch = 30, kSelfTestFailed = 57;

struct CloseModel {
  void operator()(onepass_model* m) const { onepass_model_close(m); }
};
struct CloseSession {
  void operator()(onepass_session* s) const { onepass_session_close(s); }
};
using ModelPtr = std::unique_ptr<onepass_model, CloseModel>;
using SessionPtr = std::unique_ptr<onepass_session, CloseSession>;

// Converted once a program.
inline const std::vector<uint8_t>& bytes_of(const std::string& name, const std::string& weights = "int8") {
  static std::map<std::string, std::vector<uint8_t>> cache;
  auto& bytes = cache[name + " " + weights];
  if (bytes.empty()) bytes = fixture_model("bert/" + name, weights);
  return bytes;
}

inline ModelPtr open_copy(std::span<const uint8_t> bytes) {
  onepass_model_options options = ONEPASS_INIT(onepass_model_options);
  options.copy = 1;
  onepass_error error = ONEPASS_INIT(onepass_error);
  onepass_model* model = nullptr;
  EXPECT_EQ(onepass_model_open_memory(bytes.data(), bytes.size(), &options, &model, &error), ONEPASS_OK)
      << error.where << ": " << error.message;
  return ModelPtr(model);
}

// Two heads, "mood" (multi_label, 9 classes) and "pad" (regression, 3); at most 48 tokens.
inline ModelPtr open_fixture(const std::string& name = "own_heads", const std::string& weights = "int8") {
  return open_copy(bytes_of(name, weights));
}

inline SessionPtr open_session(const ModelPtr& model,
                               onepass_session_options options = ONEPASS_INIT(onepass_session_options)) {
  onepass_error error = ONEPASS_INIT(onepass_error);
  onepass_session* session = nullptr;
  EXPECT_EQ(onepass_session_open(model.get(), &options, &session, &error), ONEPASS_OK)
      << error.where << ": " << error.message;
  return SessionPtr(session);
}

inline uint32_t class_count(const onepass_model* model) {
  onepass_model_info info = ONEPASS_INIT(onepass_model_info);
  EXPECT_EQ(onepass_model_get_info(model, &info), ONEPASS_OK);
  return info.class_count;
}

inline onepass_string text_of(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view view(onepass_string s) { return {s.data, s.size}; }

struct Answer {
  onepass_status status;
  std::vector<onepass_result> results;
  std::vector<float> scores, logits;
  onepass_error error;
};

inline Answer classify(const ModelPtr& model, const SessionPtr& session, std::span<const std::string> texts,
                       const onepass_classify_options* options = nullptr) {
  std::vector<onepass_string> in;
  for (const std::string& text : texts) in.push_back(text_of(text));
  const size_t floats = texts.size() * class_count(model.get());
  Answer a{0, std::vector<onepass_result>(texts.size()), std::vector<float>(floats), std::vector<float>(floats),
           ONEPASS_INIT(onepass_error)};
  a.status = onepass_classify(session.get(), in.data(), in.size(), options, a.results.data(), a.scores.data(),
                              a.logits.data(), &a.error);
  return a;
}

// Texts of many lengths, with everything that the fixtures' tokenizer knows and some that it does not.
inline const std::vector<std::string>& sample_texts() {
  static const std::vector<std::string> texts = {
      "I love the happy dog!",
      "",
      "what a bad, sad cat... was it 3 or 9?",
      "caf\xC3\xA9 \xD1\x8F \xE4\xB8\xAD\xE4\xB8\xAD",
      "thank you very very very very much",
      "unbelievable xyzzy \xF0\x9F\x98\x80 happyness",
      "not good, not bad, not good, not bad, not good, not bad, not good, not bad, not good, not bad, not good, not",
  };
  return texts;
}

}  // namespace onepass::test
