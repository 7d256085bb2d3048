// BPE sections for the tests of this room.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/text/bpe.h"
#include "engine/text/split_pattern.h"
#include "tests/text/sections.h"

namespace onepass::test {

// Pieces are the 256 bytes by value, then what the merges make, in order; merges are pairs of texts.
inline TokenizerSpec byte_spec(const std::vector<std::pair<std::string, std::string>>& merges) {
  TokenizerSpec spec;
  spec.kind = TokenizerKind::bpe;
  spec.byte_level = true;
  spec.bpe_flags = bpe_byte_level;
  std::map<std::string, uint32_t> ids;
  const auto id_of = [&](const std::string& piece) {
    const auto [at, fresh] = ids.emplace(piece, static_cast<uint32_t>(spec.pieces.size()));
    if (fresh) spec.pieces.push_back(piece);
    return at->second;
  };
  for (unsigned byte = 0; byte < 256; ++byte) spec.byte_ids.push_back(id_of(std::string(1, static_cast<char>(byte))));
  for (const auto& [left, right] : merges) spec.merges.push_back({id_of(left), id_of(right), id_of(left + right)});
  spec.pre_tokenizer = {{PreTokenizerKind::pattern, 0, static_cast<uint32_t>(SplitPattern::gpt2), ""}};
  spec.single_template = {{true, 0}};
  return spec;
}

// Characters with U+2581 for spaces: <unk>, the mark, the tokens of bytes where asked for, letters, merges.
inline TokenizerSpec character_spec(const std::vector<std::pair<std::string, std::string>>& merges, uint32_t flags) {
  TokenizerSpec spec;
  spec.kind = TokenizerKind::bpe;
  spec.bpe_flags = flags;
  std::map<std::string, uint32_t> ids;
  const auto id_of = [&](const std::string& piece) {
    const auto [at, fresh] = ids.emplace(piece, static_cast<uint32_t>(spec.pieces.size()));
    if (fresh) spec.pieces.push_back(piece);
    return at->second;
  };
  spec.unk_id = id_of("<unk>");
  id_of("\xE2\x96\x81");
  if ((flags & bpe_byte_fallback) != 0) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    for (unsigned b = 0; b < 256; ++b) {
      spec.byte_ids.push_back(id_of(std::string("<0x") + kDigits[b / 16] + kDigits[b % 16] + ">"));
    }
  }
  for (char c = 'a'; c <= 'z'; ++c) id_of(std::string(1, c));
  for (const auto& [left, right] : merges) spec.merges.push_back({id_of(left), id_of(right), id_of(left + right)});
  spec.normalizer = {{NormalizerKind::prepend, 0, "", "\xE2\x96\x81"},
                     {NormalizerKind::replace, 0, " ", "\xE2\x96\x81"}};
  spec.single_template = {{true, 0}};
  return spec;
}

}  // namespace onepass::test
