#include "formats/sentencepiece/tokenizer.h"

#include <algorithm>
#include <map>
#include <system_error>
#include <unordered_map>

#include "engine/core/utf8.h"
#include "engine/text/bpe.h"
#include "formats/huggingface/tokenizer_parts.h"
#include "formats/sentencepiece/families.h"

namespace onepass {

namespace {

constexpr const char* kMeta = "\xE2\x96\x81";  // U+2581
constexpr uint64_t kMaxExtraIds = 1024;
// Of a piece of a BPE model; SentencePiece makes at most 16 characters unless it is told otherwise.
constexpr size_t kMaxMergedBytes = 512;

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
  }
  return {};
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
      ONEPASS_TRY_ASSIGN(content, read_named_token(node, token));
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

Status fill_added_tokens(Context& context) {
  AddedById added;
  for (const SentencePiece& piece : context.model.pieces) {
    const bool control = piece.type == SentencePieceType::control;
    if (!control && !(context.family.bpe && piece.type == SentencePieceType::user_defined)) continue;
    AddedTokenSpec token;
    token.id = context.ids.at(piece.piece);
    token.content = piece.piece;
    token.special = control;
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
  if (context.config != nullptr) ONEPASS_TRY(read_decoder_tokens(*context.config, context.ids, added));
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
  if (eos == nullptr) eos = "</s>";
  return add(eos, "add_eos_token", context.family.after != nullptr);
}

// The merges that a BPE model of SentencePiece stands for: every two pieces that make a third one, the one of the best
// score first; of those that make the same piece, in the order of the parts' ids.
Status fill_merges(Context& context) {
  const SentencePieceModel& model = context.model;
  TokenizerSpec& spec = context.spec;
  const auto refuse = [&](const char* what) {
    return make_error(Code::unsupported, Error::no_offset, context.where,
                      "a BPE model with %s is not supported; save the tokenizer as tokenizer.json", what);
  };
  if (!model.byte_fallback) return refuse("byte_fallback = false");
  if (!model.precompiled_charsmap.empty()) return refuse("a character map");
  if (!model.add_dummy_prefix) return refuse("add_dummy_prefix = false");
  if (model.remove_extra_whitespaces) return refuse("remove_extra_whitespaces = true");
  struct Merge {
    float score;
    MergeSpec merge;
  };
  std::vector<Merge> merges;
  std::unordered_map<std::string_view, uint32_t> ids;
  for (uint32_t id = 0; id < model.pieces.size(); ++id) ids.emplace(model.pieces[id].piece, id);
  for (uint32_t id = 0; id < model.pieces.size(); ++id) {
    const std::string_view piece = model.pieces[id].piece;
    if (piece.size() > kMaxMergedBytes) {
      return make_error(Code::limit_exceeded, Error::no_offset, context.where,
                        "piece %u of a BPE model has %zu bytes; the limit is %zu", id, piece.size(), kMaxMergedBytes);
    }
    const size_t first = merges.size();
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      if ((static_cast<uint8_t>(piece[cut]) & 0xC0) == 0x80) continue;
      const auto left = ids.find(piece.substr(0, cut));
      if (left == ids.end()) continue;
      const auto right = ids.find(piece.substr(cut));
      if (right != ids.end()) merges.push_back({model.pieces[id].score, {left->second, right->second, id}});
    }
    std::sort(merges.begin() + static_cast<ptrdiff_t>(first), merges.end(), [](const Merge& a, const Merge& b) {
      return std::pair(a.merge.left, a.merge.right) < std::pair(b.merge.left, b.merge.right);
    });
    if (merges.size() > kMaxMerges) {
      return make_error(Code::limit_exceeded, Error::no_offset, context.where, "more than %u merges", kMaxMerges);
    }
  }
  std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) { return a.score > b.score; });
  for (const Merge& merge : merges) spec.merges.push_back(merge.merge);
  spec.bpe_flags = uint32_t{bpe_has_unk} | bpe_fuse_unk | bpe_byte_fallback;
  return find_bytes(spec, context.where);
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

Status check_additional(const Context& context) {
  if (context.config == nullptr) return {};
  ONEPASS_TRY(check_additional_tokens(*context.config, context.spec));
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
      "XLMRobertaTokenizer, AlbertTokenizer, T5Tokenizer and LlamaTokenizer are, and every tokenizer.json",
      name.empty() ? "model type" : "tokenizer class", name.empty() ? std::string(model_type).c_str() : name.c_str());
}

Result<TokenizerSpec> convert(const SentencePieceModel& model, const JsonNode* config, std::string_view model_type,
                              std::string_view where) {
  ONEPASS_TRY_ASSIGN(family, find_family(config, model_type, std::string(where)));
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
  if (family->bpe) ONEPASS_TRY(fill_merges(context));
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
    // These name tokens again; they must not say anything else.
    ONEPASS_TRY(check_token_files(folder, spec));
    return std::move(spec);
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, "tokenizer", "out of memory while reading a tokenizer");
  }
}

}  // namespace onepass
