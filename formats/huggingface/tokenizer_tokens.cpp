// Tokens that tokenizer_config.json and the files beside it name.
#include <algorithm>
#include <map>
#include <system_error>

#include "formats/huggingface/tokenizer_parts.h"

namespace onepass {

namespace {

Status read_flags(const JsonNode& node, AddedTokenSpec& token) {
  const std::pair<const char*, bool*> flags[] = {{"single_word", &token.single_word},
                                                 {"lstrip", &token.lstrip},
                                                 {"rstrip", &token.rstrip},
                                                 {"normalized", &token.normalized},
                                                 {"special", &token.special}};
  for (const auto& [key, flag] : flags) {
    ONEPASS_TRY_ASSIGN(value, node.optional_boolean(key));
    if (value.has_value()) *flag = *value;
  }
  return {};
}

bool is_added(const TokenizerSpec& spec, std::string_view content) {
  return std::any_of(spec.added_tokens.begin(), spec.added_tokens.end(),
                     [&](const AddedTokenSpec& token) { return token.content == content; });
}

Error no_token(const std::string& where, const std::string& content) {
  return make_error(Code::unsupported, Error::no_offset, where,
                    "\"%.60s\" is no token of the model; save the tokenizer as tokenizer.json", content.c_str());
}

}  // namespace

Result<std::string> read_named_token(const JsonNode& node, AddedTokenSpec& token) {
  if (!node.value().is_object()) return node.as_string();
  ONEPASS_TRY(
      node.only({"__type", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}, Code::unsupported));
  ONEPASS_TRY(read_flags(node, token));
  return node.string("content");
}

Status read_decoder_tokens(const JsonNode& config, std::unordered_map<std::string, uint32_t>& ids,
                           std::map<uint32_t, AddedTokenSpec>& added) {
  ONEPASS_TRY_ASSIGN(list, config.optional_object("added_tokens_decoder"));
  if (!list.has_value()) return {};
  std::map<uint64_t, JsonNode> by_id;
  for (const auto& [name, value] : list->value().get_ref<const Json::object_t&>()) {
    const bool digits = !name.empty() && name.size() < 8 && name.find_first_not_of("0123456789") == std::string::npos;
    if (!digits) return make_error(Code::bad_value, Error::no_offset, list->path_of(name), "not an id");
    by_id.emplace(std::stoull(name), JsonNode(value, list->path_of(name)));
  }
  for (const auto& [id, node] : by_id) {
    AddedTokenSpec token;
    ONEPASS_TRY_ASSIGN(content, read_named_token(node, token));
    auto piece = ids.find(content);
    if (piece == ids.end()) piece = ids.emplace(content, static_cast<uint32_t>(ids.size())).first;
    if (piece->second != id) {
      return make_error(Code::bad_vocabulary, Error::no_offset, node.path(), "\"%.80s\" has id %u", content.c_str(),
                        piece->second);
    }
    token.id = piece->second;
    token.content = std::move(content);
    if (token.content.empty() || token.content.size() > kMaxTokenBytes) {
      return make_error(Code::bad_vocabulary, Error::no_offset, node.path(), "a token of %zu bytes",
                        token.content.size());
    }
    added[token.id] = std::move(token);
  }
  return {};
}

Status check_additional_tokens(const JsonNode& config, const TokenizerSpec& spec) {
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    if (!config.has(key)) continue;
    ONEPASS_TRY_ASSIGN(node, config.member(key));
    if (node.value().is_object() && node.value().empty()) continue;
    ONEPASS_TRY_ASSIGN(list, config.array(key));
    ONEPASS_TRY_ASSIGN(elements, list.elements());
    for (const JsonNode& element : elements) {
      AddedTokenSpec flags;
      ONEPASS_TRY_ASSIGN(content, read_named_token(element, flags));
      if (!is_added(spec, content)) return no_token(element.path(), content);
    }
  }
  return {};
}

Status check_token_files(const std::filesystem::path& folder, const TokenizerSpec& spec) {
  std::error_code problem;
  if (std::filesystem::exists(folder / "added_tokens.json", problem)) {
    ONEPASS_TRY_ASSIGN(json, read_json_file(folder / "added_tokens.json", kMaxConfigBytes));
    const JsonNode map(json, "added_tokens.json");
    ONEPASS_TRY(map.expect_object());
    for (const auto& entry : json.get_ref<const Json::object_t&>()) {
      const std::string& content = entry.first;
      ONEPASS_TRY_ASSIGN(id, JsonNode(entry.second, map.path_of(content)).as_u64(0, kMaxTokens - 1));
      const bool there =
          std::any_of(spec.added_tokens.begin(), spec.added_tokens.end(),
                      [&](const AddedTokenSpec& token) { return token.content == content && token.id == id; });
      if (there) continue;
      return make_error(Code::unsupported, Error::no_offset, map.path_of(content),
                        "a token that the tokenizer's class does not have there; save it as tokenizer.json");
    }
  }
  if (std::filesystem::exists(folder / "special_tokens_map.json", problem)) {
    ONEPASS_TRY_ASSIGN(json, read_json_file(folder / "special_tokens_map.json", kMaxConfigBytes));
    const JsonNode map(json, "special_tokens_map.json");
    ONEPASS_TRY(map.expect_object());
    for (const auto& [key, value] : json.get_ref<const Json::object_t&>()) {
      if (value.is_array()) continue;
      AddedTokenSpec flags;
      ONEPASS_TRY_ASSIGN(content, read_named_token(JsonNode(value, map.path_of(key)), flags));
      if (!is_added(spec, content)) return no_token(map.path_of(key), content);
    }
  }
  return {};
}

}  // namespace onepass
