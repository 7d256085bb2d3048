#include "formats/huggingface/folder.h"

#include <cinttypes>
#include <system_error>

namespace onepass {

namespace {

// A kind that the user gives changes what a head's numbers mean, and with that which of its values apply.
Status set_kind(HeadSpec& head, HeadKind kind) {
  if (head.kind == kind) return {};
  head.kind = kind;
  head.thresholds.clear();
  if (kind == HeadKind::multi_label) head.thresholds.assign(head.labels.size(), kDefaultThreshold);
  if (kind != HeadKind::regression) head.range.reset();
  return check_head(head, "onepass.json: heads");
}

Result<std::vector<HeadSpec>> read_heads(const JsonNode& config, const std::optional<OnepassJson>& ours,
                                         const std::vector<std::pair<std::string, HeadKind>>& kinds) {
  std::vector<HeadSpec> heads;
  if (ours.has_value()) heads = ours->heads;
  std::optional<HeadKind> classifier_kind;
  for (const auto& [name, kind] : kinds) {
    bool found = false;
    for (HeadSpec& head : heads) {
      if (head.name != name) continue;
      found = true;
      ONEPASS_TRY(set_kind(head, kind));
    }
    if (!ours.has_value() && name == kClassifierHead) {
      classifier_kind = kind;
      found = true;
    }
    if (!found) {
      return make_error(Code::bad_name, Error::no_offset, "--kind",
                        "the model has no head \"%.64s\"; the head of config.json is named \"%s\"", name.c_str(),
                        kClassifierHead.data());
    }
  }
  if (!ours.has_value()) {
    ONEPASS_TRY_ASSIGN(head, read_classifier_head(config, classifier_kind));
    heads.push_back(std::move(head));
  }
  return heads;
}

}  // namespace

Result<HuggingFaceFolder> HuggingFaceFolder::open(const std::filesystem::path& path) noexcept {
  try {
    HuggingFaceFolder folder;
    folder.path_ = path;
    ONEPASS_TRY_ASSIGN(config, read_json_file(path / "config.json", kMaxConfigBytes));
    folder.config_ = std::move(config);
    ONEPASS_TRY(folder.config().expect_object());
    std::error_code problem;
    if (std::filesystem::exists(path / "onepass.json", problem)) {
      ONEPASS_TRY_ASSIGN(json, read_json_file(path / "onepass.json", kMaxConfigBytes));
      ONEPASS_TRY_ASSIGN(ours, parse_onepass_json(JsonNode(json, "onepass.json")));
      folder.onepass_json_ = std::move(ours);
    }
    return folder;
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, "config.json", "out of memory while reading a folder");
  }
}

HuggingFaceFolder HuggingFaceFolder::from_parts(Json config, std::optional<OnepassJson> ours,
                                                std::filesystem::path path, std::string name) {
  HuggingFaceFolder folder;
  folder.path_ = std::move(path);
  folder.name_ = std::move(name);
  folder.config_ = std::move(config);
  folder.onepass_json_ = std::move(ours);
  return folder;
}

Result<std::string> HuggingFaceFolder::model_type() const noexcept { return config().string("model_type"); }

Result<std::string> HuggingFaceFolder::architecture() const noexcept {
  ONEPASS_TRY_ASSIGN(list, config().array("architectures"));
  ONEPASS_TRY_ASSIGN(names, list.as_strings());
  if (names.size() != 1) {
    return make_error(Code::bad_value, Error::no_offset, list.path(),
                      "%zu names; the one class of the checkpoint is needed", names.size());
  }
  return std::move(names[0]);
}

Result<std::vector<HeadSpec>> HuggingFaceFolder::heads(
    const std::vector<std::pair<std::string, HeadKind>>& kinds) const noexcept {
  try {
    return read_heads(config(), onepass_json_, kinds);
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, "config.json", "out of memory while reading heads");
  }
}

Result<TokenizerSpec> HuggingFaceFolder::tokenizer(const std::filesystem::path& folder) const noexcept {
  try {
    ONEPASS_TRY_ASSIGN(spec, read_tokenizer(folder.empty() ? path_ : folder));
    ONEPASS_TRY(check_tokenizer(spec));
    return std::move(spec);
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, "tokenizer", "out of memory while reading a tokenizer");
  }
}

Status HuggingFaceFolder::check_tokenizer(const TokenizerSpec& spec) const noexcept {
  ONEPASS_TRY_ASSIGN(rows, config().u64("vocab_size", 1, UINT32_MAX));
  if (token_count(spec) <= rows) return {};
  return make_error(Code::bad_vocabulary, Error::no_offset, config().path_of("vocab_size"),
                    "the model knows %" PRIu64 " tokens, the tokenizer %zu: they do not belong together", rows,
                    token_count(spec));
}

}  // namespace onepass
