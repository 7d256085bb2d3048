// Fixture checkpoints converted with and without calibration, and texts for them.
#pragma once

#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/runtime/model.h"
#include "engine/runtime/session.h"
#include "tests/models/expected.h"
#include "tools/convert/convert.h"
#include "tools/quantise/quantise.h"

namespace onepass::test {

// Of the words that the fixtures' vocabularies have; other seeds give other texts.
inline std::vector<std::string> made_up_texts(size_t count, uint32_t seed) {
  static const char* const kWords[] = {"the",  "cat",   "dog", "is",    "was",  "not", "good",  "bad",
                                       "very", "happy", "sad", "you",   "love", "and", "hate",  "what",
                                       "1",    "2",     ".",   "caf",   "me",   "42",  "!",     "?",
                                       ",",    "a",     "on",  "thank", "in",   "x",   "never", "soon"};
  std::mt19937 random(seed);
  std::vector<std::string> texts;
  for (size_t i = 0; i < count; ++i) {
    std::string text;
    for (size_t words = 1 + random() % 12; words > 0; --words) {
      text += (text.empty() ? "" : " ") + std::string(kWords[random() % std::size(kWords)]);
    }
    texts.push_back(text);
  }
  return texts;
}

inline ModelContent converted(const convert::Options& options) {
  auto content = convert::convert_folder(options, nullptr);
  if (!content.ok()) throw std::runtime_error(std::string(content.error().where) + ": " + content.error().message);
  return std::move(content).value();
}

inline convert::Options in_f32(convert::Options options) {
  options.weights = convert::WeightType::f32;
  options.embeddings = convert::WeightType::f32;
  options.attention = AttentionType::f32;
  return options;
}

// With calibration where `codes` is not null.
inline ModelContent quantised(const convert::Options& options, const quantise::Options* codes,
                              quantise::Report* report = nullptr) {
  ModelContent content = converted(options);
  if (codes == nullptr) return content;
  auto done = quantise::quantise(converted(in_f32(options)), *codes, content, [](size_t, size_t) {});
  if (!done.ok()) throw std::runtime_error(std::string(done.error().where) + ": " + done.error().message);
  if (report != nullptr) *report = done.value();
  return content;
}

inline Model opened(const ModelContent& content) {
  auto bytes = serialize_model(content);
  if (!bytes.ok()) throw std::runtime_error(bytes.error().message);
  auto model = Model::from_memory(bytes.value(), {.mode = LoadMode::copy});
  if (!model.ok()) throw std::runtime_error(std::string(model.error().where) + ": " + model.error().message);
  return std::move(model).value();
}

// Rows of logits one behind the other: a text, or a token.
inline std::vector<float> logits_of(const Model& model, const std::vector<std::string>& texts) {
  auto session = Session::create(model, {});
  if (!session.ok()) throw std::runtime_error(session.error().message);
  std::vector<float> all;
  for (const std::string& text : texts) {
    const auto tokens = session.value().tokenize(text, {});
    if (!tokens.ok()) throw std::runtime_error(tokens.error().message);
    const std::vector<uint32_t> ids(tokens.value().ids.begin(), tokens.value().ids.end());
    const uint32_t starts[] = {0, static_cast<uint32_t>(ids.size())};
    std::vector<float> logits(model.config().logit_rows(ids.size(), 1) * model.total_classes());
    const Status status = session.value().run_ids(ids, starts, logits);
    if (!status.ok()) throw std::runtime_error(status.error().message);
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

inline double mean_square(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double off = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += off * off;
  }
  return sum / static_cast<double>(a.size());
}

}  // namespace onepass::test
