// The four models of tokenizer.ggml.model, each as its tokenizer.json.
#include <algorithm>
#include <unordered_map>

#include "engine/core/utf8.h"
#include "engine/text/split_pattern.h"
#include "formats/gguf/tokenizer_parts.h"

namespace onepass {

namespace {

constexpr std::string_view kMeta = "\xE2\x96\x81";  // U+2581

bool has_upper_case(std::string_view token) {
  return std::any_of(token.begin(), token.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

Json split(SplitPattern pattern) {
  return {
      {"type", "Split"}, {"pattern", {{"Regex", expression_of(pattern)}}}, {"behavior", "Isolated"}, {"invert", false}};
}
Json byte_level(bool regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", regex}};
}
Json sequence(Json first, Json second) {
  return {{"type", "Sequence"}, {"pretokenizers", {std::move(first), std::move(second)}}};
}

// What the name in tokenizer.ggml.pre stands for.
struct PreRow {
  const char* name;
  SplitPattern pattern;
  bool digits;  // each digit alone, before the pattern
  bool nfc;
  bool ignore_merges;  // a word that is a token is taken whole
  bool mask_lstrip;    // the mask takes the spaces before it
};
constexpr PreRow kPres[] = {
    {"gpt-2", SplitPattern::gpt2, false, false, false, false},
    {"roberta-bpe", SplitPattern::gpt2, false, false, false, true},
    {"modern-bert", SplitPattern::gpt2, false, true, false, true},
    {"smollm", SplitPattern::gpt2, true, false, false, false},
    {"llama-bpe", SplitPattern::llama3, false, false, true, false},
    {"qwen2", SplitPattern::qwen2, false, true, false, false},
    {"gpt-4o", SplitPattern::o200k, false, false, false, false},
    {"tekken", SplitPattern::tekken, false, false, true, false},
};

void take_spaces_before(Json& added, uint32_t id) {
  for (Json& token : added) {
    if (token["id"] == id) token["lstrip"] = true;
  }
}

// Those of Phi-3 and Phi-4-mini, but for these: written in no key.
void take_spaces_behind(const GgufVocabulary& vocabulary, Json& added) {
  constexpr std::string_view kOthers[] = {"<unk>", "<s>", "<|endoftext|>", "<|endofprompt|>"};
  if (vocabulary.architecture != "phi3") return;
  for (Json& token : added) {
    const auto& content = token["content"].get_ref<const std::string&>();
    token["rstrip"] = std::find(std::begin(kOthers), std::end(kOthers), content) == std::end(kOthers);
  }
}

}  // namespace

Status describe_bert(GgufVocabulary& vocabulary, Json& json) {
  bool upper = false;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    std::string& token = vocabulary.tokens[id];
    // The converter wrote "##x" as "x" and "x" as "▁x".
    if (vocabulary.types[id] == GgufToken::control || vocabulary.types[id] == GgufToken::unknown) continue;
    if (vocabulary.types[id] == GgufToken::unused) continue;
    if (token.starts_with("[") && token.ends_with("]")) continue;  // "[unused7]", which older converters left alone
    token = token.starts_with(kMeta) ? token.substr(kMeta.size()) : "##" + token;
    upper = upper || (has_upper_case(token) && !token.starts_with("["));
  }
  std::unordered_map<std::string_view, size_t> seen;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] == GgufToken::unused) continue;
    const auto [at, fresh] = seen.emplace(vocabulary.tokens[id], id);
    if (fresh) continue;
    return make_error(Code::duplicate_name, Error::no_offset, vocabulary.path(),
                      "tokens %zu and %zu are both \"%.80s\"", at->second, id, vocabulary.tokens[id].c_str());
  }
  const GgufMetadata& metadata = *vocabulary.metadata;
  ONEPASS_TRY_ASSIGN(lower, metadata.optional_boolean("tokenizer.ggml.normalizer.lowercase"));
  ONEPASS_TRY_ASSIGN(strip, metadata.optional_boolean("tokenizer.ggml.normalizer.strip_accents"));
  if (!lower && upper) {
    return vocabulary.unsupported("tokens",
                                  "the vocabulary has capital letters, and the file does not say whether text is "
                                  "lower-cased");
  }
  json["normalizer"] = {{"type", "BertNormalizer"},
                        {"clean_text", true},
                        {"handle_chinese_chars", true},
                        {"strip_accents", strip.value_or(lower.value_or(true))},
                        {"lowercase", lower.value_or(true)}};
  json["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  json["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  ONEPASS_TRY_ASSIGN(unknown, vocabulary.id("unknown_token_id"));
  if (!unknown) {
    return make_error(Code::missing_key, Error::no_offset, metadata.path_of("tokenizer.ggml.unknown_token_id"),
                      "the token of unknown words is not named; give the tokenizer with --tokenizer DIR");
  }
  json["model"] = {{"type", "WordPiece"},
                   {"unk_token", vocabulary.tokens[*unknown]},
                   {"continuing_subword_prefix", "##"},
                   {"max_input_chars_per_word", 100},
                   {"vocab", vocabulary_json(vocabulary)}};
  describe_added_tokens(vocabulary, json);
  return {};
}

Status describe_gpt2(const GgufVocabulary& vocabulary, Json& json) {
  const GgufMetadata& metadata = *vocabulary.metadata;
  ONEPASS_TRY_ASSIGN(pre, metadata.text("tokenizer.ggml.pre"));
  ONEPASS_TRY_ASSIGN(merges, metadata.texts("tokenizer.ggml.merges"));
  ONEPASS_TRY_ASSIGN(mask, vocabulary.id("mask_token_id"));
  const PreRow* row = std::find_if(std::begin(kPres), std::end(kPres), [&](const PreRow& r) { return pre == r.name; });
  if (row == std::end(kPres)) {
    std::string known;
    for (const PreRow& r : kPres) known += std::string(known.empty() ? "" : ", ") + r.name;
    return vocabulary.unsupported("pre", "\"" + pre.substr(0, 40) + "\" is not supported; " + known + " are");
  }
  if (row->nfc) json["normalizer"] = {{"type", "NFC"}};
  if (row->pattern != SplitPattern::gpt2) {
    json["pre_tokenizer"] = sequence(split(row->pattern), byte_level(false));
  } else if (row->digits) {
    json["pre_tokenizer"] = sequence({{"type", "Digits"}, {"individual_digits", true}}, byte_level(true));
  } else {
    json["pre_tokenizer"] = byte_level(true);
  }
  json["decoder"] = byte_level(true);
  json["model"] = {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"ignore_merges", row->ignore_merges},
                   {"vocab", vocabulary_json(vocabulary)},
                   {"merges", std::move(merges)}};
  describe_added_tokens(vocabulary, json);
  if (mask && row->mask_lstrip) take_spaces_before(json["added_tokens"], *mask);
  take_spaces_behind(vocabulary, json["added_tokens"]);
  return {};
}

std::vector<std::pair<uint32_t, uint32_t>> merges_of_scores(const GgufVocabulary& vocabulary) {
  std::unordered_map<std::string_view, uint32_t> ids;
  for (uint32_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] != GgufToken::unused) ids.emplace(vocabulary.tokens[id], id);
  }
  struct Merge {
    uint32_t left, right, result;
  };
  std::vector<Merge> found;
  for (uint32_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] != GgufToken::normal) continue;
    const std::string_view piece = vocabulary.tokens[id];
    const auto first = static_cast<std::ptrdiff_t>(found.size());
    for (size_t cut = decode_utf8(piece, 0).length; cut < piece.size(); cut += decode_utf8(piece, cut).length) {
      const auto left = ids.find(piece.substr(0, cut)), right = ids.find(piece.substr(cut));
      if (left != ids.end() && right != ids.end()) found.push_back({left->second, right->second, id});
    }
    // Of those that make the same piece, in the order of the parts' ids, as transformers lists them.
    std::sort(found.begin() + first, found.end(),
              [](const Merge& a, const Merge& b) { return std::pair(a.left, a.right) < std::pair(b.left, b.right); });
  }
  std::stable_sort(found.begin(), found.end(), [&](const Merge& a, const Merge& b) {
    return vocabulary.scores[a.result] > vocabulary.scores[b.result];
  });
  std::vector<std::pair<uint32_t, uint32_t>> merges;
  merges.reserve(found.size());
  for (const Merge& merge : found) merges.emplace_back(merge.left, merge.right);
  return merges;
}

Status describe_llama(const GgufVocabulary& vocabulary, Json& json) {
  const GgufMetadata& metadata = *vocabulary.metadata;
  if (vocabulary.scores.empty()) {
    return make_error(Code::missing_key, Error::no_offset, metadata.path_of("tokenizer.ggml.scores"),
                      "the pieces have no scores; convert the model again with a current llama.cpp");
  }
  ONEPASS_TRY_ASSIGN(prefix, metadata.optional_boolean("tokenizer.ggml.add_space_prefix"));
  ONEPASS_TRY_ASSIGN(unknown, vocabulary.id("unknown_token_id"));
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kMeta}};
  if (prefix.value_or(true)) {
    json["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "Prepend"}, {"prepend", kMeta}}, replace}}};
  } else {
    json["normalizer"] = replace;
  }
  Json merges = Json::array();
  for (const auto& [left, right] : merges_of_scores(vocabulary)) {
    merges.push_back({vocabulary.tokens[left], vocabulary.tokens[right]});
  }
  json["model"] = {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", unknown ? Json(vocabulary.tokens[*unknown]) : Json(nullptr)},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", true},
                   {"byte_fallback", true},
                   {"ignore_merges", false},
                   {"vocab", vocabulary_json(vocabulary)},
                   {"merges", std::move(merges)}};
  describe_added_tokens(vocabulary, json);
  take_spaces_behind(vocabulary, json["added_tokens"]);
  return {};
}

Status describe_t5(GgufVocabulary& vocabulary, Json& json) {
  const GgufMetadata& metadata = *vocabulary.metadata;
  if (vocabulary.scores.empty()) {
    return make_error(Code::missing_key, Error::no_offset, metadata.path_of("tokenizer.ggml.scores"),
                      "the pieces have no scores; convert the model again with a current llama.cpp");
  }
  ONEPASS_TRY_ASSIGN(prefix, metadata.optional_boolean("tokenizer.ggml.add_space_prefix"));
  if (!prefix.value_or(true)) {
    return vocabulary.unsupported("add_space_prefix", "words without \"\xE2\x96\x81\" before them are not supported");
  }
  ONEPASS_TRY_ASSIGN(unknown, vocabulary.id("unknown_token_id"));
  if (!unknown) {
    return make_error(Code::missing_key, Error::no_offset, metadata.path_of("tokenizer.ggml.unknown_token_id"),
                      "the unknown token is not named; give the tokenizer with --tokenizer DIR");
  }
  ONEPASS_TRY_ASSIGN(mask, vocabulary.id("mask_token_id"));
  // XLM-RoBERTa's SentencePiece file lacks the mask, and converters leave a stand-in at its id.
  if (mask && vocabulary.types[*mask] == GgufToken::unused) {
    vocabulary.tokens[*mask] = "<mask>";
    vocabulary.types[*mask] = GgufToken::control;
  }
  json["pre_tokenizer"] =
      sequence({{"type", "WhitespaceSplit"}},
               {{"type", "Metaspace"}, {"replacement", kMeta}, {"prepend_scheme", "always"}, {"split", true}});
  Json pieces = Json::array();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    pieces.push_back({vocabulary.tokens[id], vocabulary.scores[id]});
  }
  json["model"] = {{"type", "Unigram"}, {"unk_id", *unknown}, {"byte_fallback", false}, {"vocab", std::move(pieces)}};
  describe_added_tokens(vocabulary, json);
  if (mask) take_spaces_before(json["added_tokens"], *mask);
  return {};
}

}  // namespace onepass
