// Tokenizer files of Hugging Face: tokenizer.json, or vocab.txt, or vocab.json and merges.txt, with
// tokenizer_config.json.
//
// A closed world: a component, type or option that is not known here is Code::unsupported and names itself, because a
// tokenizer that is nearly right gives wrong answers without a sign. Left out on purpose, since they cannot change the
// ids of one text: "truncation" and "padding" (the caller sets the longest text), "decoder" (checked, not kept) and
// the "pair" template.
#pragma once

#include <filesystem>
#include <string_view>

#include "engine/core/result.h"
#include "engine/text/tokenizer_spec.h"
#include "formats/json/json.h"

namespace onepass {

constexpr size_t kMaxTokenizerBytes = size_t{64} << 20;
constexpr size_t kMaxConfigBytes = size_t{4} << 20;
constexpr size_t kMaxTokens = size_t{1} << 20;  // ids lie below it
constexpr size_t kMaxTokenBytes = 4096;

// Errors beside those of JSON: unsupported, bad_vocabulary (ids that are not 0, 1, 2, ...; a token named but absent),
// limit_exceeded, bad_version.
Result<TokenizerSpec> parse_tokenizer_json(std::string_view text, std::string_view where = "tokenizer.json") noexcept;

// The vocabulary of BertTokenizer: one token a line. `config` is tokenizer_config.json, or null for the defaults of
// transformers (do_lower_case, tokenize_chinese_chars: true; strip_accents: as do_lower_case).
Result<TokenizerSpec> parse_vocab_txt(std::string_view text, const Json* config,
                                      std::string_view where = "vocab.txt") noexcept;

// Byte-level BPE of GPT-2, RoBERTa and Qwen2. The family is that of the configuration's tokenizer_class, or else of
// `model_type`, that of config.json ("" if there is none); the configuration may be null.
Result<TokenizerSpec> parse_vocab_json(std::string_view vocab, std::string_view merges, const Json* tokenizer_config,
                                       std::string_view model_type) noexcept;

// folder/tokenizer.json; where there is none, folder/vocab.txt, vocab.json with merges.txt, or a SentencePiece model. A
// tokenizer_config.json beside them must not say otherwise: transformers lets it, and BertTokenizer's defaults, win
// over tokenizer.json; so a contradiction is an error (bad_value).
Result<TokenizerSpec> read_tokenizer(const std::filesystem::path& folder) noexcept;

// One more than the highest id of the tokenizer.
size_t token_count(const TokenizerSpec& spec) noexcept;

}  // namespace onepass
