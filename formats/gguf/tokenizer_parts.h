// What the kinds of tokenizer in GGUF files share. These functions may throw std::bad_alloc.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "formats/gguf/gguf.h"
#include "formats/json/json.h"

namespace onepass {

enum class GgufToken : int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

struct GgufVocabulary {
  const GgufMetadata* metadata = nullptr;
  std::string_view architecture;
  std::vector<std::string> tokens;  // by id; all different
  std::vector<GgufToken> types;
  std::vector<float> scores;  // empty where there are none

  // The token of a key such as "cls_token_id"; nullopt where the key is absent.
  Result<std::optional<uint32_t>> id(std::string_view key) const;
  std::string path() const { return metadata->path_of("tokenizer.ggml.tokens"); }
  Error unsupported(std::string_view key, const std::string& what) const;
};

// Each makes the "model", "normalizer", "pre_tokenizer" and "added_tokens" of a tokenizer.json.
Status describe_bert(GgufVocabulary& vocabulary, Json& json);
Status describe_gpt2(const GgufVocabulary& vocabulary, Json& json);
Status describe_llama(const GgufVocabulary& vocabulary, Json& json);
// The character map is not in the JSON: it would be base64 there.
Status describe_t5(GgufVocabulary& vocabulary, Json& json);

// {"token": id, ...} of the tokens that are the model's own.
Json vocabulary_json(const GgufVocabulary& vocabulary);
Json added_token(const std::string& content, size_t id, bool special);
// Control tokens as special ones, user-defined tokens as others.
void describe_added_tokens(const GgufVocabulary& vocabulary, Json& json);

// Merges of SentencePiece's BPE: every way to make a piece of two others, the best piece first.
std::vector<std::pair<uint32_t, uint32_t>> merges_of_scores(const GgufVocabulary& vocabulary);

}  // namespace onepass
