// What the kinds of tokenizer share. A kind is one file, with one row in tokenizer_json.cpp.
// These functions may throw std::bad_alloc; the public ones of tokenizer.h catch it.
#pragma once

#include <filesystem>
#include <map>
#include <string_view>
#include <unordered_map>

#include "formats/huggingface/tokenizer.h"

namespace onepass {

using TokenIds = std::unordered_map<std::string_view, uint32_t>;

// Fills the spec from the "model" of `root`; the normaliser and the pre-tokeniser are read already.
Status read_wordpiece(const JsonNode& root, TokenizerSpec& spec);
Status read_unigram(const JsonNode& root, TokenizerSpec& spec);
Status read_bpe(const JsonNode& root, TokenizerSpec& spec);

// "a b" to its parts.
Result<std::pair<std::string, std::string>> split_merge(std::string_view text, const std::string& where);
Status add_merge(const TokenIds& ids, const std::string& left, const std::string& right, const std::string& where,
                 TokenizerSpec& spec);
// Fills byte_ids of BPE, and refuses a vocabulary that leaves characters without a token.
Status find_bytes(TokenizerSpec& spec, const std::string& where);
// Pieces of a byte-level tokenizer as the bytes that they stand for, when everything that names pieces is read.
Status pieces_to_bytes(const JsonNode& root, TokenizerSpec& spec);

// Fill the spec from the "normalizer" and "pre_tokenizer" of `root`.
Status read_normalizer(const JsonNode& root, TokenizerSpec& spec);
Status read_pre_tokenizer(const JsonNode& root, TokenizerSpec& spec);
// A decoder turns ids back into text and changes none: it must only be one of the library.
Status check_decoder(const JsonNode& root);

// The flags of BERT's normaliser in the spec, or null where it has none.
const NormalizerSpec* find_bert(const TokenizerSpec& spec);

// "type" of a component, e.g. "normalizer". A null or absent component has the type "null".
Result<std::string> component_type(const JsonNode& root, std::string_view key);
// The error for a component of a type that is not known.
Error unsupported_type(const JsonNode& root, std::string_view key, const std::string& type, const char* supported);

// {"token": id, ...} to pieces by id; ids that no token has are empty pieces.
Result<std::vector<std::string>> read_vocab(const JsonNode& vocab);
// The rules for one token and for their number, for vocabularies of every kind.
Status check_token(std::string_view token, const std::string& where);
Status check_token_count(uint64_t count, const std::string& where);

// Of the pieces and the added tokens; it refers to the strings of `spec`.
TokenIds ids_of(const TokenizerSpec& spec);
// Tokens that the model has, which is what the library counts as its vocabulary.
size_t model_token_count(const TokenizerSpec& spec);

// A token of a configuration, as a text or an object: its content; the flags that the object gives go to `token`.
Result<std::string> read_named_token(const JsonNode& node, AddedTokenSpec& token);
// "added_tokens_decoder" of a tokenizer_config.json, {"128000": {"content": "[MASK]", ...}}: what it says counts, but
// an id must be that of the content in `ids`, or the next one, which `ids` then has.
Status read_decoder_tokens(const JsonNode& config, std::unordered_map<std::string, uint32_t>& ids,
                           std::map<uint32_t, AddedTokenSpec>& added);
// Tokens that a configuration lists without their ids, and those of added_tokens.json and special_tokens_map.json: they
// must be added tokens of the spec.
Status check_additional_tokens(const JsonNode& config, const TokenizerSpec& spec);
Status check_token_files(const std::filesystem::path& folder, const TokenizerSpec& spec);

// Files that may lie beside a vocab.txt: they must name the five special tokens of BERT and no others.
Status check_special_tokens_map(const JsonNode& map);
Status check_added_tokens_json(const JsonNode& map, const TokenizerSpec& spec);

// A "tokenizer_class" of tokenizer_config.json that is BERT's.
bool is_bert_tokenizer(std::string_view tokenizer_class);

// Errors if a tokenizer_config.json contradicts a WordPiece spec that came from tokenizer.json. BERT's classes take
// their flags from the configuration and, where it lacks them, from their defaults; others take tokenizer.json's.
Status check_tokenizer_config(const JsonNode& config, const TokenizerSpec& spec);

}  // namespace onepass
