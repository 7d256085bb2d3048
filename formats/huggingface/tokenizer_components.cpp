// Normalisers, pre-tokenisers and decoders of tokenizer.json.
#include <algorithm>
#include <cinttypes>

#include "engine/core/utf8.h"
#include "engine/text/charsmap.h"
#include "engine/text/split_pattern.h"
#include "formats/huggingface/base64.h"
#include "formats/huggingface/tokenizer_parts.h"

namespace onepass {

namespace {

constexpr size_t kMaxText = 64;  // of a literal pattern or replacement; the runtime has the same limit

Result<std::string> short_text(const JsonNode& node, std::string_view key) {
  ONEPASS_TRY_ASSIGN(text, node.string(key));
  if (text.size() > kMaxText) {
    return make_error(Code::unsupported, Error::no_offset, node.path_of(key), "%zu bytes; at most %zu are supported",
                      text.size(), kMaxText);
  }
  return std::move(text);
}

// {"String": "..."} or {"Regex": "..."}
struct Pattern {
  bool regex;
  std::string text;
};
Result<Pattern> read_pattern(const JsonNode& node) {
  ONEPASS_TRY_ASSIGN(pattern, node.object("pattern"));
  ONEPASS_TRY(pattern.only({"String", "Regex"}, Code::unsupported));
  const bool regex = pattern.has("Regex");
  if (regex == pattern.has("String")) {
    return make_error(Code::bad_value, Error::no_offset, pattern.path(), "must be one String or one Regex");
  }
  ONEPASS_TRY_ASSIGN(text, pattern.string(regex ? "Regex" : "String"));
  return Pattern{regex, std::move(text)};
}

// --- normalisers ---

Status read_bert_flags(const JsonNode& node, NormalizerSpec& step) {
  ONEPASS_TRY(
      node.only({"type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"}, Code::unsupported));
  ONEPASS_TRY_ASSIGN(clean_text, node.boolean("clean_text"));
  ONEPASS_TRY_ASSIGN(handle_chinese_chars, node.boolean("handle_chinese_chars"));
  ONEPASS_TRY_ASSIGN(strip_accents, node.optional_boolean("strip_accents"));
  ONEPASS_TRY_ASSIGN(lowercase, node.boolean("lowercase"));
  step.flags = (clean_text ? bert_clean_text : 0u) | (handle_chinese_chars ? bert_handle_chinese_chars : 0u) |
               (strip_accents.value_or(lowercase) ? bert_strip_accents : 0u) | (lowercase ? bert_lowercase : 0u);
  return {};
}

Status read_replace(const JsonNode& node, NormalizerSpec& step) {
  ONEPASS_TRY(node.only({"type", "pattern", "content"}, Code::unsupported));
  ONEPASS_TRY_ASSIGN(pattern, read_pattern(node));
  ONEPASS_TRY_ASSIGN(content, short_text(node, "content"));
  step.content = std::move(content);
  if (pattern.regex && pattern.text == " {2,}") {
    step.kind = NormalizerKind::replace_spaces;
    return {};
  }
  step.kind = NormalizerKind::replace;
  if (pattern.regex || pattern.text.empty() || pattern.text.size() > kMaxText) {
    return make_error(Code::unsupported, Error::no_offset, node.path_of("pattern"),
                      "the pattern \"%.60s\" is not supported; a String of 1 to %zu bytes and the Regex \" {2,}\" are",
                      pattern.text.c_str(), kMaxText);
  }
  step.pattern = std::move(pattern.text);
  return {};
}

struct PlainNormalizer {
  const char* type;
  NormalizerKind kind;
};
constexpr PlainNormalizer kPlainNormalizers[] = {
    {"NFC", NormalizerKind::nfc},
    {"NFD", NormalizerKind::nfd},
    {"NFKC", NormalizerKind::nfkc},
    {"NFKD", NormalizerKind::nfkd},
    {"Lowercase", NormalizerKind::lowercase},
    {"StripAccents", NormalizerKind::strip_accents},
    {"Nmt", NormalizerKind::nmt},
};

Status read_normalizer_step(const JsonNode& parent, std::string_view key, const JsonNode& node, TokenizerSpec& spec) {
  ONEPASS_TRY_ASSIGN(type, node.string("type"));
  if (type == "Sequence") {
    ONEPASS_TRY(node.only({"type", "normalizers"}, Code::unsupported));
    ONEPASS_TRY_ASSIGN(list, node.array("normalizers"));
    ONEPASS_TRY_ASSIGN(parts, list.elements());
    for (const JsonNode& part : parts) ONEPASS_TRY(read_normalizer_step(node, "normalizers", part, spec));
    return {};
  }
  NormalizerSpec step;
  const auto plain = std::find_if(std::begin(kPlainNormalizers), std::end(kPlainNormalizers),
                                  [&](const PlainNormalizer& p) { return type == p.type; });
  if (plain != std::end(kPlainNormalizers)) {
    ONEPASS_TRY(node.only({"type"}, Code::unsupported));
    step.kind = plain->kind;
  } else if (type == "BertNormalizer") {
    ONEPASS_TRY(read_bert_flags(node, step));
  } else if (type == "Replace") {
    ONEPASS_TRY(read_replace(node, step));
  } else if (type == "Prepend") {
    ONEPASS_TRY(node.only({"type", "prepend"}, Code::unsupported));
    ONEPASS_TRY_ASSIGN(text, short_text(node, "prepend"));
    step.kind = NormalizerKind::prepend;
    step.content = std::move(text);
  } else if (type == "Precompiled") {
    ONEPASS_TRY(node.only({"type", "precompiled_charsmap"}, Code::unsupported));
    ONEPASS_TRY_ASSIGN(text, node.string("precompiled_charsmap"));
    auto charsmap = decode_base64(text);
    if (!charsmap.has_value()) {
      return make_error(Code::bad_value, Error::no_offset, node.path_of("precompiled_charsmap"), "not base64");
    }
    ONEPASS_TRY(Charsmap::check(*charsmap, Error::no_offset));
    step.kind = NormalizerKind::precompiled;
    step.pattern = std::move(*charsmap);
  } else if (type == "Strip") {
    ONEPASS_TRY(node.only({"type", "strip_left", "strip_right"}, Code::unsupported));
    ONEPASS_TRY_ASSIGN(left, node.boolean("strip_left"));
    ONEPASS_TRY_ASSIGN(right, node.boolean("strip_right"));
    step.kind = NormalizerKind::strip;
    step.flags = (left ? 1u : 0u) | (right ? 2u : 0u);
  } else {
    return unsupported_type(
        parent, key, type,
        "BertNormalizer, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Replace, Prepend, Strip, Nmt, Precompiled and "
        "a Sequence of them are");
  }
  if (spec.normalizer.size() == kMaxNormalizerSteps) {
    return make_error(Code::unsupported, Error::no_offset, node.path(), "more than %u steps are not supported",
                      kMaxNormalizerSteps);
  }
  spec.normalizer.push_back(std::move(step));
  return {};
}

// --- pre-tokenisers ---

Result<Behaviour> read_behaviour(const JsonNode& node) {
  if (!node.has("behavior")) return Behaviour::isolated;
  ONEPASS_TRY_ASSIGN(name, node.string("behavior"));
  constexpr std::pair<const char*, Behaviour> kNames[] = {{"Removed", Behaviour::removed},
                                                          {"Isolated", Behaviour::isolated},
                                                          {"Contiguous", Behaviour::contiguous},
                                                          {"MergedWithPrevious", Behaviour::merged_with_previous},
                                                          {"MergedWithNext", Behaviour::merged_with_next}};
  for (const auto& [known, behaviour] : kNames) {
    if (name == known) return behaviour;
  }
  return make_error(Code::unsupported, Error::no_offset, node.path_of("behavior"), "\"%.40s\" is not supported",
                    name.c_str());
}

Status read_metaspace(const JsonNode& node, PreTokenizerSpec& step) {
  ONEPASS_TRY(
      node.only({"type", "replacement", "str_rep", "add_prefix_space", "prepend_scheme", "split"}, Code::unsupported));
  ONEPASS_TRY_ASSIGN(replacement, node.string("replacement"));
  if (replacement.empty() || decode_utf8(replacement, 0).length != replacement.size()) {
    return make_error(Code::bad_value, Error::no_offset, node.path_of("replacement"), "must be one character");
  }
  ONEPASS_TRY_ASSIGN(prefix, node.optional_boolean("add_prefix_space"));
  ONEPASS_TRY_ASSIGN(scheme, node.optional_string("prepend_scheme"));
  ONEPASS_TRY_ASSIGN(split, node.optional_boolean("split"));
  const std::string name = scheme.value_or("always");
  step.kind = PreTokenizerKind::metaspace;
  step.text = std::move(replacement);
  step.flags = split.value_or(true) ? metaspace_split : 0u;
  if (!prefix.value_or(true)) {
    // The library refuses a file in which the two contradict each other.
    if (scheme.has_value() && name != "never") {
      return make_error(Code::bad_value, Error::no_offset, node.path_of("add_prefix_space"),
                        "false, but prepend_scheme is \"%.40s\"", name.c_str());
    }
    if (!scheme.has_value()) {
      return make_error(Code::bad_value, Error::no_offset, node.path_of("add_prefix_space"),
                        "false without a prepend_scheme; write \"prepend_scheme\": \"never\"");
    }
    return {};
  }
  if (name == "always") {
    step.flags |= metaspace_prepend_always;
  } else if (name == "first") {
    step.flags |= metaspace_prepend_first;
  } else if (name != "never") {
    return make_error(Code::unsupported, Error::no_offset, node.path_of("prepend_scheme"),
                      "\"%.40s\" is not supported; always, first and never are", name.c_str());
  }
  return {};
}

Status read_split(const JsonNode& node, PreTokenizerSpec& step) {
  ONEPASS_TRY(node.only({"type", "pattern", "behavior", "invert"}, Code::unsupported));
  ONEPASS_TRY_ASSIGN(pattern, read_pattern(node));
  ONEPASS_TRY(node.string("behavior"));
  ONEPASS_TRY_ASSIGN(behaviour, read_behaviour(node));
  ONEPASS_TRY_ASSIGN(invert, node.boolean("invert"));
  if (!pattern.regex) {
    if (pattern.text.empty() || pattern.text.size() > kMaxText) {
      return make_error(Code::unsupported, Error::no_offset, node.path_of("pattern"),
                        "a String of %zu bytes; 1 to %zu are supported", pattern.text.size(), kMaxText);
    }
    step.kind = PreTokenizerKind::literal;
    step.text = std::move(pattern.text);
    step.flags = static_cast<uint32_t>(behaviour) | (invert ? split_invert : 0u);
    return {};
  }
  for (uint32_t i = 1; i <= static_cast<uint32_t>(SplitPattern::last); ++i) {
    if (pattern.text != expression_of(static_cast<SplitPattern>(i))) continue;
    // The known patterns match everywhere, so what lies between matches is empty.
    const bool every_match_a_word = behaviour == Behaviour::isolated || (behaviour == Behaviour::removed && invert);
    if (!every_match_a_word) {
      return make_error(Code::unsupported, Error::no_offset, node.path_of("behavior"),
                        "this behaviour of a Regex is not supported; Isolated, and Removed with invert, are");
    }
    step.kind = PreTokenizerKind::pattern;
    step.value = i;
    return {};
  }
  return make_error(Code::unsupported, Error::no_offset, node.path_of("pattern"),
                    "the Regex \"%.150s\" is none of those that are known (docs/tokenizers.md)", pattern.text.c_str());
}

struct PlainPreTokenizer {
  const char* type;
  PreTokenizerKind kind;
};
constexpr PlainPreTokenizer kPlainPreTokenizers[] = {
    {"BertPreTokenizer", PreTokenizerKind::bert},
    {"Whitespace", PreTokenizerKind::whitespace},
    {"WhitespaceSplit", PreTokenizerKind::whitespace_split},
};

Status read_pre_tokenizer_step(const JsonNode& parent, std::string_view key, const JsonNode& node,
                               TokenizerSpec& spec) {
  ONEPASS_TRY_ASSIGN(type, node.string("type"));
  if (type == "Sequence") {
    ONEPASS_TRY(node.only({"type", "pretokenizers"}, Code::unsupported));
    ONEPASS_TRY_ASSIGN(list, node.array("pretokenizers"));
    ONEPASS_TRY_ASSIGN(parts, list.elements());
    for (const JsonNode& part : parts) ONEPASS_TRY(read_pre_tokenizer_step(node, "pretokenizers", part, spec));
    return {};
  }
  if (spec.byte_level) {
    return make_error(Code::unsupported, Error::no_offset, node.path(), "a step behind ByteLevel is not supported");
  }
  std::vector<PreTokenizerSpec> steps(1);
  PreTokenizerSpec& step = steps[0];
  const auto plain = std::find_if(std::begin(kPlainPreTokenizers), std::end(kPlainPreTokenizers),
                                  [&](const PlainPreTokenizer& p) { return type == p.type; });
  if (plain != std::end(kPlainPreTokenizers)) {
    ONEPASS_TRY(node.only({"type"}, Code::unsupported));
    step.kind = plain->kind;
  } else if (type == "Punctuation") {
    ONEPASS_TRY(node.only({"type", "behavior"}, Code::unsupported));
    ONEPASS_TRY_ASSIGN(behaviour, read_behaviour(node));
    step.kind = PreTokenizerKind::punctuation;
    step.flags = static_cast<uint32_t>(behaviour);
  } else if (type == "Digits") {
    ONEPASS_TRY(node.only({"type", "individual_digits"}, Code::unsupported));
    ONEPASS_TRY_ASSIGN(individual, node.boolean("individual_digits"));
    step.kind = PreTokenizerKind::digits;
    step.flags = static_cast<uint32_t>(individual ? Behaviour::isolated : Behaviour::contiguous);
  } else if (type == "Metaspace") {
    ONEPASS_TRY(read_metaspace(node, step));
  } else if (type == "Split") {
    ONEPASS_TRY(read_split(node, step));
  } else if (type == "ByteLevel") {
    ONEPASS_TRY(node.only({"type", "add_prefix_space", "trim_offsets", "use_regex"}, Code::unsupported));
    ONEPASS_TRY_ASSIGN(prefix, node.boolean("add_prefix_space"));
    ONEPASS_TRY_ASSIGN(regex, node.optional_boolean("use_regex"));
    ONEPASS_TRY(node.boolean("trim_offsets"));
    spec.byte_level = true;
    steps.clear();
    if (prefix) steps.push_back({PreTokenizerKind::prefix_space, 0, 0, {}});
    if (regex.value_or(true)) {
      steps.push_back({PreTokenizerKind::pattern, 0, static_cast<uint32_t>(SplitPattern::gpt2), {}});
    }
  } else {
    return unsupported_type(parent, key, type,
                            "BertPreTokenizer, Whitespace, WhitespaceSplit, Punctuation, Digits, Metaspace, Split, "
                            "ByteLevel and a Sequence of them are");
  }
  for (PreTokenizerSpec& s : steps) spec.pre_tokenizer.push_back(std::move(s));
  if (spec.pre_tokenizer.size() > kMaxPreTokenizerSteps) {
    return make_error(Code::unsupported, Error::no_offset, node.path(), "more than %u steps are not supported",
                      kMaxPreTokenizerSteps);
  }
  return {};
}

}  // namespace

Status read_normalizer(const JsonNode& root, TokenizerSpec& spec) {
  if (!root.has("normalizer")) return {};
  ONEPASS_TRY_ASSIGN(node, root.object("normalizer"));
  return read_normalizer_step(root, "normalizer", node, spec);
}

Status read_pre_tokenizer(const JsonNode& root, TokenizerSpec& spec) {
  if (!root.has("pre_tokenizer")) return {};
  ONEPASS_TRY_ASSIGN(node, root.object("pre_tokenizer"));
  return read_pre_tokenizer_step(root, "pre_tokenizer", node, spec);
}

Status check_decoder(const JsonNode& root) {
  ONEPASS_TRY_ASSIGN(type, component_type(root, "decoder"));
  constexpr std::string_view kTypes[] = {"null",         "WordPiece", "ByteLevel", "Metaspace", "BPEDecoder",
                                         "ByteFallback", "Fuse",      "Strip",     "Replace",   "Sequence"};
  if (std::find(std::begin(kTypes), std::end(kTypes), type) != std::end(kTypes)) return {};
  return unsupported_type(root, "decoder", type, "the decoders of the tokenizers library are");
}

const NormalizerSpec* find_bert(const TokenizerSpec& spec) {
  for (const NormalizerSpec& step : spec.normalizer) {
    if (step.kind == NormalizerKind::bert) return &step;
  }
  return nullptr;
}

}  // namespace onepass
