#include "formats/gguf/tokenizer.h"

#include <cinttypes>
#include <unordered_set>

#include "formats/gguf/tokenizer_parts.h"
#include "formats/huggingface/tokenizer.h"

namespace onepass {

namespace {

std::string ggml_key(std::string_view key) { return "tokenizer.ggml." + std::string(key); }

Result<GgufVocabulary> read_vocabulary(const GgufMetadata& metadata, std::string_view architecture) {
  GgufVocabulary vocabulary;
  vocabulary.metadata = &metadata;
  vocabulary.architecture = architecture;
  ONEPASS_TRY_ASSIGN(tokens, metadata.texts(ggml_key("tokens")));
  ONEPASS_TRY_ASSIGN(types, metadata.i32s(ggml_key("token_type")));
  if (metadata.has(ggml_key("scores"))) {
    ONEPASS_TRY_ASSIGN(scores, metadata.f32s(ggml_key("scores")));
    vocabulary.scores = std::move(scores);
  }
  const auto expect_count = [&](const char* key, size_t count) -> Status {
    if (count == tokens.size()) return {};
    return make_error(Code::bad_vocabulary, metadata.find(ggml_key(key))->offset, metadata.path_of(ggml_key(key)),
                      "%zu of them for %zu tokens", count, tokens.size());
  };
  ONEPASS_TRY(expect_count("token_type", types.size()));
  if (!vocabulary.scores.empty() || metadata.has(ggml_key("scores"))) {
    ONEPASS_TRY(expect_count("scores", vocabulary.scores.size()));
  }
  if (tokens.empty() || tokens.size() > kMaxTokens) {
    return make_error(tokens.empty() ? Code::bad_vocabulary : Code::limit_exceeded, Error::no_offset, vocabulary.path(),
                      "%zu tokens; a tokenizer has 1 to %zu", tokens.size(), kMaxTokens);
  }
  for (size_t id = 0; id < types.size(); ++id) {
    if (types[id] < 1 || types[id] > 6) {
      return make_error(Code::unknown_value, metadata.find(ggml_key("token_type"))->offset + 12 + 4 * id,
                        metadata.path_of(ggml_key("token_type")), "token %zu is of type %" PRId32, id, types[id]);
    }
    vocabulary.types.push_back(static_cast<GgufToken>(types[id]));
    // Converters fill up the table's rows with these; older ones call them user-defined.
    if (vocabulary.types[id] == GgufToken::user_defined && tokens[id] == "[PAD" + std::to_string(id) + "]") {
      vocabulary.types[id] = GgufToken::unused;
    }
  }
  vocabulary.tokens = std::move(tokens);
  return vocabulary;
}

Status check_different(const GgufVocabulary& vocabulary) {
  std::unordered_set<std::string_view> seen;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] == GgufToken::unused || seen.insert(vocabulary.tokens[id]).second) continue;
    return make_error(Code::duplicate_name, Error::no_offset, vocabulary.path(), "token %zu, \"%.80s\", is there twice",
                      id, vocabulary.tokens[id].c_str());
  }
  return {};
}

// Tokens before and behind a text. Encoders put both; of decoders the keys say, or else the pre-tokenizer's name.
Status add_template(const GgufVocabulary& vocabulary, bool encoder, bool begins, TokenizerSpec& spec) {
  const GgufMetadata& metadata = *vocabulary.metadata;
  ONEPASS_TRY_ASSIGN(cls, vocabulary.id("cls_token_id"));
  ONEPASS_TRY_ASSIGN(bos, vocabulary.id("bos_token_id"));
  ONEPASS_TRY_ASSIGN(sep, vocabulary.id("seperator_token_id"));
  ONEPASS_TRY_ASSIGN(eos, vocabulary.id("eos_token_id"));
  ONEPASS_TRY_ASSIGN(add_bos, metadata.optional_boolean(ggml_key("add_bos_token")));
  ONEPASS_TRY_ASSIGN(add_eos, metadata.optional_boolean(ggml_key("add_eos_token")));
  const std::optional<uint32_t> first = encoder && cls ? cls : bos, last = encoder && sep ? sep : eos;
  const bool before = encoder || add_bos.value_or(begins), after = encoder || add_eos.value_or(false);
  if (before && !first) {
    return make_error(Code::missing_key, Error::no_offset, metadata.path_of(ggml_key("bos_token_id")),
                      "the token before a text is not named; give the tokenizer with --tokenizer DIR");
  }
  if (after && !last) {
    return make_error(Code::missing_key, Error::no_offset, metadata.path_of(ggml_key("eos_token_id")),
                      "the token behind a text is not named; give the tokenizer with --tokenizer DIR");
  }
  spec.single_template.clear();
  if (before) spec.single_template.push_back({false, *first});
  spec.single_template.push_back({true, 0});
  if (after) spec.single_template.push_back({false, *last});
  return {};
}

Result<TokenizerSpec> read(const GgufMetadata& metadata, std::string_view architecture) {
  if (metadata.has("tokenizer.huggingface.json")) {
    ONEPASS_TRY_ASSIGN(text, metadata.text("tokenizer.huggingface.json"));
    return parse_tokenizer_json(text, metadata.path_of("tokenizer.huggingface.json"));
  }
  ONEPASS_TRY_ASSIGN(model, metadata.text(ggml_key("model")));
  ONEPASS_TRY_ASSIGN(vocabulary, read_vocabulary(metadata, architecture));
  Json json = {
      {"version", "1.0"},      {"truncation", nullptr},    {"padding", nullptr},        {"added_tokens", Json::array()},
      {"normalizer", nullptr}, {"pre_tokenizer", nullptr}, {"post_processor", nullptr}, {"decoder", nullptr}};
  const bool encoder = architecture == "bert" || architecture == "nomic-bert" || architecture == "modern-bert";
  bool begins = false;
  if (model == "bert") {
    ONEPASS_TRY(describe_bert(vocabulary, json));
  } else if (model == "gpt2") {
    ONEPASS_TRY(check_different(vocabulary));
    ONEPASS_TRY_ASSIGN(pre, metadata.optional_text(ggml_key("pre")));
    begins = pre.value_or("") == "llama-bpe" || pre.value_or("") == "tekken";
    ONEPASS_TRY(describe_gpt2(vocabulary, json));
  } else if (model == "llama") {
    ONEPASS_TRY(check_different(vocabulary));
    begins = true;
    ONEPASS_TRY(describe_llama(vocabulary, json));
  } else if (model == "t5") {
    ONEPASS_TRY(check_different(vocabulary));
    ONEPASS_TRY(describe_t5(vocabulary, json));
  } else {
    return vocabulary.unsupported(
        "model", "the tokenizer \"" + model.substr(0, 40) + "\" is not supported; bert, gpt2, llama and t5 are");
  }
  ONEPASS_TRY_ASSIGN(spec, parse_tokenizer_json(json.dump(), metadata.path_of("tokenizer.ggml")));
  if (model == "t5" && metadata.has(ggml_key("precompiled_charsmap"))) {
    ONEPASS_TRY_ASSIGN(charsmap, metadata.bytes(ggml_key("precompiled_charsmap")));
    spec.normalizer.push_back({NormalizerKind::precompiled, 0, std::move(charsmap), ""});
  }
  ONEPASS_TRY(add_template(vocabulary, encoder, begins, spec));
  return std::move(spec);
}

}  // namespace

Result<std::optional<uint32_t>> GgufVocabulary::id(std::string_view key) const {
  ONEPASS_TRY_ASSIGN(given, metadata->optional_u32(ggml_key(key)));
  if (given && *given >= tokens.size()) {
    return make_error(Code::bad_vocabulary, metadata->find(ggml_key(key))->offset, metadata->path_of(ggml_key(key)),
                      "token %" PRIu32 " of %zu", *given, tokens.size());
  }
  return std::optional<uint32_t>(given);
}

Error GgufVocabulary::unsupported(std::string_view key, const std::string& what) const {
  const GgufValue* value = metadata->find(ggml_key(key));
  return make_error(Code::unsupported, value == nullptr ? Error::no_offset : value->offset,
                    metadata->path_of(ggml_key(key)), "%s; or give the tokenizer with --tokenizer DIR", what.c_str());
}

Json vocabulary_json(const GgufVocabulary& vocabulary) {
  Json ids = Json::object();
  // Added tokens behind the last piece are none of the model's, as converters from tokenizer.json find them.
  const auto is_added = [&](size_t id) {
    return vocabulary.types[id] == GgufToken::control || vocabulary.types[id] == GgufToken::user_defined ||
           vocabulary.types[id] == GgufToken::unused;
  };
  size_t end = vocabulary.tokens.size();
  while (end != 0 && is_added(end - 1)) --end;
  for (size_t id = 0; id < end; ++id) {
    if (vocabulary.types[id] != GgufToken::unused) ids[vocabulary.tokens[id]] = id;
  }
  return ids;
}

Json added_token(const std::string& content, size_t id, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

void describe_added_tokens(const GgufVocabulary& vocabulary, Json& json) {
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const GgufToken type = vocabulary.types[id];
    const bool special = type == GgufToken::control || type == GgufToken::unknown;
    if (special || type == GgufToken::user_defined) {
      json["added_tokens"].push_back(added_token(vocabulary.tokens[id], id, special));
    }
  }
}

Result<TokenizerSpec> read_gguf_tokenizer(const GgufMetadata& metadata, std::string_view architecture) noexcept {
  try {
    return read(metadata, architecture);
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, metadata.path_of("tokenizer"),
                      "out of memory while reading a tokenizer");
  }
}

}  // namespace onepass
