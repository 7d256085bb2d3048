#include "formats/sentencepiece/tokenizer.h"

#include <algorithm>
#include <map>
#include <system_error>
#include <unordered_map>

#include "formats/huggingface/tokenizer.h"
#include "formats/sentencepiece/families.h"

namespace onepass {

namespace {

constexpr const char* kMeta = "\xE2\x96\x81";  // U+2581
constexpr uint64_t kMaxExtraIds = 1024;

// What becomes of the special tokens of a configuration: those whose flags it gives.
struct Context {
  const SentencePieceModel& model;
  const SentencePieceFamily& family;
  const JsonNode* config;  // or null
  std::string where;
  TokenizerSpec spec;
  std::unordered_map<std::string, uint32_t> ids;
};

Error wrong_pieces(const Context& context, size_t id, const char* expected) {
  return make_error(Code::bad_vocabulary, Error::no_offset, context.where, "piece %zu of a %s must be \"%s\"", id,
                    context.family.tokenizer_class, expected);
}

// A boolean of the configuration, which has this default.
Result<bool> option(const Context& context, std::string_view key, bool absent) {
  if (context.config == nullptr) return absent;
  ONEPASS_TRY_ASSIGN(value, context.config->optional_boolean(key));
  return value.value_or(absent);
}

Status expect_option(const Context& context, std::string_view key, bool only) {
  ONEPASS_TRY_ASSIGN(value, option(context, key, only));
  if (value == only) return {};
  return make_error(Code::unsupported, Error::no_offset, context.config->path_of(key),
                    "%s is not supported with a SentencePiece model; save the tokenizer as tokenizer.json",
                    value ? "true" : "false");
}

Status fill_pieces(Context& context) {
  TokenizerSpec& spec = context.spec;
  const auto add = [&](const std::string& piece, double score) {
    spec.pieces.push_back(piece);
    spec.scores.push_back(score);
  };
  const std::vector<SentencePiece>& pieces = context.model.pieces;
  size_t first = 0;
  spec.unk_id = context.model.unk_id;
  if (context.family.layout == SentencePieceLayout::fairseq) {
    constexpr const char* kFile[] = {"<unk>", "<s>", "</s>"};
    for (size_t id = 0; id < 3; ++id) {
      if (id >= pieces.size() || pieces[id].piece != kFile[id]) return wrong_pieces(context, id, kFile[id]);
    }
    for (const char* token : {"<s>", "<pad>", "</s>", "<unk>"}) add(token, 0);
    spec.unk_id = 3;
    first = 3;
  }
  for (size_t id = first; id < pieces.size(); ++id) add(pieces[id].piece, pieces[id].score);
  if (context.family.layout == SentencePieceLayout::fairseq) add("<mask>", 0);
  if (context.family.layout == SentencePieceLayout::t5) {
    uint64_t extra = 100;
    if (context.config != nullptr && context.config->has("extra_ids")) {
      ONEPASS_TRY_ASSIGN(count, context.config->u64("extra_ids", 0, kMaxExtraIds));
      extra = count;
    }
    while (extra-- > 0) add("<extra_id_" + std::to_string(extra) + ">", 0);
  }
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    if (!context.ids.emplace(spec.pieces[id], static_cast<uint32_t>(id)).second) {
      return make_error(Code::duplicate_name, Error::no_offset, context.where,
                        "the file has \"%.80s\", which a %s puts in itself", spec.pieces[id].c_str(),
                        context.family.tokenizer_class);
    }
  }
  return {};
}

Status fill_steps(Context& context) {
  TokenizerSpec& spec = context.spec;
  using Kind = NormalizerKind;
  const auto step = [&](Kind kind, uint32_t flags = 0, const char* pattern = "", const char* content = "") {
    spec.normalizer.push_back({kind, flags, pattern, content});
  };
  const auto charsmap = [&] {
    if (context.model.precompiled_charsmap.empty()) return;
    spec.normalizer.push_back({Kind::precompiled, 0, context.model.precompiled_charsmap, ""});
  };
  const auto metaspace = [&](uint32_t flags) {
    spec.pre_tokenizer.push_back({PreTokenizerKind::metaspace, flags, 0, kMeta});
  };
  ONEPASS_TRY(expect_option(context, "add_prefix_space", true));
  switch (context.family.steps) {
    case SentencePieceSteps::deberta: {
      ONEPASS_TRY(expect_option(context, "split_by_punct", false));
      ONEPASS_TRY_ASSIGN(lower, option(context, "do_lower_case", false));
      if (lower) step(Kind::lowercase);
      step(Kind::strip, 3);
      charsmap();
      step(Kind::replace_spaces, 0, "", " ");
      metaspace(metaspace_split | metaspace_prepend_always);
      break;
    }
    case SentencePieceSteps::albert: {
      ONEPASS_TRY(expect_option(context, "remove_space", true));
      ONEPASS_TRY_ASSIGN(lower, option(context, "do_lower_case", true));
      ONEPASS_TRY_ASSIGN(keep_accents, option(context, "keep_accents", false));
      step(Kind::replace, 0, "``", "\"");
      step(Kind::replace, 0, "''", "\"");
      if (!keep_accents) {
        step(Kind::nfkd);
        step(Kind::strip_accents);
      }
      if (lower) step(Kind::lowercase);
      charsmap();
      step(Kind::replace_spaces, 0, "", " ");
      spec.pre_tokenizer.push_back({PreTokenizerKind::whitespace_split, 0, 0, ""});
      metaspace(metaspace_split | metaspace_prepend_always);
      break;
    }
    case SentencePieceSteps::whitespace:
      charsmap();
      spec.pre_tokenizer.push_back({PreTokenizerKind::whitespace_split, 0, 0, ""});
      metaspace(metaspace_split | metaspace_prepend_always);
      break;
    case SentencePieceSteps::llama: {
      ONEPASS_TRY_ASSIGN(legacy, option(context, "legacy", true));
      if (legacy) {
        step(Kind::prepend, 0, "", kMeta);
        step(Kind::replace, 0, " ", kMeta);
      } else {
        metaspace(metaspace_prepend_first);
      }
      break;
    }
    case SentencePieceSteps::gemma:
      step(Kind::replace, 0, " ", kMeta);
      break;
  }
  return {};
}

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

// The content of a token of a configuration, as a text or an object; the flags of the object go to `token`.
Result<std::string> read_token(const JsonNode& node, AddedTokenSpec& token) {
  if (!node.value().is_object()) return node.as_string();
  ONEPASS_TRY(
      node.only({"__type", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}, Code::unsupported));
  ONEPASS_TRY(read_flags(node, token));
  return node.string("content");
}

// By id. A token that no piece has takes the next id.
using AddedById = std::map<uint32_t, AddedTokenSpec>;

Status add_family_tokens(Context& context, AddedById& added) {
  for (const FamilyToken& known : context.family.tokens) {
    const bool given = context.config != nullptr && context.config->has(known.key);
    AddedTokenSpec token;
    if (known.content != nullptr) token.content = known.content;
    token.lstrip = known.lstrip;
    token.normalized = known.normalized;
    token.special = true;
    if (given) {
      ONEPASS_TRY_ASSIGN(node, context.config->member(known.key));
      ONEPASS_TRY_ASSIGN(content, read_token(node, token));
      if (content != token.content) {
        return make_error(Code::unsupported, Error::no_offset, node.path(),
                          "\"%.60s\" where a %s has \"%s\"; save the tokenizer as tokenizer.json", content.c_str(),
                          context.family.tokenizer_class, known.content == nullptr ? "" : known.content);
      }
    }
    if (token.content.empty()) continue;
    auto piece = context.ids.find(token.content);
    if (piece == context.ids.end()) {
      const auto next = static_cast<uint32_t>(context.ids.size());
      piece = context.ids.emplace(token.content, next).first;
    }
    token.id = piece->second;
    const auto at = added.find(token.id);
    if (at == added.end()) {
      added.emplace(token.id, std::move(token));
    } else if (given || known.lstrip || known.normalized) {
      at->second = std::move(token);
    }
  }
  return {};
}

// {"128000": {"content": "[MASK]", ...}}: what it says counts, but an id must be that of the piece or the next one.
Status add_decoder_tokens(Context& context, AddedById& added) {
  if (context.config == nullptr) return {};
  ONEPASS_TRY_ASSIGN(list, context.config->optional_object("added_tokens_decoder"));
  if (!list.has_value()) return {};
  std::map<uint64_t, JsonNode> by_id;
  for (const auto& [name, value] : list->value().get_ref<const Json::object_t&>()) {
    const bool digits = !name.empty() && name.size() < 8 && name.find_first_not_of("0123456789") == std::string::npos;
    if (!digits) return make_error(Code::bad_value, Error::no_offset, list->path_of(name), "not an id");
    by_id.emplace(std::stoull(name), JsonNode(value, list->path_of(name)));
  }
  for (const auto& [id, node] : by_id) {
    AddedTokenSpec token;
    ONEPASS_TRY_ASSIGN(content, read_token(node, token));
    auto piece = context.ids.find(content);
    if (piece == context.ids.end()) {
      piece = context.ids.emplace(content, static_cast<uint32_t>(context.ids.size())).first;
    }
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

Status fill_added_tokens(Context& context) {
  AddedById added;
  const bool gemma = context.family.steps == SentencePieceSteps::gemma;
  for (const SentencePiece& piece : context.model.pieces) {
    const bool control = piece.type == SentencePieceType::control;
    if (!control && !(gemma && piece.type == SentencePieceType::user_defined)) continue;
    AddedTokenSpec token;
    token.id = context.ids.at(piece.piece);
    token.content = piece.piece;
    token.special = control || piece.piece == "<start_of_turn>" || piece.piece == "<end_of_turn>";
    added[token.id] = std::move(token);
  }
  ONEPASS_TRY(add_family_tokens(context, added));
  if (context.family.layout == SentencePieceLayout::t5) {
    for (size_t id = context.model.pieces.size(); id < context.spec.pieces.size(); ++id) {
      AddedTokenSpec token;
      token.id = static_cast<uint32_t>(id);
      token.content = context.spec.pieces[id];
      token.special = true;
      added[token.id] = std::move(token);
    }
  }
  ONEPASS_TRY(add_decoder_tokens(context, added));
  for (auto& [id, token] : added) context.spec.added_tokens.push_back(std::move(token));
  return {};
}

Status fill_template(Context& context) {
  const auto add = [&](const char* token, const char* key, bool absent) -> Status {
    ONEPASS_TRY_ASSIGN(wanted, option(context, key, absent && token != nullptr));
    if (!wanted) return {};
    if (token == nullptr) {
      return make_error(Code::unsupported, Error::no_offset, context.config->path_of(key),
                        "true is not supported for a %s", context.family.tokenizer_class);
    }
    const auto at = context.ids.find(token);
    if (at == context.ids.end()) {
      return make_error(Code::bad_vocabulary, Error::no_offset, context.where, "no piece is \"%s\"", token);
    }
    context.spec.single_template.push_back({false, at->second});
    return {};
  };
  ONEPASS_TRY(add(context.family.before, "add_bos_token", true));
  context.spec.single_template.push_back({true, 0});
  const char* eos = context.family.after;
  if (eos == nullptr) eos = context.family.steps == SentencePieceSteps::gemma ? "<eos>" : "</s>";
  return add(eos, "add_eos_token", context.family.after != nullptr);
}

Status check_config(const JsonNode& config) {
  // What changes no id of one text is let pass by name; what is not in this list is not known.
  return config.only({"add_bos_token",
                      "add_eos_token",
                      "add_prefix_space",
                      "added_tokens_decoder",
                      "additional_special_tokens",
                      "backend",
                      "bos_token",
                      "clean_up_tokenization_spaces",
                      "cls_token",
                      "do_lower_case",
                      "eos_token",
                      "extra_ids",
                      "extra_special_tokens",
                      "is_local",
                      "keep_accents",
                      "legacy",
                      "local_files_only",
                      "mask_token",
                      "max_length",
                      "model_input_names",
                      "model_max_length",
                      "name_or_path",
                      "pad_token",
                      "padding_side",
                      "processor_class",
                      "remove_space",
                      "sep_token",
                      "sp_model_kwargs",
                      "spaces_between_special_tokens",
                      "special_tokens_map_file",
                      "split_by_punct",
                      "tokenizer_class",
                      "tokenizer_file",
                      "transformers_version",
                      "truncation_side",
                      "unk_token",
                      "use_default_system_prompt",
                      "use_fast",
                      "vocab_type"},
                     Code::unsupported);
}

// Tokens beyond those of the family are taken only from added_tokens_decoder, which gives their ids.
Status check_additional(const Context& context) {
  if (context.config == nullptr) return {};
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    if (!context.config->has(key)) continue;
    ONEPASS_TRY_ASSIGN(node, context.config->member(key));
    if (node.value().is_object() && node.value().empty()) continue;
    ONEPASS_TRY_ASSIGN(list, context.config->array(key));
    ONEPASS_TRY_ASSIGN(elements, list.elements());
    for (const JsonNode& element : elements) {
      AddedTokenSpec flags;
      ONEPASS_TRY_ASSIGN(content, read_token(element, flags));
      const auto same = [&](const AddedTokenSpec& token) { return token.content == content; };
      if (std::any_of(context.spec.added_tokens.begin(), context.spec.added_tokens.end(), same)) continue;
      return make_error(Code::unsupported, Error::no_offset, element.path(),
                        "\"%.60s\" is no token of the model; save the tokenizer as tokenizer.json", content.c_str());
    }
  }
  ONEPASS_TRY_ASSIGN(options, context.config->optional_object("sp_model_kwargs"));
  if (options.has_value() && !options->value().empty()) {
    return make_error(Code::unsupported, Error::no_offset, options->path(),
                      "options of SentencePiece are not supported");
  }
  return {};
}

Result<const SentencePieceFamily*> find_family(const JsonNode* config, std::string_view model_type,
                                               const std::string& where) {
  std::string name;
  if (config != nullptr) {
    ONEPASS_TRY_ASSIGN(given, config->optional_string("tokenizer_class"));
    name = given.value_or("");
    if (name.ends_with("Fast")) name.resize(name.size() - 4);
  }
  for (const SentencePieceFamily& family : sentencepiece_families()) {
    if (name.empty() ? model_type == family.model_type : name == family.tokenizer_class) return &family;
  }
  return make_error(
      Code::unsupported, Error::no_offset, where,
      "a SentencePiece model of the %s \"%.60s\" is not supported; those of DebertaV2Tokenizer, "
      "XLMRobertaTokenizer, AlbertTokenizer, T5Tokenizer, LlamaTokenizer and GemmaTokenizer are, and every "
      "tokenizer.json",
      name.empty() ? "model type" : "tokenizer class", name.empty() ? std::string(model_type).c_str() : name.c_str());
}

Result<TokenizerSpec> convert(const SentencePieceModel& model, const JsonNode* config, std::string_view model_type,
                              std::string_view where) {
  ONEPASS_TRY_ASSIGN(family, find_family(config, model_type, std::string(where)));
  if (family->bpe) {
    return make_error(Code::unsupported, Error::no_offset, where,
                      "a BPE model of SentencePiece is not supported; save the tokenizer as tokenizer.json");
  }
  Context context{model, *family, config, std::string(where), {}, {}};
  if (config != nullptr) ONEPASS_TRY(check_config(*config));
  const auto algorithm = family->bpe ? SentencePieceAlgorithm::bpe : SentencePieceAlgorithm::unigram;
  if (model.algorithm != algorithm) {
    return make_error(Code::unsupported, Error::no_offset, where, "a model of type %u, where a %s has %s",
                      static_cast<unsigned>(model.algorithm), family->tokenizer_class,
                      family->bpe ? "BPE (2)" : "unigram (1)");
  }
  if (model.treat_whitespace_as_suffix || !model.escape_whitespaces) {
    return make_error(Code::unsupported, Error::no_offset, where, "%s is not supported",
                      model.treat_whitespace_as_suffix ? "treat_whitespace_as_suffix" : "escape_whitespaces = false");
  }
  ONEPASS_TRY(fill_pieces(context));
  ONEPASS_TRY(fill_steps(context));
  ONEPASS_TRY(fill_added_tokens(context));
  ONEPASS_TRY(check_additional(context));
  ONEPASS_TRY(fill_template(context));
  TokenizerSpec& spec = context.spec;
  if (context.ids.size() > kMaxTokens) {
    return make_error(Code::limit_exceeded, Error::no_offset, where, "%zu tokens; at most %zu are read",
                      context.ids.size(), kMaxTokens);
  }
  spec.kind = family->bpe ? TokenizerKind::bpe : TokenizerKind::unigram;
  return std::move(spec);
}

}  // namespace

Result<TokenizerSpec> convert_sentencepiece(const SentencePieceModel& model, const Json* tokenizer_config,
                                            std::string_view model_type, std::string_view where) noexcept {
  try {
    if (tokenizer_config == nullptr) return convert(model, nullptr, model_type, where);
    const JsonNode config(*tokenizer_config, "tokenizer_config.json");
    return convert(model, &config, model_type, where);
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, where, "out of memory while reading a tokenizer");
  }
}

std::filesystem::path find_sentencepiece(const std::filesystem::path& folder) {
  std::error_code problem;
  for (const char* name : {"spm.model", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model"}) {
    if (std::filesystem::exists(folder / name, problem)) return folder / name;
  }
  return {};
}

Result<TokenizerSpec> read_sentencepiece_folder(const std::filesystem::path& folder) noexcept {
  try {
    std::error_code problem;
    const std::filesystem::path path = find_sentencepiece(folder);
    ONEPASS_TRY_ASSIGN(text, read_text_file(path, kMaxSentencePieceBytes));
    const std::string where = path.filename().string();
    ONEPASS_TRY_ASSIGN(model, parse_sentencepiece({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, where));
    Json config;
    const bool has_config = std::filesystem::exists(folder / "tokenizer_config.json", problem);
    if (has_config) {
      ONEPASS_TRY_ASSIGN(json, read_json_file(folder / "tokenizer_config.json", kMaxConfigBytes));
      config = std::move(json);
    }
    std::string model_type;
    if (std::filesystem::exists(folder / "config.json", problem)) {
      ONEPASS_TRY_ASSIGN(json, read_json_file(folder / "config.json", kMaxConfigBytes));
      ONEPASS_TRY_ASSIGN(given, JsonNode(json, "config.json").optional_string("model_type"));
      model_type = given.value_or("");
    }
    ONEPASS_TRY_ASSIGN(spec, convert_sentencepiece(model, has_config ? &config : nullptr, model_type, where));
    // Both name tokens again; they must not say anything else.
    const auto added = [&](std::string_view content) {
      return std::find_if(spec.added_tokens.begin(), spec.added_tokens.end(),
                          [&](const AddedTokenSpec& token) { return token.content == content; });
    };
    if (std::filesystem::exists(folder / "added_tokens.json", problem)) {
      ONEPASS_TRY_ASSIGN(json, read_json_file(folder / "added_tokens.json", kMaxConfigBytes));
      const JsonNode map(json, "added_tokens.json");
      if (!json.is_object()) return make_error(Code::bad_type, Error::no_offset, map.path(), "must be an object");
      for (const auto& [content, value] : json.get_ref<const Json::object_t&>()) {
        ONEPASS_TRY_ASSIGN(id, JsonNode(value, map.path_of(content)).as_u64(0, kMaxTokens - 1));
        const auto token = added(content);
        if (token == spec.added_tokens.end() || token->id != id) {
          return make_error(Code::unsupported, Error::no_offset, map.path_of(content),
                            "a token that the tokenizer's class does not have there; save it as tokenizer.json");
        }
      }
    }
    if (std::filesystem::exists(folder / "special_tokens_map.json", problem)) {
      ONEPASS_TRY_ASSIGN(json, read_json_file(folder / "special_tokens_map.json", kMaxConfigBytes));
      const JsonNode map(json, "special_tokens_map.json");
      if (!json.is_object()) return make_error(Code::bad_type, Error::no_offset, map.path(), "must be an object");
      for (const auto& [key, value] : json.get_ref<const Json::object_t&>()) {
        if (value.is_array()) continue;
        AddedTokenSpec flags;
        ONEPASS_TRY_ASSIGN(content, read_token(JsonNode(value, map.path_of(key)), flags));
        if (added(content) == spec.added_tokens.end()) {
          return make_error(Code::unsupported, Error::no_offset, map.path_of(key),
                            "\"%.60s\" is no token of the model; save the tokenizer as tokenizer.json",
                            content.c_str());
        }
      }
    }
    return std::move(spec);
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, "tokenizer", "out of memory while reading a tokenizer");
  }
}

}  // namespace onepass
