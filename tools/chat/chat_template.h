// A prompt as the model was trained to read it: the checkpoint's chat template, rendered at conversion with what the
// user says and an answer begun.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "formats/gguf/gguf.h"
#include "formats/json/json.h"

namespace onepass::chat {

// What a checkpoint says of chats.
struct ChatSource {
  std::string text;              // the template; empty: none
  std::string where;             // its file or key
  Json tokens = Json::object();  // {"bos_token": "<s>", ...}
};

// What is asked for. `variables` are the template's own, such as enable_thinking of Qwen3.
struct Chat {
  std::optional<std::string> system;
  std::vector<std::pair<std::string, Json>> variables;
};

// chat_template.jinja, or "chat_template" of tokenizer_config.json (of several, the one called "default"), and the
// special tokens of tokenizer_config.json and special_tokens_map.json. No error where there is no template.
Result<ChatSource> read_chat_source(const std::filesystem::path& folder);
// "tokenizer.chat_template", and the special tokens that the metadata names by their ids.
Result<ChatSource> read_chat_source(const GgufMetadata& metadata);

// The prompt of one message by the user, up to where the model answers. Errors: missing_key (no template), those of
// render(), bad_value (the message, which has {text}, is not in it once).
Result<std::string> render_chat(const ChatSource& source, const Chat& chat, const std::string& message);

}  // namespace onepass::chat
