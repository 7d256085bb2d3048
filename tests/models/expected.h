// The reference implementation's answers beside a fixture checkpoint (tools/dev/bert_fixtures.py).
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "formats/safetensors/safetensors.h"

namespace onepass::test {

inline std::filesystem::path fixtures() {
  const char* folder = std::getenv("ONEPASS_FIXTURES");
  return folder == nullptr ? "tests/fixtures" : folder;
}

struct Expected {
  std::vector<std::string> texts;
  std::vector<uint32_t> ids, starts;
  std::vector<uint32_t> pooled;            // rows of hidden
  std::vector<float> logits;               // [texts, classes], of heads of tokens [tokens, classes]
  std::vector<std::vector<float>> hidden;  // after the embeddings and after every layer: [tokens, width]

  size_t classes() const { return logits.size() / texts.size(); }
};

inline Expected load_expected(const std::filesystem::path& folder) {
  std::ifstream file(folder / "expected.safetensors", std::ios::binary);
  const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
  const auto header = parse_safetensors(bytes, "expected.safetensors");
  if (!header.ok()) throw std::runtime_error(std::string("expected.safetensors: ") + header.error().message);
  std::map<std::string, const SafetensorsEntry*> entries;
  for (const auto& entry : header.value().entries) entries[entry.name] = &entry;
  const auto read = [&]<class T>(const std::string& name, std::vector<T>& out) {
    const SafetensorsEntry& e = *entries.at(name);
    out.resize((e.end - e.begin) / sizeof(T));
    std::memcpy(out.data(), bytes.data() + e.begin, e.end - e.begin);
  };
  Expected expected;
  std::vector<char> text;
  std::vector<uint32_t> text_starts;
  read("texts", text);
  read("text_starts", text_starts);
  for (size_t i = 0; i + 1 < text_starts.size(); ++i) {
    expected.texts.emplace_back(text.data() + text_starts[i], text_starts[i + 1] - text_starts[i]);
  }
  read("ids", expected.ids);
  read("starts", expected.starts);
  read("logits", expected.logits);
  if (entries.contains("pooled")) {
    read("pooled", expected.pooled);
  } else {
    expected.pooled.assign(expected.starts.begin(), expected.starts.end() - 1);
  }
  for (size_t layer = 0; entries.contains("hidden." + std::to_string(layer)); ++layer) {
    read("hidden." + std::to_string(layer), expected.hidden.emplace_back());
  }
  return expected;
}

}  // namespace onepass::test
