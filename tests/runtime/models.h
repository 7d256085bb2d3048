// What the tests of the runtime share: fixture models with patched bytes, sessions, and one call that runs.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "engine/runtime/model.h"
#include "engine/runtime/session.h"
#include "tests/support/fixture_model.h"
#include "tests/support/near.h"
#include "tests/support/together.h"

namespace onepass::test {

using kernels::Isa;

inline const std::vector<uint8_t>& bytes_of(const std::string& name, const std::string& weights = "int8") {
  static std::map<std::string, std::vector<uint8_t>> cache;
  auto& bytes = cache[name + " " + weights];
  if (bytes.empty()) bytes = fixture_model("bert/" + name, weights);
  return bytes;
}

inline Model open_bytes(std::span<const uint8_t> bytes, bool verify = true) {
  auto model = Model::from_memory(bytes, {.mode = LoadMode::copy, .verify = verify});
  if (!model.ok()) throw std::runtime_error(std::string(model.error().where) + ": " + model.error().message);
  return std::move(model).value();
}

// A model whose tensors `edit` changed, opened without verification. The span is a tensor's payload.
inline Model open_patched(const std::string& name, const std::string& weights,
                          const std::function<void(const TensorView&, std::span<uint8_t>)>& edit) {
  std::vector<uint8_t> bytes = bytes_of(name, weights);
  const Model original = open_bytes(bytes);
  for (const TensorView& tensor : original.file().tensors()) {
    edit(tensor, std::span(bytes).subspan(static_cast<size_t>(tensor.offset), static_cast<size_t>(tensor.bytes)));
  }
  return open_bytes(bytes, false);
}

inline Session open_session(const Model& model, const SessionOptions& options = {}) {
  auto session = Session::create(model, options);
  if (!session.ok()) throw std::runtime_error(session.error().message);
  return std::move(session).value();
}

inline std::vector<Isa> available_levels() {
  std::vector<Isa> levels;
  for (unsigned level = 0; level < kernels::isa_count; ++level) {
    if (kernels::isa_available(static_cast<Isa>(level))) levels.push_back(static_cast<Isa>(level));
  }
  return levels;
}

struct TokenBatch {
  std::vector<uint32_t> ids, starts{0};
  void add(size_t tokens, uint32_t vocab, uint32_t seed) {
    for (size_t t = 0; t < tokens; ++t) {
      seed = seed * 1664525u + 1013904223u;
      ids.push_back((seed >> 8) % vocab);
    }
    starts.push_back(static_cast<uint32_t>(ids.size()));
  }
};

struct Outcome {
  Status status;
  std::vector<TextResult> results;
  std::vector<float> logits, scores;
};

inline Outcome classify(Session& session, std::span<const std::string> texts, const ClassifyOptions& options = {}) {
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const size_t floats = texts.size() * session.model().total_classes();
  Outcome o{{}, std::vector<TextResult>(texts.size()), std::vector<float>(floats), std::vector<float>(floats)};
  o.status = session.classify(views, options, o.results, o.logits, o.scores);
  return o;
}

inline const std::vector<std::string>& sample_texts() {
  static const std::vector<std::string> texts = {
      "I love the happy dog!",
      "",
      "what a bad, sad cat... was it 3 or 9?",
      "thank you very very very very much",
      "not good, not bad, not good, not bad, not good, not bad, not good, not bad, not good, not bad, not good, not",
  };
  return texts;
}

}  // namespace onepass::test
