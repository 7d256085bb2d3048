// A small character map of SentencePiece: an encoder of the double array that no reader shares code with.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace onepass::test {

// Of `rules` from a text to its replacement.
inline std::string charsmap_blob(const std::map<std::string, std::string>& rules) {
  std::string pool;
  std::vector<uint32_t> units(256);
  // One block of 256 places for the children of every beginning of a rule.
  std::map<std::string, uint32_t> blocks = {{"", 0}};
  const auto child_base = [&](const std::string& beginning) {
    const auto [at, fresh] = blocks.emplace(beginning, static_cast<uint32_t>(units.size()));
    if (fresh) units.resize(units.size() + 256);
    return at->second;
  };
  const uint32_t root = child_base("\0root");
  blocks[""] = root;
  units[0] = root << 10;
  for (const auto& [text, replacement] : rules) {
    const auto value = static_cast<uint32_t>(pool.size());
    pool += replacement + '\0';
    for (size_t i = 0; i < text.size(); ++i) {
      const uint32_t at = child_base(text.substr(0, i)) ^ static_cast<uint8_t>(text[i]);
      const uint32_t base = child_base(text.substr(0, i + 1));
      const uint32_t leaf = units[at] & 0x100;
      units[at] = static_cast<uint8_t>(text[i]) | leaf | (at ^ base) << 10;
      if (i + 1 == text.size()) {
        units[at] |= 0x100;
        units[base] = 1u << 31 | value;
      }
    }
  }
  std::string blob;
  const auto u32 = [&](size_t value) {
    for (int i = 0; i < 4; ++i) blob.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
  };
  u32(4 * units.size());
  for (const uint32_t unit : units) u32(unit);
  return blob + pool;
}

}  // namespace onepass::test
