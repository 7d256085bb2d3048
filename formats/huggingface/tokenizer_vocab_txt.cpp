// vocab.txt of BERT, as transformers' BertTokenizer reads it.
#include <algorithm>

#include "engine/core/utf8.h"
#include "formats/huggingface/tokenizer_parts.h"

namespace onepass {

namespace {

struct SpecialToken {
  const char* key;  // in tokenizer_config.json
  const char* content;
};
constexpr SpecialToken kSpecialTokens[] = {{"unk_token", "[UNK]"},
                                           {"sep_token", "[SEP]"},
                                           {"pad_token", "[PAD]"},
                                           {"cls_token", "[CLS]"},
                                           {"mask_token", "[MASK]"}};

bool is_special(std::string_view content) {
  return std::any_of(std::begin(kSpecialTokens), std::end(kSpecialTokens),
                     [&](const SpecialToken& token) { return content == token.content; });
}

// Lines as Python reads them: "\n", "\r\n" and a lone "\r" end one; the last needs no end.
Status read_lines(std::string_view text, std::string_view where, std::vector<std::string>& lines) {
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = std::min(text.find_first_of("\r\n", pos), text.size());
    const std::string_view line = text.substr(pos, end - pos);
    const std::string place = std::string(where) + ": line " + std::to_string(lines.size() + 1);
    if (!is_valid_utf8(line)) {
      return make_error(Code::bad_utf8, pos, place, "not valid UTF-8; save the file as UTF-8");
    }
    ONEPASS_TRY(check_token(line, place));
    lines.emplace_back(line);
    ONEPASS_TRY(check_token_count(lines.size(), std::string(where)));
    pos = end + (text.substr(end, 2) == "\r\n" ? 2 : 1);
  }
  return {};
}

// A special token of a configuration: its text, or an object with its text and flags.
Status check_special(const JsonNode& node, std::string_view expected) {
  JsonNode content = node;
  if (node.value().is_object()) {
    ONEPASS_TRY(node.only({"__type", "content", "single_word", "lstrip", "rstrip", "normalized", "special"},
                          Code::unsupported));
    for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"}) {
      ONEPASS_TRY_ASSIGN(value, node.optional_boolean(flag));
      if (value.value_or(false)) {
        return make_error(Code::unsupported, Error::no_offset, node.path_of(flag),
                          "true is not supported with vocab.txt; save the tokenizer as tokenizer.json");
      }
    }
    ONEPASS_TRY_ASSIGN(member, node.member("content"));
    content = member;
  }
  ONEPASS_TRY_ASSIGN(text, content.as_string());
  if (text != expected) {
    return make_error(Code::unsupported, Error::no_offset, content.path(),
                      "\"%.60s\" where BERT has \"%s\"; save the tokenizer as tokenizer.json", text.c_str(),
                      std::string(expected).c_str());
  }
  return {};
}

Status check_empty(const JsonNode& config, std::string_view key) {
  if (!config.has(key)) return {};
  ONEPASS_TRY_ASSIGN(node, config.member(key));
  if (node.value().is_structured() && node.value().empty()) return {};
  return make_error(Code::unsupported, Error::no_offset, node.path(),
                    "further tokens are not supported with vocab.txt; save the tokenizer as tokenizer.json");
}

// {"101": {"content": "[CLS]", ...}}
Status check_added_tokens_decoder(const JsonNode& config, const TokenIds& ids) {
  ONEPASS_TRY_ASSIGN(added, config.optional_object("added_tokens_decoder"));
  if (!added.has_value()) return {};
  for (const auto& [id, value] : added->value().get_ref<const Json::object_t&>()) {
    const JsonNode node(value, added->path_of(id));
    ONEPASS_TRY_ASSIGN(content, node.string("content"));
    if (!is_special(content)) {
      return make_error(Code::unsupported, Error::no_offset, node.path(),
                        "\"%.60s\" is no token of BERT; save the tokenizer as tokenizer.json", content.c_str());
    }
    ONEPASS_TRY(check_special(node, content));
    if (const auto at = ids.find(content); at == ids.end() || std::to_string(at->second) != id) {
      return make_error(Code::bad_vocabulary, Error::no_offset, node.path(), "vocab.txt gives \"%s\" another id",
                        content.c_str());
    }
  }
  return {};
}

Status read_config(const JsonNode& config, TokenizerSpec& spec, const TokenIds& ids) {
  // What changes no id is let pass by name; what is not in this list is not known.
  ONEPASS_TRY(config.only({"do_lower_case",
                           "strip_accents",
                           "tokenize_chinese_chars",
                           "do_basic_tokenize",
                           "never_split",
                           "unk_token",
                           "sep_token",
                           "pad_token",
                           "cls_token",
                           "mask_token",
                           "additional_special_tokens",
                           "extra_special_tokens",
                           "added_tokens_decoder",
                           "tokenizer_class",
                           "model_max_length",
                           "max_len",
                           "max_length",
                           "stride",
                           "truncation_strategy",
                           "truncation_side",
                           "padding_side",
                           "pad_to_multiple_of",
                           "pad_token_type_id",
                           "clean_up_tokenization_spaces",
                           "model_input_names",
                           "name_or_path",
                           "special_tokens_map_file",
                           "tokenizer_file",
                           "backend",
                           "is_local",
                           "local_files_only",
                           "use_fast",
                           "processor_class",
                           "transformers_version"},
                          Code::unsupported));
  ONEPASS_TRY_ASSIGN(tokenizer_class, config.optional_string("tokenizer_class"));
  if (tokenizer_class.has_value() && !is_bert_tokenizer(*tokenizer_class)) {
    return make_error(Code::unsupported, Error::no_offset, config.path_of("tokenizer_class"),
                      "\"%.60s\" with vocab.txt is not supported; BertTokenizer is", tokenizer_class->c_str());
  }
  ONEPASS_TRY_ASSIGN(basic, config.optional_boolean("do_basic_tokenize"));
  if (!basic.value_or(true)) {
    return make_error(Code::unsupported, Error::no_offset, config.path_of("do_basic_tokenize"),
                      "a tokenizer without the splitting at blanks and punctuation is not supported");
  }
  for (const char* key : {"never_split", "additional_special_tokens", "extra_special_tokens"}) {
    ONEPASS_TRY(check_empty(config, key));
  }
  for (const SpecialToken& token : kSpecialTokens) {
    if (!config.has(token.key)) continue;
    ONEPASS_TRY_ASSIGN(node, config.member(token.key));
    ONEPASS_TRY(check_special(node, token.content));
  }
  ONEPASS_TRY(check_added_tokens_decoder(config, ids));
  ONEPASS_TRY_ASSIGN(lowercase, config.optional_boolean("do_lower_case"));
  ONEPASS_TRY_ASSIGN(strip_accents, config.optional_boolean("strip_accents"));
  ONEPASS_TRY_ASSIGN(chinese, config.optional_boolean("tokenize_chinese_chars"));
  const bool lower = lowercase.value_or(true);
  spec.normalizer[0].flags = bert_clean_text | (lower ? bert_lowercase : 0u) |
                             (strip_accents.value_or(lower) ? bert_strip_accents : 0u) |
                             (chinese.value_or(true) ? bert_handle_chinese_chars : 0u);
  return {};
}

Result<TokenizerSpec> read_spec(std::string_view text, const Json* config, std::string_view where) {
  if (text.size() > kMaxTokenizerBytes) {
    return make_error(Code::limit_exceeded, Error::no_offset, where, "%zu bytes; at most %zu are read", text.size(),
                      kMaxTokenizerBytes);
  }
  TokenizerSpec spec;
  spec.normalizer.resize(1);
  spec.normalizer[0].flags = bert_clean_text | bert_handle_chinese_chars | bert_strip_accents | bert_lowercase;
  spec.pre_tokenizer.resize(1);
  ONEPASS_TRY(read_lines(text, where, spec.pieces));
  TokenIds ids;
  for (size_t i = 0; i < spec.pieces.size(); ++i) {
    if (!ids.emplace(spec.pieces[i], static_cast<uint32_t>(i)).second) {
      return make_error(Code::bad_vocabulary, Error::no_offset, std::string(where) + ": line " + std::to_string(i + 1),
                        "\"%.80s\" is also on an earlier line; the ids of both would be unclear",
                        spec.pieces[i].c_str());
    }
  }
  for (const SpecialToken& token : kSpecialTokens) {
    const auto at = ids.find(token.content);
    if (at == ids.end()) {
      return make_error(Code::bad_vocabulary, Error::no_offset, where,
                        "no line is \"%s\"; save the tokenizer as tokenizer.json if it names its tokens otherwise",
                        token.content);
    }
    AddedTokenSpec added;
    added.id = at->second;
    added.content = token.content;
    added.special = true;
    spec.added_tokens.push_back(std::move(added));
  }
  std::sort(spec.added_tokens.begin(), spec.added_tokens.end(),
            [](const AddedTokenSpec& a, const AddedTokenSpec& b) { return a.id < b.id; });
  spec.unk_id = ids.at("[UNK]");
  spec.single_template = {{false, ids.at("[CLS]")}, {true, 0}, {false, ids.at("[SEP]")}};
  if (config != nullptr) ONEPASS_TRY(read_config(JsonNode(*config, "tokenizer_config.json"), spec, ids));
  return spec;
}

}  // namespace

bool is_bert_tokenizer(std::string_view tokenizer_class) {
  constexpr std::string_view kClasses[] = {"BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer",
                                           "DistilBertTokenizerFast"};
  return std::find(std::begin(kClasses), std::end(kClasses), tokenizer_class) != std::end(kClasses);
}

Status check_special_tokens_map(const JsonNode& map) {
  ONEPASS_TRY(map.only({"unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "additional_special_tokens"},
                       Code::unsupported));
  for (const SpecialToken& token : kSpecialTokens) {
    if (!map.has(token.key)) continue;
    ONEPASS_TRY_ASSIGN(node, map.member(token.key));
    ONEPASS_TRY(check_special(node, token.content));
  }
  return check_empty(map, "additional_special_tokens");
}

Status check_added_tokens_json(const JsonNode& map, const TokenizerSpec& spec) {
  ONEPASS_TRY(map.expect_object());
  for (const auto& [content, value] : map.value().get_ref<const Json::object_t&>()) {
    const JsonNode node(value, map.path_of(content));
    ONEPASS_TRY_ASSIGN(id, node.as_u64(0, kMaxTokens - 1));
    if (!is_special(content) || id >= spec.pieces.size() || spec.pieces[static_cast<size_t>(id)] != content) {
      return make_error(Code::unsupported, Error::no_offset, node.path(),
                        "further tokens are not supported with vocab.txt; save the tokenizer as tokenizer.json");
    }
  }
  return {};
}

Result<TokenizerSpec> parse_vocab_txt(std::string_view text, const Json* config, std::string_view where) noexcept {
  try {
    return read_spec(text, config, where);
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, where, "out of memory while reading a vocabulary");
  }
}

}  // namespace onepass
