// A Hugging Face folder: config.json, onepass.json where the heads are ours, and the tokenizer's files.
// The weights are Checkpoint's (formats/safetensors/checkpoint.h).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/result.h"
#include "formats/huggingface/heads.h"
#include "formats/huggingface/onepass_json.h"
#include "formats/huggingface/tokenizer.h"
#include "formats/json/json.h"

namespace onepass {

class HuggingFaceFolder {
 public:
  // Reads config.json, and onepass.json where the folder has one.
  static Result<HuggingFaceFolder> open(const std::filesystem::path& path) noexcept;

  // A folder that is none: what another format says, as the config.json of a model. `name` is its place in errors.
  static HuggingFaceFolder from_parts(Json config, std::optional<OnepassJson> ours, std::filesystem::path path,
                                      std::string name);

  const std::filesystem::path& path() const noexcept { return path_; }
  // Of config.json; valid while this object neither moves nor ends.
  JsonNode config() const { return {config_, name_}; }
  const std::optional<OnepassJson>& onepass_json() const noexcept { return onepass_json_; }

  Result<std::string> model_type() const noexcept;
  // The class that the checkpoint was saved from: the one entry of "architectures".
  Result<std::string> architecture() const noexcept;

  // The heads of onepass.json, or the one that config.json describes. `kinds` holds pairs of head name and kind that
  // take precedence over what the files say; a name without a head is bad_name.
  Result<std::vector<HeadSpec>> heads(const std::vector<std::pair<std::string, HeadKind>>& kinds = {}) const noexcept;

  // The tokenizer of this folder, or of another (--tokenizer DIR). Its ids must lie below config.json's vocab_size.
  Result<TokenizerSpec> tokenizer(const std::filesystem::path& folder = {}) const noexcept;
  Status check_tokenizer(const TokenizerSpec& spec) const noexcept;  // its ids lie below vocab_size

 private:
  std::filesystem::path path_;
  std::string name_ = "config.json";
  Json config_;
  std::optional<OnepassJson> onepass_json_;
};

}  // namespace onepass
