// WordPiece of BERT as tokenizer.json writes it: BertNormalizer, BertPreTokenizer, model WordPiece, decoder WordPiece.
#include <algorithm>
#include <optional>

#include "formats/huggingface/tokenizer_parts.h"

namespace onepass {

namespace {

constexpr uint64_t kMaxWordChars = 1024;

Status read_normalizer(const JsonNode& root, TokenizerSpec& spec) {
  ONEPASS_TRY_ASSIGN(type, component_type(root, "normalizer"));
  if (type == "null") {
    spec.clean_text = spec.handle_chinese_chars = spec.strip_accents = spec.lowercase = false;
    return {};
  }
  if (type != "BertNormalizer") return unsupported_type(root, "normalizer", type, "BertNormalizer is");
  ONEPASS_TRY_ASSIGN(node, root.object("normalizer"));
  ONEPASS_TRY(
      node.only({"type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"}, Code::unsupported));
  ONEPASS_TRY_ASSIGN(clean_text, node.boolean("clean_text"));
  ONEPASS_TRY_ASSIGN(handle_chinese_chars, node.boolean("handle_chinese_chars"));
  ONEPASS_TRY_ASSIGN(strip_accents, node.optional_boolean("strip_accents"));
  ONEPASS_TRY_ASSIGN(lowercase, node.boolean("lowercase"));
  spec.clean_text = clean_text;
  spec.handle_chinese_chars = handle_chinese_chars;
  spec.strip_accents = strip_accents.value_or(lowercase);
  spec.lowercase = lowercase;
  return {};
}

Status check_pre_tokenizer(const JsonNode& root) {
  ONEPASS_TRY_ASSIGN(type, component_type(root, "pre_tokenizer"));
  if (type != "BertPreTokenizer") return unsupported_type(root, "pre_tokenizer", type, "BertPreTokenizer is");
  ONEPASS_TRY_ASSIGN(node, root.object("pre_tokenizer"));
  return node.only({"type"}, Code::unsupported);
}

Status check_decoder(const JsonNode& root) {
  ONEPASS_TRY_ASSIGN(type, component_type(root, "decoder"));
  if (type == "null") return {};
  if (type != "WordPiece") return unsupported_type(root, "decoder", type, "WordPiece is");
  ONEPASS_TRY_ASSIGN(node, root.object("decoder"));
  return node.only({"type", "prefix", "cleanup"}, Code::unsupported);
}

Status read_model(const JsonNode& model, TokenizerSpec& spec) {
  ONEPASS_TRY(model.only({"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"},
                         Code::unsupported));
  ONEPASS_TRY_ASSIGN(vocab, model.object("vocab"));
  ONEPASS_TRY_ASSIGN(pieces, read_vocab(vocab));
  spec.pieces = std::move(pieces);
  ONEPASS_TRY_ASSIGN(unk_token, model.string("unk_token"));
  const auto unk = std::find(spec.pieces.begin(), spec.pieces.end(), unk_token);
  if (unk == spec.pieces.end()) {
    return make_error(Code::bad_vocabulary, Error::no_offset, model.path_of("unk_token"),
                      "the vocabulary has no token \"%.80s\"", unk_token.c_str());
  }
  spec.unk_id = static_cast<uint32_t>(unk - spec.pieces.begin());
  ONEPASS_TRY_ASSIGN(prefix, model.string("continuing_subword_prefix"));
  if (prefix.size() > kMaxTokenBytes) {
    return make_error(Code::limit_exceeded, Error::no_offset, model.path_of("continuing_subword_prefix"),
                      "%zu bytes; at most %zu are read", prefix.size(), kMaxTokenBytes);
  }
  spec.continuing_prefix = std::move(prefix);
  ONEPASS_TRY_ASSIGN(max_chars, model.u64("max_input_chars_per_word", 1, kMaxWordChars));
  spec.max_input_chars_per_word = static_cast<uint32_t>(max_chars);
  return {};
}

// `absent` is what transformers takes for a flag that is missing or null; nullopt: what tokenizer.json says.
Status check_flag(const JsonNode& config, const char* key, const char* option, bool actual,
                  std::optional<bool> absent) {
  ONEPASS_TRY_ASSIGN(wanted, config.optional_boolean(key));
  if (wanted.value_or(absent.value_or(actual)) == actual) return {};
  return make_error(Code::bad_value, Error::no_offset, config.path_of(key),
                    "%s, but \"%s\" of tokenizer.json is %s; make them agree with how the model was trained",
                    wanted.has_value() ? *wanted ? "true" : "false" : "absent, so at its default", option,
                    actual ? "true" : "false");
}

}  // namespace

Status read_wordpiece(const JsonNode& root, TokenizerSpec& spec) {
  spec.kind = TokenizerKind::wordpiece;
  ONEPASS_TRY(read_normalizer(root, spec));
  ONEPASS_TRY(check_pre_tokenizer(root));
  ONEPASS_TRY(check_decoder(root));
  ONEPASS_TRY_ASSIGN(model, root.object("model"));
  return read_model(model, spec);
}

Status check_tokenizer_config(const JsonNode& config, const TokenizerSpec& spec) {
  ONEPASS_TRY_ASSIGN(tokenizer_class, config.optional_string("tokenizer_class"));
  const bool bert = tokenizer_class.has_value() && is_bert_tokenizer(*tokenizer_class);
  const std::optional<bool> absent = bert ? std::optional(true) : std::nullopt;
  ONEPASS_TRY(check_flag(config, "do_lower_case", "lowercase", spec.lowercase, absent));
  ONEPASS_TRY(check_flag(config, "tokenize_chinese_chars", "handle_chinese_chars", spec.handle_chinese_chars, absent));
  return check_flag(config, "strip_accents", "strip_accents", spec.strip_accents,
                    bert ? std::optional(spec.lowercase) : std::nullopt);
}

}  // namespace onepass
