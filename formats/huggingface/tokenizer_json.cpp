#include <algorithm>
#include <cinttypes>
#include <optional>
#include <system_error>

#include "formats/huggingface/tokenizer_parts.h"
#include "formats/sentencepiece/tokenizer.h"

namespace onepass {

namespace {

constexpr size_t kMaxTemplate = 1024;

struct ModelKind {
  const char* type;
  Status (*read)(const JsonNode& root, TokenizerSpec& spec);
};
constexpr ModelKind kModels[] = {
    {"WordPiece", read_wordpiece},
    {"BPE", read_bpe},
    {"Unigram", read_unigram},
};
constexpr const char* kModelTypes = "WordPiece, BPE and Unigram are";

// Old files have no "type"; what only one kind of model has tells it, as in the tokenizers library.
Result<std::string> model_type(const JsonNode& root) {
  ONEPASS_TRY_ASSIGN(model, root.object("model"));
  if (model.has("type")) return model.string("type");
  if (model.has("merges")) return std::string("BPE");
  if (model.has("unk_id")) return std::string("Unigram");
  if (model.has("max_input_chars_per_word")) return std::string("WordPiece");
  return make_error(Code::missing_key, Error::no_offset, model.path_of("type"),
                    "the kind of model is not given; save the tokenizer again with a current release of tokenizers");
}

Result<AddedTokenSpec> read_added_token(const JsonNode& node) {
  ONEPASS_TRY(
      node.only({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}, Code::unsupported));
  AddedTokenSpec token;
  ONEPASS_TRY_ASSIGN(id, node.u64("id", 0, kMaxTokens - 1));
  token.id = static_cast<uint32_t>(id);
  ONEPASS_TRY_ASSIGN(content, node.string("content"));
  ONEPASS_TRY(check_token(content, node.path_of("content")));
  token.content = std::move(content);
  const std::pair<const char*, bool*> flags[] = {{"single_word", &token.single_word},
                                                 {"lstrip", &token.lstrip},
                                                 {"rstrip", &token.rstrip},
                                                 {"normalized", &token.normalized},
                                                 {"special", &token.special}};
  for (const auto& [key, flag] : flags) {
    ONEPASS_TRY_ASSIGN(value, node.boolean(key));
    *flag = value;
  }
  return token;
}

// The library counts the tokens that the vocabulary lacks on from the number of tokens that the model has, whatever
// the file says; a file that says otherwise would mean two things.
Status read_added_tokens(const JsonNode& root, TokenizerSpec& spec) {
  ONEPASS_TRY_ASSIGN(list, root.array("added_tokens"));
  ONEPASS_TRY(check_token_count(list.value().size(), list.path()));
  ONEPASS_TRY_ASSIGN(nodes, list.elements());
  const TokenIds ids = ids_of(spec);
  std::unordered_map<std::string, uint32_t> seen;
  size_t next = model_token_count(spec);
  for (const JsonNode& node : nodes) {
    ONEPASS_TRY_ASSIGN(token, read_added_token(node));
    if (!seen.emplace(token.content, token.id).second) {
      return make_error(Code::duplicate_name, Error::no_offset, node.path(), "\"%.80s\" is added twice; remove one",
                        token.content.c_str());
    }
    const auto piece = ids.find(token.content);
    const size_t expected = piece == ids.end() ? next++ : piece->second;
    if (token.id != expected) {
      return make_error(Code::bad_vocabulary, Error::no_offset, node.path_of("id"),
                        "\"%.80s\" has id %u where %s gives %zu", token.content.c_str(), token.id,
                        piece == ids.end() ? "the order of the added tokens" : "the vocabulary", expected);
    }
    if (piece == ids.end() && token.id < spec.pieces.size()) {  // in a gap of the vocabulary
      if (!spec.pieces[token.id].empty()) {
        return make_error(Code::bad_vocabulary, Error::no_offset, node.path_of("id"), "id %u is also that of \"%.80s\"",
                          token.id, spec.pieces[token.id].c_str());
      }
      spec.pieces[token.id] = token.content;
      spec.literal_pieces.resize(spec.pieces.size());
      spec.literal_pieces[token.id] = true;
    }
    spec.added_tokens.push_back(std::move(token));
  }
  return check_token_count(next, list.path());
}

Status check_named_id(const TokenIds& ids, const std::string& token, uint64_t id, const std::string& where) {
  const auto at = ids.find(token);
  if (at == ids.end()) {
    return make_error(Code::bad_vocabulary, Error::no_offset, where, "the vocabulary has no token \"%.80s\"",
                      token.c_str());
  }
  if (at->second != id) {
    return make_error(Code::bad_vocabulary, Error::no_offset, where,
                      "\"%.80s\" has id %u in the vocabulary, not %" PRIu64, token.c_str(), at->second, id);
  }
  return {};
}

// {"id": "[CLS]", "ids": [101], "tokens": ["[CLS]"]}
Result<std::vector<uint32_t>> read_special(const JsonNode& node, const TokenIds& ids) {
  ONEPASS_TRY(node.only({"id", "ids", "tokens"}, Code::unsupported));
  ONEPASS_TRY(node.string("id"));
  ONEPASS_TRY_ASSIGN(id_list, node.array("ids"));
  ONEPASS_TRY_ASSIGN(token_list, node.array("tokens"));
  ONEPASS_TRY_ASSIGN(tokens, token_list.as_strings());
  if (tokens.size() != id_list.value().size() || tokens.empty() || tokens.size() > kMaxTemplate) {
    return make_error(Code::bad_value, Error::no_offset, node.path(),
                      "%zu ids and %zu tokens; there must be one of each", id_list.value().size(), tokens.size());
  }
  ONEPASS_TRY_ASSIGN(id_nodes, id_list.elements());
  std::vector<uint32_t> special;
  for (size_t i = 0; i < tokens.size(); ++i) {
    ONEPASS_TRY_ASSIGN(id, id_nodes[i].as_u64(0, kMaxTokens - 1));
    ONEPASS_TRY(check_named_id(ids, tokens[i], id, id_nodes[i].path()));
    special.push_back(static_cast<uint32_t>(id));
  }
  return special;
}

// Segment 0 is the only one that a single text reads.
Status expect_segment_0(const JsonNode& item) {
  ONEPASS_TRY_ASSIGN(segment, item.u64("type_id", 0, UINT32_MAX));
  if (segment != 0) {
    return make_error(Code::unsupported, Error::no_offset, item.path_of("type_id"),
                      "a single text in segment %" PRIu64 " is not supported; 0 is", segment);
  }
  return {};
}

Status read_template(const JsonNode& processor, const TokenIds& ids, TokenizerSpec& spec) {
  ONEPASS_TRY(processor.only({"type", "single", "pair", "special_tokens"}, Code::unsupported));
  ONEPASS_TRY(processor.array("pair"));
  ONEPASS_TRY_ASSIGN(special_map, processor.object("special_tokens"));
  std::unordered_map<std::string, std::vector<uint32_t>> specials;
  for (const auto& [name, value] : special_map.value().get_ref<const Json::object_t&>()) {
    ONEPASS_TRY_ASSIGN(special, read_special(JsonNode(value, special_map.path_of(name)), ids));
    specials.emplace(name, std::move(special));
  }
  ONEPASS_TRY_ASSIGN(single, processor.array("single"));
  ONEPASS_TRY_ASSIGN(items, single.elements());
  for (const JsonNode& item : items) {
    ONEPASS_TRY(item.only({"SpecialToken", "Sequence"}, Code::unsupported));
    const bool sequence = item.has("Sequence");
    if (sequence == item.has("SpecialToken")) {
      return make_error(Code::bad_value, Error::no_offset, item.path(), "must be one SpecialToken or one Sequence");
    }
    ONEPASS_TRY_ASSIGN(body, item.object(sequence ? "Sequence" : "SpecialToken"));
    ONEPASS_TRY(body.only({"id", "type_id"}, Code::unsupported));
    ONEPASS_TRY(expect_segment_0(body));
    ONEPASS_TRY_ASSIGN(name, body.string("id"));
    if (sequence) {
      if (name != "A") {
        return make_error(Code::unsupported, Error::no_offset, body.path_of("id"),
                          "sequence \"%.40s\" in the template of a single text; only A is supported", name.c_str());
      }
      spec.single_template.push_back({true, 0});
      continue;
    }
    const auto at = specials.find(name);
    if (at == specials.end()) {
      return make_error(Code::missing_key, Error::no_offset, special_map.path_of(name),
                        "the template names it, but special_tokens does not");
    }
    for (const uint32_t id : at->second) spec.single_template.push_back({false, id});
    if (spec.single_template.size() > kMaxTemplate) {
      return make_error(Code::limit_exceeded, Error::no_offset, single.path(), "more than %zu tokens", kMaxTemplate);
    }
  }
  size_t sequences = 0;
  for (const TemplateEntry& entry : spec.single_template) sequences += entry.is_sequence ? 1 : 0;
  if (sequences != 1) {
    return make_error(Code::unsupported, Error::no_offset, single.path(),
                      "the text occurs %zu times in its template; once is supported", sequences);
  }
  return {};
}

// ["[SEP]", 102]
Result<uint32_t> read_pair(const JsonNode& processor, std::string_view key, const TokenIds& ids) {
  ONEPASS_TRY_ASSIGN(pair, processor.array(key));
  if (pair.value().size() != 2) {
    return make_error(Code::bad_value, Error::no_offset, pair.path(), "must be [token, id]");
  }
  ONEPASS_TRY_ASSIGN(parts, pair.elements());
  ONEPASS_TRY_ASSIGN(token, parts[0].as_string());
  ONEPASS_TRY_ASSIGN(id, parts[1].as_u64(0, kMaxTokens - 1));
  ONEPASS_TRY(check_named_id(ids, token, id, pair.path()));
  return static_cast<uint32_t>(id);
}

// trim_offsets and add_prefix_space of ByteLevel and RobertaProcessing.
Status read_trim(const JsonNode& processor, TokenizerSpec& spec) {
  ONEPASS_TRY_ASSIGN(trim, processor.boolean("trim_offsets"));
  ONEPASS_TRY_ASSIGN(prefix, processor.boolean("add_prefix_space"));
  if (!trim) return {};
  if (spec.trim_offsets) {
    return make_error(Code::unsupported, Error::no_offset, processor.path_of("trim_offsets"),
                      "spans that are trimmed twice are not supported");
  }
  spec.trim_offsets = true;
  spec.trim_prefix_space = prefix;
  return {};
}

Status read_processor(const JsonNode& parent, std::string_view key, const JsonNode& processor, const TokenIds& ids,
                      TokenizerSpec& spec) {
  ONEPASS_TRY_ASSIGN(type, processor.string("type"));
  if (type == "Sequence") {
    ONEPASS_TRY(processor.only({"type", "processors"}, Code::unsupported));
    ONEPASS_TRY_ASSIGN(list, processor.array("processors"));
    ONEPASS_TRY_ASSIGN(parts, list.elements());
    for (const JsonNode& part : parts) ONEPASS_TRY(read_processor(processor, "processors", part, ids, spec));
    return {};
  }
  if (type == "ByteLevel") {
    ONEPASS_TRY(processor.only({"type", "add_prefix_space", "trim_offsets", "use_regex"}, Code::unsupported));
    if (!spec.single_template.empty()) {
      return make_error(Code::unsupported, Error::no_offset, processor.path(),
                        "ByteLevel behind the tokens around a text is not supported; before them it is");
    }
    return read_trim(processor, spec);
  }
  const bool known = type == "TemplateProcessing" || type == "BertProcessing" || type == "RobertaProcessing";
  if (known && !spec.single_template.empty()) {
    return make_error(Code::unsupported, Error::no_offset, processor.path(),
                      "tokens around the tokens around a text are not supported");
  }
  if (type == "TemplateProcessing") return read_template(processor, ids, spec);
  if (!known) {
    return unsupported_type(
        parent, key, type,
        "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel and a Sequence of them are");
  }
  if (type == "RobertaProcessing") {
    ONEPASS_TRY(processor.only({"type", "sep", "cls", "trim_offsets", "add_prefix_space"}, Code::unsupported));
    ONEPASS_TRY(read_trim(processor, spec));
  } else {
    ONEPASS_TRY(processor.only({"type", "sep", "cls"}, Code::unsupported));
  }
  ONEPASS_TRY_ASSIGN(cls, read_pair(processor, "cls", ids));
  ONEPASS_TRY_ASSIGN(sep, read_pair(processor, "sep", ids));
  spec.single_template = {{false, cls}, {true, 0}, {false, sep}};
  return {};
}

Status read_post_processor(const JsonNode& root, TokenizerSpec& spec) {
  if (root.has("post_processor")) {
    ONEPASS_TRY_ASSIGN(processor, root.object("post_processor"));
    ONEPASS_TRY(read_processor(root, "post_processor", processor, ids_of(spec), spec));
  }
  if (spec.single_template.empty()) spec.single_template = {{true, 0}};
  return {};
}

Result<TokenizerSpec> read_spec(const JsonNode& root) {
  ONEPASS_TRY(root.only({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                         "post_processor", "decoder", "model"},
                        Code::unsupported));
  ONEPASS_TRY_ASSIGN(version, root.string("version"));
  if (version != "1.0") {
    return make_error(Code::bad_version, Error::no_offset, root.path_of("version"), "\"%.40s\"; 1.0 is read",
                      version.c_str());
  }
  ONEPASS_TRY(root.optional_object("truncation"));
  ONEPASS_TRY(root.optional_object("padding"));
  ONEPASS_TRY_ASSIGN(type, model_type(root));
  for (const ModelKind& kind : kModels) {
    if (type != kind.type) continue;
    TokenizerSpec spec;
    ONEPASS_TRY(read_normalizer(root, spec));
    ONEPASS_TRY(read_pre_tokenizer(root, spec));
    ONEPASS_TRY(check_decoder(root));
    ONEPASS_TRY(kind.read(root, spec));
    ONEPASS_TRY(read_added_tokens(root, spec));
    ONEPASS_TRY(read_post_processor(root, spec));
    if (spec.trim_offsets && !spec.byte_level) {
      return make_error(Code::unsupported, Error::no_offset, root.path_of("post_processor"),
                        "trim_offsets without the pre-tokenizer ByteLevel is not supported");
    }
    ONEPASS_TRY(pieces_to_bytes(root, spec));
    return spec;
  }
  return make_error(Code::unsupported, Error::no_offset, root.path_of("model"),
                    "the tokenizer model \"%.40s\" is not supported; %s", type.c_str(), kModelTypes);
}

}  // namespace

Result<std::string> component_type(const JsonNode& root, std::string_view key) {
  if (!root.has(key)) return std::string("null");
  ONEPASS_TRY_ASSIGN(component, root.object(key));
  return component.string("type");
}

Error unsupported_type(const JsonNode& root, std::string_view key, const std::string& type, const char* supported) {
  return make_error(Code::unsupported, Error::no_offset, root.path_of(key), "\"%.60s\" is not supported; %s",
                    type.c_str(), supported);
}

Status check_token(std::string_view token, const std::string& where) {
  if (token.empty()) {
    return make_error(Code::bad_vocabulary, Error::no_offset, where, "an empty token, which no text can hold");
  }
  if (token.size() > kMaxTokenBytes) {
    return make_error(Code::limit_exceeded, Error::no_offset, where, "a token of %zu bytes; at most %zu are read",
                      token.size(), kMaxTokenBytes);
  }
  return {};
}

Status check_token_count(uint64_t count, const std::string& where) {
  if (count > kMaxTokens) {
    return make_error(Code::limit_exceeded, Error::no_offset, where, "%" PRIu64 " tokens; at most %zu are read", count,
                      kMaxTokens);
  }
  return {};
}

Result<std::vector<std::string>> read_vocab(const JsonNode& vocab) {
  const auto& members = vocab.value().get_ref<const Json::object_t&>();
  ONEPASS_TRY(check_token_count(members.size(), vocab.path()));
  if (members.empty()) {
    return make_error(Code::bad_vocabulary, Error::no_offset, vocab.path(), "the vocabulary is empty");
  }
  std::vector<std::string> pieces(members.size());
  for (const auto& [token, value] : members) {
    const JsonNode node(value, vocab.path_of(token));
    ONEPASS_TRY(check_token(token, node.path()));
    ONEPASS_TRY_ASSIGN(id, node.as_u64(0, kMaxTokens - 1));
    if (id >= pieces.size()) pieces.resize(static_cast<size_t>(id) + 1);
    std::string& piece = pieces[static_cast<size_t>(id)];
    if (!piece.empty()) {
      return make_error(Code::bad_vocabulary, Error::no_offset, node.path(), "id %" PRIu64 " is also that of \"%.80s\"",
                        id, piece.c_str());
    }
    piece = token;
  }
  if (pieces.size() > 2 * members.size()) {
    return make_error(Code::bad_vocabulary, Error::no_offset, vocab.path(),
                      "%zu tokens, but ids up to %zu: more gaps than tokens are not supported", members.size(),
                      pieces.size() - 1);
  }
  return pieces;
}

TokenIds ids_of(const TokenizerSpec& spec) {
  TokenIds ids;
  ids.reserve(spec.pieces.size() + spec.added_tokens.size());
  for (size_t i = 0; i < spec.pieces.size(); ++i) {
    if (!spec.pieces[i].empty()) ids.emplace(spec.pieces[i], static_cast<uint32_t>(i));
  }
  for (const AddedTokenSpec& token : spec.added_tokens) ids.emplace(token.content, token.id);
  return ids;
}

size_t model_token_count(const TokenizerSpec& spec) {
  size_t count = 0;
  for (const std::string& piece : spec.pieces) count += piece.empty() ? 0 : 1;
  return count;
}

Result<TokenizerSpec> parse_tokenizer_json(std::string_view text, std::string_view where) noexcept {
  try {
    ONEPASS_TRY_ASSIGN(json, parse_json(text, kMaxTokenizerBytes, where, kMaxJsonValues, JsonNumbers::as_serde));
    return read_spec(JsonNode(json, std::string(where)));
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, where, "out of memory while reading a tokenizer");
  }
}

namespace {

Result<TokenizerSpec> read_vocab_json_folder(const std::filesystem::path& folder, const Json* config) {
  ONEPASS_TRY_ASSIGN(vocab, read_text_file(folder / "vocab.json", kMaxTokenizerBytes));
  ONEPASS_TRY_ASSIGN(merges, read_text_file(folder / "merges.txt", kMaxTokenizerBytes));
  std::error_code problem;
  std::string type;
  if (std::filesystem::exists(folder / "config.json", problem)) {
    ONEPASS_TRY_ASSIGN(json, read_json_file(folder / "config.json", kMaxConfigBytes));
    ONEPASS_TRY_ASSIGN(given, JsonNode(json, "config.json").optional_string("model_type"));
    type = given.value_or("");
  }
  ONEPASS_TRY_ASSIGN(spec, parse_vocab_json(vocab, merges, config, type));
  ONEPASS_TRY(check_token_files(folder, spec));
  return std::move(spec);
}

}  // namespace

Result<TokenizerSpec> read_tokenizer(const std::filesystem::path& folder) noexcept {
  try {
    std::error_code problem;
    std::optional<Json> config;
    if (std::filesystem::exists(folder / "tokenizer_config.json", problem)) {
      ONEPASS_TRY_ASSIGN(json, read_json_file(folder / "tokenizer_config.json", kMaxConfigBytes));
      config = std::move(json);
    }
    if (std::filesystem::exists(folder / "tokenizer.json", problem)) {
      ONEPASS_TRY_ASSIGN(text, read_text_file(folder / "tokenizer.json", kMaxTokenizerBytes));
      ONEPASS_TRY_ASSIGN(spec, parse_tokenizer_json(text));
      if (config.has_value()) ONEPASS_TRY(check_tokenizer_config(JsonNode(*config, "tokenizer_config.json"), spec));
      return std::move(spec);
    }
    if (std::filesystem::exists(folder / "vocab.txt", problem)) {
      ONEPASS_TRY_ASSIGN(text, read_text_file(folder / "vocab.txt", kMaxTokenizerBytes));
      ONEPASS_TRY_ASSIGN(spec, parse_vocab_txt(text, config.has_value() ? &*config : nullptr));
      if (std::filesystem::exists(folder / "special_tokens_map.json", problem)) {
        ONEPASS_TRY_ASSIGN(json, read_json_file(folder / "special_tokens_map.json", kMaxConfigBytes));
        ONEPASS_TRY(check_special_tokens_map(JsonNode(json, "special_tokens_map.json")));
      }
      if (std::filesystem::exists(folder / "added_tokens.json", problem)) {
        ONEPASS_TRY_ASSIGN(json, read_json_file(folder / "added_tokens.json", kMaxConfigBytes));
        ONEPASS_TRY(check_added_tokens_json(JsonNode(json, "added_tokens.json"), spec));
      }
      return std::move(spec);
    }
    if (std::filesystem::exists(folder / "vocab.json", problem)) {
      return read_vocab_json_folder(folder, config.has_value() ? &*config : nullptr);
    }
    if (!find_sentencepiece(folder).empty()) return read_sentencepiece_folder(folder);
    return make_error(Code::io_error, Error::no_offset, folder.string(),
                      "holds no tokenizer.json, vocab.txt, vocab.json or SentencePiece model; pass --tokenizer DIR");
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, "tokenizer", "out of memory while reading a tokenizer");
  }
}

size_t token_count(const TokenizerSpec& spec) noexcept {
  size_t count = spec.pieces.size();
  for (const AddedTokenSpec& token : spec.added_tokens) count = std::max(count, token.id + size_t{1});
  return count;
}

}  // namespace onepass
