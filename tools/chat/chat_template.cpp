#include "tools/chat/chat_template.h"

#include "formats/json/json.h"
#include "tools/chat/jinja.h"

namespace onepass::chat {

namespace fs = std::filesystem;

namespace {

constexpr const char* kTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                   "pad_token", "cls_token", "mask_token"};

// A token is a string, or an object with its "content".
void add_tokens(const Json& config, Json& tokens) {
  for (const char* name : kTokens) {
    const auto at = config.find(name);
    if (at == config.end() || tokens.contains(name)) continue;
    if (at->is_string()) tokens[name] = *at;
    if (at->is_object() && at->contains("content") && (*at)["content"].is_string()) tokens[name] = (*at)["content"];
  }
}

Result<Json> read_object(const fs::path& path) {
  ONEPASS_TRY_ASSIGN(text, read_text_file(path, kMaxTemplateBytes * 16));
  const std::string name = path.filename().string();
  ONEPASS_TRY_ASSIGN(json, parse_json(text, kMaxTemplateBytes * 16, name));
  if (!json.is_object()) return make_error(Code::bad_type, 0, name, "it is not an object");
  return std::move(json);
}

}  // namespace

Result<ChatSource> read_chat_source(const fs::path& folder) {
  ChatSource source;
  const fs::path own = folder / "chat_template.jinja";
  if (fs::exists(own)) {
    ONEPASS_TRY_ASSIGN(text, read_text_file(own, kMaxTemplateBytes));
    source.text = std::move(text);
    source.where = "chat_template.jinja";
  }
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    if (!fs::exists(folder / name)) continue;
    ONEPASS_TRY_ASSIGN(json, read_object(folder / name));
    add_tokens(json, source.tokens);
    const auto given = json.find("chat_template");
    if (given == json.end() || !source.text.empty()) continue;
    source.where = name;
    if (given->is_string()) source.text = given->get<std::string>();
    if (!given->is_array()) continue;
    for (const Json& one : *given) {  // {"name": "default", "template": ...}
      const bool whole =
          one.is_object() && one.contains("name") && one.contains("template") && one["template"].is_string();
      if (whole && one["name"] == "default") source.text = one["template"].get<std::string>();
    }
  }
  return source;
}

Result<ChatSource> read_chat_source(const GgufMetadata& metadata) {
  ChatSource source;
  ONEPASS_TRY_ASSIGN(text, metadata.optional_text("tokenizer.chat_template"));
  if (!text) return source;
  source.text = *text;
  source.where = "tokenizer.chat_template";
  const GgufValue* vocabulary = metadata.find("tokenizer.ggml.tokens");
  if (vocabulary == nullptr) return source;
  constexpr std::pair<const char*, const char*> ids[] = {{"bos_token", "bos_token_id"},
                                                         {"eos_token", "eos_token_id"},
                                                         {"unk_token", "unknown_token_id"},
                                                         {"pad_token", "padding_token_id"}};
  for (const auto& [name, key] : ids) {
    ONEPASS_TRY_ASSIGN(id, metadata.optional_u32(std::string("tokenizer.ggml.") + key));
    if (id && *id < vocabulary->texts.size()) source.tokens[name] = vocabulary->texts[*id];
  }
  return source;
}

Result<std::string> render_chat(const ChatSource& source, const Chat& chat, const std::string& message) {
  if (source.text.empty()) {
    return make_error(Code::missing_key, Error::no_offset, "--chat",
                      "the checkpoint has no chat template: write the whole prompt with --template");
  }
  Json variables = source.tokens;
  variables["messages"] = Json::array();
  if (chat.system) variables["messages"].push_back({{"role", "system"}, {"content", *chat.system}});
  variables["messages"].push_back({{"role", "user"}, {"content", message}});
  variables["add_generation_prompt"] = true;
  variables["tools"] = nullptr;
  variables["documents"] = nullptr;
  for (const auto& [name, value] : chat.variables) variables[name] = value;
  ONEPASS_TRY_ASSIGN(prompt, render(source.text, variables, source.where));
  const size_t hole = prompt.find("{text}");
  if (hole == std::string::npos || prompt.find("{text}", hole + 1) != std::string::npos) {
    return make_error(
        Code::bad_value, Error::no_offset, "--chat",
        "the chat template does not put the message into the prompt once: write the prompt with --template");
  }
  return std::move(prompt);
}

}  // namespace onepass::chat
