// vocab.json and merges.txt: byte-level BPE without a tokenizer.json. The files say nothing of how a text is cut and
// what stands around it; the family, known by its name, does, as its published tokenizer.json has it.
#include <algorithm>
#include <map>
#include <span>

#include "engine/text/bpe.h"
#include "engine/text/split_pattern.h"
#include "formats/huggingface/tokenizer_parts.h"

namespace onepass {

namespace {

struct FamilyToken {
  const char* content;
  bool lstrip;
};

struct VocabFamily {
  const char* tokenizer_class;  // without "Fast"
  const char* model_type;       // of config.json
  SplitPattern pattern;
  bool nfc;
  bool trim_offsets;  // unless the configuration says otherwise
  bool normalized;    // of its tokens
  std::span<const FamilyToken> tokens;
  const char* before;  // tokens around a text, or null
  const char* after;
};

constexpr FamilyToken kEndOfText[] = {{"<|endoftext|>", false}};
constexpr FamilyToken kRoberta[] = {
    {"<s>", false}, {"<pad>", false}, {"</s>", false}, {"<unk>", false}, {"<mask>", true}};

constexpr VocabFamily kFamilies[] = {
    {"GPT2Tokenizer", "gpt2", SplitPattern::gpt2, false, false, true, kEndOfText, nullptr, nullptr},
    {"RobertaTokenizer", "roberta", SplitPattern::gpt2, false, true, true, kRoberta, "<s>", "</s>"},
    {"Qwen2Tokenizer", "qwen2", SplitPattern::qwen2, true, false, false, kEndOfText, nullptr, nullptr},
    {"Qwen2Tokenizer", "qwen3", SplitPattern::qwen2, true, false, false, kEndOfText, nullptr, nullptr},
};

Result<const VocabFamily*> find_family(const JsonNode* config, std::string_view model_type) {
  std::string name;
  if (config != nullptr) {
    ONEPASS_TRY_ASSIGN(given, config->optional_string("tokenizer_class"));
    name = given.value_or("");
    if (name.ends_with("Fast")) name.resize(name.size() - 4);
  }
  for (const VocabFamily& family : kFamilies) {
    if (name.empty() ? model_type == family.model_type : name == family.tokenizer_class) return &family;
  }
  return make_error(Code::unsupported, Error::no_offset, "vocab.json",
                    "vocab.json and merges.txt of the %s \"%.60s\" are not supported; those of GPT2Tokenizer, "
                    "RobertaTokenizer and Qwen2Tokenizer are, and every tokenizer.json",
                    name.empty() ? "model type" : "tokenizer class",
                    name.empty() ? std::string(model_type).c_str() : name.c_str());
}

Status check_config(const JsonNode& config) {
  // What changes no id of one text is let pass by name; what is not in this list is not known.
  ONEPASS_TRY(config.only({"add_bos_token",
                           "add_eos_token",
                           "add_prefix_space",
                           "added_tokens_decoder",
                           "additional_special_tokens",
                           "backend",
                           "bos_token",
                           "chat_template",
                           "clean_up_tokenization_spaces",
                           "cls_token",
                           "do_lower_case",
                           "eos_token",
                           "errors",
                           "extra_special_tokens",
                           "is_local",
                           "local_files_only",
                           "mask_token",
                           "max_length",
                           "max_len",
                           "model_input_names",
                           "model_max_length",
                           "name_or_path",
                           "pad_token",
                           "padding_side",
                           "processor_class",
                           "sep_token",
                           "special_tokens_map_file",
                           "split_special_tokens",
                           "tokenizer_class",
                           "tokenizer_file",
                           "transformers_version",
                           "trim_offsets",
                           "truncation_side",
                           "unk_token",
                           "use_fast"},
                          Code::unsupported));
  for (const char* key : {"add_bos_token", "add_eos_token", "do_lower_case", "split_special_tokens"}) {
    ONEPASS_TRY_ASSIGN(value, config.optional_boolean(key));
    if (!value.value_or(false)) continue;
    return make_error(Code::unsupported, Error::no_offset, config.path_of(key),
                      "true is not supported with vocab.json and merges.txt; save the tokenizer as tokenizer.json");
  }
  return {};
}

Result<bool> option(const JsonNode* config, std::string_view key, bool absent) {
  if (config == nullptr) return absent;
  ONEPASS_TRY_ASSIGN(value, config->optional_boolean(key));
  return value.value_or(absent);
}

using AddedById = std::map<uint32_t, AddedTokenSpec>;

Status add_tokens(const VocabFamily& family, const JsonNode* config, TokenizerSpec& spec) {
  std::unordered_map<std::string, uint32_t> ids;
  for (uint32_t id = 0; id < spec.pieces.size(); ++id) {
    if (spec.pieces[id].empty()) {
      return make_error(Code::bad_vocabulary, Error::no_offset, "vocab.json", "no token has id %u of %zu", id,
                        spec.pieces.size());
    }
    ids.emplace(spec.pieces[id], id);
  }
  AddedById added;
  for (const FamilyToken& known : family.tokens) {
    // Qwen's is the first behind the vocabulary.
    const auto piece = ids.emplace(known.content, static_cast<uint32_t>(ids.size())).first;
    AddedTokenSpec token;
    token.id = piece->second;
    token.content = known.content;
    token.lstrip = known.lstrip;
    token.normalized = family.normalized;
    token.special = true;
    added[token.id] = std::move(token);
  }
  if (config != nullptr) ONEPASS_TRY(read_decoder_tokens(*config, ids, added));
  if (config != nullptr) {
    for (const char* key :
         {"bos_token", "eos_token", "unk_token", "pad_token", "cls_token", "sep_token", "mask_token"}) {
      if (!config->has(key)) continue;
      ONEPASS_TRY_ASSIGN(node, config->member(key));
      AddedTokenSpec flags;
      ONEPASS_TRY_ASSIGN(content, read_named_token(node, flags));
      const auto at = ids.find(content);
      if (at == ids.end() || !added.contains(at->second)) {
        return make_error(Code::unsupported, Error::no_offset, node.path(),
                          "\"%.60s\" is no added token of a %s; save the tokenizer as tokenizer.json", content.c_str(),
                          family.tokenizer_class);
      }
      if (!config->has("added_tokens_decoder")) ONEPASS_TRY(read_named_token(node, added[at->second]));
    }
  }
  for (auto& [id, token] : added) spec.added_tokens.push_back(std::move(token));
  if (family.before != nullptr) spec.single_template.push_back({false, ids.at(family.before)});
  spec.single_template.push_back({true, 0});
  if (family.after != nullptr) spec.single_template.push_back({false, ids.at(family.after)});
  return config == nullptr ? Status() : check_additional_tokens(*config, spec);
}

Status read_merges(std::string_view text, TokenizerSpec& spec) {
  const TokenIds ids = ids_of(spec);
  size_t line = 0;
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = std::min(text.find('\n', pos), text.size());
    std::string_view merge = text.substr(pos, end - pos);
    if (merge.ends_with('\r')) merge.remove_suffix(1);
    pos = end + 1;
    ++line;
    if (merge.starts_with("#version")) continue;
    const std::string where = "merges.txt: line " + std::to_string(line);
    ONEPASS_TRY_ASSIGN(parts, split_merge(merge, where));
    ONEPASS_TRY(add_merge(ids, parts.first, parts.second, where, spec));
  }
  return {};
}

Result<TokenizerSpec> read_spec(std::string_view vocab, std::string_view merges, const JsonNode* config,
                                std::string_view model_type) {
  ONEPASS_TRY_ASSIGN(family, find_family(config, model_type));
  if (config != nullptr) ONEPASS_TRY(check_config(*config));
  ONEPASS_TRY_ASSIGN(json, parse_json(vocab, kMaxTokenizerBytes, "vocab.json"));
  const JsonNode root(json, "vocab.json");
  ONEPASS_TRY(root.expect_object());
  TokenizerSpec spec;
  spec.kind = TokenizerKind::bpe;
  spec.byte_level = true;
  spec.bpe_flags = bpe_byte_level;
  ONEPASS_TRY_ASSIGN(pieces, read_vocab(root));
  spec.pieces = std::move(pieces);
  ONEPASS_TRY(read_merges(merges, spec));
  if (family->nfc) spec.normalizer.push_back({NormalizerKind::nfc, 0, {}, {}});
  ONEPASS_TRY_ASSIGN(prefix, option(config, "add_prefix_space", false));
  // Qwen's ByteLevel stands behind its Split, so that every word but those with a space would get one.
  if (prefix && family->nfc) {
    return make_error(Code::unsupported, Error::no_offset, config->path_of("add_prefix_space"),
                      "true is not supported for a %s; save the tokenizer as tokenizer.json", family->tokenizer_class);
  }
  if (prefix) spec.pre_tokenizer.push_back({PreTokenizerKind::prefix_space, 0, 0, {}});
  spec.pre_tokenizer.push_back({PreTokenizerKind::pattern, 0, static_cast<uint32_t>(family->pattern), {}});
  ONEPASS_TRY_ASSIGN(trim, option(config, "trim_offsets", family->trim_offsets));
  spec.trim_offsets = trim && family->trim_offsets;
  spec.trim_prefix_space = spec.trim_offsets && prefix;
  ONEPASS_TRY(find_bytes(spec, "vocab.json"));
  ONEPASS_TRY(add_tokens(*family, config, spec));
  ONEPASS_TRY(pieces_to_bytes(root, spec));
  return spec;
}

}  // namespace

Result<TokenizerSpec> parse_vocab_json(std::string_view vocab, std::string_view merges, const Json* tokenizer_config,
                                       std::string_view model_type) noexcept {
  try {
    if (tokenizer_config == nullptr) return read_spec(vocab, merges, nullptr, model_type);
    const JsonNode config(*tokenizer_config, "tokenizer_config.json");
    return read_spec(vocab, merges, &config, model_type);
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, "vocab.json", "out of memory while reading a tokenizer");
  }
}

}  // namespace onepass
