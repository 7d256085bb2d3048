// DeBERTa-v2 and DeBERTa-v3. He et al. 2021, arXiv:2006.03654 and arXiv:2111.09543.
// Oracle: transformers 5.23.0, DebertaV2ForSequenceClassification and DebertaV2Model.
// Versus BERT: scores have terms of the distance, from one table for all layers that passes each layer's own products;
// what those make of the table depends on the weights alone and is computed here. No positions in the embeddings,
// unless position_biased_input; the head is classifier(gelu(pooler.dense(h[CLS]))). The convolution of v2-xlarge is
// refused.
#include <algorithm>
#include <cmath>

#include "formats/huggingface/onepass_json.h"
#include "models/families.h"

namespace onepass::models {

namespace {

constexpr TensorSource kHead[] = {
    {Slot::pooler_w, "pooler.dense.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "pooler.dense.bias", Dim::one, Dim::D},
    {Slot::head_w, "classifier.weight", Dim::C, Dim::D},
    {Slot::head_b, "classifier.bias", Dim::one, Dim::C},
};

constexpr TensorSource kTokenHead[] = {
    {Slot::head_w, "classifier.weight", Dim::C, Dim::D},
    {Slot::head_b, "classifier.bias", Dim::one, Dim::C},
};

constexpr SourceClass kClasses[] = {
    {"DebertaV2ForSequenceClassification", "deberta.", kHead, Pool::first_token, true, Act::gelu_erf},
    {"DebertaV2ForTokenClassification", "deberta.", kTokenHead, Pool::every_token},
    {"DebertaV2Model", "", {}},
};

constexpr SizeKey kSizes[] = {
    {"vocab_size", &Config::vocab},
    {"hidden_size", &Config::width},
    {"num_hidden_layers", &Config::layers},
    {"num_attention_heads", &Config::heads},
    {"intermediate_size", &Config::ffn_width},
    {"max_position_embeddings", &Config::max_tokens},
};

constexpr FixedKey kFixed[] = {
    {"relative_attention", "true", true},
    {"conv_kernel_size", "0"},
};

#define DEBERTA_SELF "encoder.layer.{i}.attention.self."

constexpr TensorSource kTensors[] = {
    {Slot::embed_token, "embeddings.word_embeddings.weight", Dim::V, Dim::B},
    {Slot::embed_position, "embeddings.position_embeddings.weight", Dim::P, Dim::B},
    {Slot::embed_type, "embeddings.token_type_embeddings.weight", Dim::S, Dim::B},
    {Slot::embed_norm_w, "embeddings.LayerNorm.weight", Dim::one, Dim::B},
    {Slot::embed_norm_b, "embeddings.LayerNorm.bias", Dim::one, Dim::B},
    {Slot::attn_qkv_w, DEBERTA_SELF "query_proj.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_w, DEBERTA_SELF "key_proj.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_w, DEBERTA_SELF "value_proj.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_b, DEBERTA_SELF "query_proj.bias", Dim::one, Dim::HE},
    {Slot::attn_qkv_b, DEBERTA_SELF "key_proj.bias", Dim::one, Dim::HE},
    {Slot::attn_qkv_b, DEBERTA_SELF "value_proj.bias", Dim::one, Dim::HE},
    {Slot::attn_out_w, "encoder.layer.{i}.attention.output.dense.weight", Dim::D, Dim::HE},
    {Slot::attn_out_b, "encoder.layer.{i}.attention.output.dense.bias", Dim::one, Dim::D},
    {Slot::attn_norm_w, "encoder.layer.{i}.attention.output.LayerNorm.weight", Dim::one, Dim::D},
    {Slot::attn_norm_b, "encoder.layer.{i}.attention.output.LayerNorm.bias", Dim::one, Dim::D},
    {Slot::ffn_up_w, "encoder.layer.{i}.intermediate.dense.weight", Dim::F, Dim::D},
    {Slot::ffn_up_b, "encoder.layer.{i}.intermediate.dense.bias", Dim::one, Dim::F},
    {Slot::ffn_down_w, "encoder.layer.{i}.output.dense.weight", Dim::D, Dim::F},
    {Slot::ffn_down_b, "encoder.layer.{i}.output.dense.bias", Dim::one, Dim::D},
    {Slot::ffn_norm_w, "encoder.layer.{i}.output.LayerNorm.weight", Dim::one, Dim::D},
    {Slot::ffn_norm_b, "encoder.layer.{i}.output.LayerNorm.bias", Dim::one, Dim::D},
    {Slot::pooler_w, "pooler.dense.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "pooler.dense.bias", Dim::one, Dim::D},
};

// The table's rows, the norm's weight and bias where it has one, and the product that they pass: compute() below.
#define DEBERTA_TABLE(slot, projection)                                                                                \
  {slot, "encoder.rel_embeddings.weight", Dim::W, Dim::D}, {slot, DEBERTA_SELF projection ".weight", Dim::HE, Dim::D}, \
  {                                                                                                                    \
    slot, DEBERTA_SELF projection ".bias", Dim::one, Dim::HE                                                           \
  }
#define DEBERTA_NORM(slot) \
  {slot, "encoder.LayerNorm.weight", Dim::one, Dim::D}, { slot, "encoder.LayerNorm.bias", Dim::one, Dim::D }

constexpr TensorSource kShared[] = {
    DEBERTA_TABLE(Slot::attn_relative_key, "key_proj"),
    DEBERTA_TABLE(Slot::attn_relative_query, "query_proj"),
};
constexpr TensorSource kSharedNorm[] = {
    DEBERTA_TABLE(Slot::attn_relative_key, "key_proj"),
    DEBERTA_NORM(Slot::attn_relative_key),
    DEBERTA_TABLE(Slot::attn_relative_query, "query_proj"),
    DEBERTA_NORM(Slot::attn_relative_query),
};
constexpr TensorSource kOwn[] = {
    DEBERTA_TABLE(Slot::attn_relative_key, "pos_key_proj"),
    DEBERTA_TABLE(Slot::attn_relative_query, "pos_query_proj"),
};
constexpr TensorSource kOwnNorm[] = {
    DEBERTA_TABLE(Slot::attn_relative_key, "pos_key_proj"),
    DEBERTA_NORM(Slot::attn_relative_key),
    DEBERTA_TABLE(Slot::attn_relative_query, "pos_query_proj"),
    DEBERTA_NORM(Slot::attn_relative_query),
};

#undef DEBERTA_SELF
#undef DEBERTA_TABLE
#undef DEBERTA_NORM

constexpr std::string_view kIgnored[] = {
    "embeddings.position_ids",  // 0, 1, 2, ...: a buffer that old releases saved
};

Error unsupported(const std::string& where, const char* why) {
  return make_error(Code::unsupported, Error::no_offset, where, "%s", why);
}

// "c2p|p2c" or ["c2p", "p2c"]: the query's term and the key's.
Status read_terms(const JsonNode& json, Config& config) {
  ONEPASS_TRY_ASSIGN(value, json.member("pos_att_type"));
  std::string all;
  if (value.value().is_string()) {
    ONEPASS_TRY_ASSIGN(text, value.as_string());
    all = text;
  } else {
    ONEPASS_TRY_ASSIGN(names, value.as_strings());
    for (const std::string& name : names) all += (all.empty() ? "" : "|") + name;
  }
  config.arch.relative_terms = 0;
  for (size_t begin = 0; begin <= all.size();) {
    const size_t end = std::min(all.find('|', begin), all.size());
    const std::string term = all.substr(begin, end - begin);
    if (term == "c2p") {
      config.arch.relative_terms |= relative_key_term;
    } else if (term == "p2c") {
      config.arch.relative_terms |= relative_query_term;
    } else {
      return unsupported(value.path(), "only c2p and p2c, at least one of them, are supported");
    }
    begin = end + 1;
  }
  return {};
}

Status refine(const JsonNode& json, SourceModel& model) {
  Config& config = model.config;
  ONEPASS_TRY(read_terms(json, config));
  // Keys are read as transformers does: an absent one has the default of its class.
  ONEPASS_TRY_ASSIGN(in_embeddings, json.optional_boolean("position_biased_input"));
  if (in_embeddings.value_or(true)) {
    config.arch.position = Position::learned;
    config.positions = config.max_tokens;
  }
  for (const char* key : {"embedding_size", "pooler_hidden_size"}) {
    if (!json.has(key)) continue;
    ONEPASS_TRY_ASSIGN(width, json.u64(key, 1, max_width));
    if (width != config.width) return unsupported(json.path_of(key), "only the hidden_size is supported");
  }
  const auto whole = [&](const char* key) -> Result<uint32_t> {  // 0 for -1, which means none
    if (!json.has(key)) return uint32_t{0};
    ONEPASS_TRY_ASSIGN(number, json.number(key));
    if (number < 1) return uint32_t{0};
    ONEPASS_TRY_ASSIGN(value, json.u64(key, 1, 32767));
    return static_cast<uint32_t>(value);
  };
  ONEPASS_TRY_ASSIGN(span, whole("max_relative_positions"));
  model.relative_span = span != 0 ? span : config.max_tokens;
  ONEPASS_TRY_ASSIGN(buckets, whole("position_buckets"));
  model.relative_buckets = buckets;
  config.relative_rows = 2 * (buckets != 0 ? buckets : model.relative_span);
  if (buckets == 1 || config.relative_rows > 65535) {
    return unsupported(json.path_of("position_buckets"), "the number of relative positions must be 2 to 32,767");
  }
  ONEPASS_TRY_ASSIGN(shared, json.optional_boolean("share_att_key"));
  ONEPASS_TRY_ASSIGN(norm, json.optional_string("norm_rel_ebd"));
  const bool normed = norm.has_value() && *norm == "layer_norm";
  if (norm.has_value() && !normed && *norm != "none") {
    return unsupported(json.path_of("norm_rel_ebd"), "only layer_norm and none are supported");
  }
  if (shared.value_or(false)) {
    model.more_tensors = normed ? std::span<const TensorSource>(kSharedNorm) : kShared;
  } else {
    model.more_tensors = normed ? std::span<const TensorSource>(kOwnNorm) : kOwn;
  }
  if (config.arch.pooler == 0) return {};
  ONEPASS_TRY_ASSIGN(name, json.optional_string("pooler_hidden_act"));
  const auto act = find_activation(name.value_or("gelu"));
  if (!act) return unsupported(json.path_of("pooler_hidden_act"), "the activation is not supported");
  config.arch.pooler_act = *act;
  return {};
}

// norm(row) W^T + bias of every row of the relative embeddings.
bool compute(Slot slot, const SourceModel& model, TensorParts parts, std::vector<float>& out) {
  if (slot != Slot::attn_relative_key && slot != Slot::attn_relative_query) return false;
  const size_t width = model.config.width, rows = model.config.relative_rows;
  const size_t channels = size_t{model.config.heads} * model.config.head_width;
  const std::vector<float>&table = parts[0], &weight = parts[1], &bias = parts[2];
  out.resize(rows * channels);
  std::vector<double> row(width);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t d = 0; d < width; ++d) row[d] = static_cast<double>(table[r * width + d]);
    if (parts.size() == 5) {
      double mean = 0, variance = 0;
      for (const double x : row) mean += x / static_cast<double>(width);
      for (const double x : row) variance += (x - mean) * (x - mean) / static_cast<double>(width);
      const double factor = 1 / std::sqrt(variance + model.config.norm_eps);
      for (size_t d = 0; d < width; ++d) {
        row[d] = (row[d] - mean) * factor * static_cast<double>(parts[3][d]) + static_cast<double>(parts[4][d]);
      }
    }
    for (size_t n = 0; n < channels; ++n) {
      double sum = static_cast<double>(bias[n]);
      for (size_t d = 0; d < width; ++d) sum += row[d] * static_cast<double>(weight[n * width + d]);
      out[r * channels + n] = static_cast<float>(sum);
    }
  }
  return true;
}

// make_log_bucket_position, in single precision as there: distances up to half the buckets one by one, then
// logarithmically wider up to the span.
uint32_t relative_row(int64_t distance, const SourceModel& model) {
  int64_t bucket = distance;
  const int64_t middle = model.relative_buckets / 2, n = std::abs(distance);
  if (model.relative_buckets != 0 && n > middle) {
    const auto half = static_cast<float>(middle);
    const float whole = std::log(static_cast<float>(n) / half) /
                        std::log(static_cast<float>(static_cast<double>(model.relative_span - 1) / half)) *
                        static_cast<float>(middle - 1);
    bucket = static_cast<int64_t>(std::ceil(whole)) + middle;
    if (distance < 0) bucket = -bucket;
  }
  const int64_t rows = model.config.relative_rows;
  return static_cast<uint32_t>(std::clamp<int64_t>(bucket + rows / 2, 0, rows - 1));
}

}  // namespace

constinit const Family deberta_v2 = {
    .name = "deberta-v2",
    .oracle = "transformers 5.23.0",
    .classes = kClasses,
    .arch =
        {
            .norm = Norm::layer_norm,
            .norm_place = NormPlace::post,
            .position = Position::none,
            .mask = Mask::bidirectional,
            .ffn = Ffn::mlp,
            .embed_norm = 1,
            .biases = 1,
            .relative = Relative::disentangled,
        },
    .act_key = "hidden_act",
    .eps_key = "layer_norm_eps",
    .segment_types_key = "type_vocab_size",
    .head_width_key = "attention_head_size",
    .sizes = kSizes,
    .fixed = kFixed,
    .tensors = kTensors,
    .refine = refine,
    .compute = compute,
    .relative_row = relative_row,
    .ignored = kIgnored,
};

}  // namespace onepass::models
