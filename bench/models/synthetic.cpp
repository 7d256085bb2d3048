#include "bench/models/synthetic.h"

#include <cmath>
#include <cstring>

#include "engine/text/tokenizer_spec.h"
#include "kernels/pack/pack.h"
#include "models/families.h"
#include "models/rotary.h"

namespace onepass::bench {

namespace {

using kernels::Layout;

struct ShapeRow {
  const char* name;
  const models::Family* family;
  uint32_t layers, width, heads, kv_heads, head_width, ffn_width, vocab, positions;
  double norm_eps;
  void (*refine)(models::SourceModel&) = nullptr;  // what config.json says beyond sizes
};

void refine_deberta_v3(models::SourceModel& model) {
  model.config.arch.relative_terms = relative_key_term | relative_query_term;
  model.relative_span = model.config.max_tokens;
  model.relative_buckets = 256;
  model.config.relative_rows = 2 * model.relative_buckets;
}

void refine_modernbert(models::SourceModel& model) {
  constexpr Part unbiased[] = {Part::qkv, Part::attn_out, Part::ffn, Part::norms, Part::pooler};
  Config& c = model.config;
  for (const Part part : unbiased) c.arch.unbiased |= static_cast<uint32_t>(part);
  c.arch.act = Act::gelu_erf;
  c.arch.pooler_norm = 1;
  c.arch.local_rotary = 1;
  model.rotary_global = models::rotary_frequencies(160000, c.rotary_width);
  model.rotary_local = models::rotary_frequencies(10000, c.rotary_width);
  c.window = 64;
  c.global_every = 3;
}

void refine_qwen2(models::SourceModel& model) {
  model.config.arch.act = Act::silu;
  model.config.arch.biases = 1;
  model.config.arch.unbiased = all_parts & ~static_cast<uint32_t>(Part::qkv);
  model.rotary_global = models::rotary_frequencies(1e6, model.config.rotary_width);
}

// Frequencies are scaled once, at conversion: they cost nothing here.
void refine_llama(models::SourceModel& model) {
  model.config.arch.act = Act::silu;
  model.rotary_global = models::rotary_frequencies(500000, model.config.rotary_width);
}

std::span<const ShapeRow> shapes() {
  static const ShapeRow rows[] = {
      {"minilm-l6", &models::bert, 6, 384, 12, 12, 32, 1536, 30522, 512, 1e-12},
      {"bert-base", &models::bert, 12, 768, 12, 12, 64, 3072, 30522, 512, 1e-12},
      {"qwen2.5-0.5b", &models::qwen2, 24, 896, 14, 2, 64, 4864, 151936, 32768, 1e-6, refine_qwen2},
      {"llama-3.2-1b", &models::llama, 16, 2048, 32, 8, 64, 8192, 128256, 131072, 1e-5, refine_llama},
      {"deberta-v3-small", &models::deberta_v2, 6, 768, 12, 12, 64, 3072, 128100, 512, 1e-7, refine_deberta_v3},
      {"deberta-v3-base", &models::deberta_v2, 12, 768, 12, 12, 64, 3072, 128100, 512, 1e-7, refine_deberta_v3},
      {"modernbert-base", &models::modernbert, 22, 768, 12, 12, 64, 1152, 50368, 8192, 1e-5, refine_modernbert},
  };
  return rows;
}

struct WeightsRow {
  const char* name;
  Layout table, matrix, head;  // heads stay exact, as the converter leaves them
};

constexpr WeightsRow kWeights[] = {
    {"f32", Layout::f32_rows, Layout::f32_n16, Layout::f32_n16},
    {"f16", Layout::f16_rows, Layout::f16_n16, Layout::f16_n16},
    {"bf16", Layout::bf16_rows, Layout::bf16_n16, Layout::bf16_n16},
    {"int8", Layout::i8_rows, Layout::i8_n32k4, Layout::f32_n16},
    {"int4", Layout::i4g32_rows, Layout::i4zg32_n32k4, Layout::f32_n16},
};

// A small linear congruential generator: the same weights on every machine, uniform in [-1, 1).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 7) {}
  uint32_t bits() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 32);
  }
  float next() { return static_cast<float>(static_cast<int32_t>(bits())) / 2147483648.0f; }

 private:
  uint64_t state_;
};

// Weights of about [-scale, scale]. Those of integers are drawn as codes, since fitting codes to floats takes minutes
// where a model has a billion of them.
kernels::PackResult pack_random(Layout layout, float scale, size_t n, size_t k, Random& random, uint8_t* out) {
  const kernels::Dtype type = kernels::dtype_of(layout);
  if (type == kernels::Dtype::i8) {
    std::vector<int8_t> codes(n * k);
    for (int8_t& code : codes) code = static_cast<int8_t>(random.bits() % 255 - 127);
    return kernels::pack_i8(layout, codes.data(), std::vector<float>(n, scale / 127).data(), n, k, out);
  }
  if (type == kernels::Dtype::i4) {
    std::vector<uint8_t> nibbles(n * k);
    for (uint8_t& nibble : nibbles) nibble = static_cast<uint8_t>(random.bits() >> 28);
    const size_t groups = n * kernels::i4_groups(layout, k);
    if (!kernels::has_steps(layout)) {
      const std::vector<uint16_t> scales(groups, kernels::f16_from_f32(scale / 8));
      return kernels::pack_i4(layout, {nibbles.data(), scales.data(), nullptr}, n, k, out);
    }
    constexpr unsigned middle = (8 - kernels::least_zero) << 4;
    std::vector<uint8_t> factors(groups);
    for (uint8_t& factor : factors) factor = static_cast<uint8_t>(middle + 8 + (random.bits() >> 30));
    const std::vector<float> scales(n, scale / 88);
    return kernels::pack_i4z(layout, {nibbles.data(), factors.data(), scales.data()}, n, k, out);
  }
  std::vector<float> values(n * k);
  for (float& v : values) v = scale * random.next();
  return kernels::pack(layout, values.data(), n, k, out);
}

template <class Row>
const Row* find(std::span<const Row> rows, const std::string& name) {
  for (const Row& row : rows) {
    if (name == row.name) return &row;
  }
  return nullptr;
}

// The rows of the relative tables by distance, as the converter computes them.
void fill_relative(const models::Family& family, const models::SourceModel& model, std::vector<float>& rows) {
  const auto last = static_cast<int64_t>(rows.size() / 2);
  for (int64_t d = -last; d <= last; ++d) {
    rows[static_cast<size_t>(d + last)] = static_cast<float>(family.relative_row(d, model));
  }
}

}  // namespace

std::vector<std::string> shape_names() {
  std::vector<std::string> names;
  for (const ShapeRow& row : shapes()) names.emplace_back(row.name);
  return names;
}

std::vector<std::string> weight_names() {
  std::vector<std::string> names;
  for (const WeightsRow& row : kWeights) names.emplace_back(row.name);
  return names;
}

Result<ModelContent> synthetic_model(const std::string& shape, const std::string& weights) {
  const ShapeRow* row = find(shapes(), shape);
  const WeightsRow* types = find(std::span<const WeightsRow>(kWeights), weights);
  if (row == nullptr || types == nullptr) {
    return make_error(Code::invalid_argument, Error::no_offset, row == nullptr ? shape : weights,
                      "no such shape or type of weights; see --help");
  }
  ModelContent content;
  models::SourceModel model;
  Config& c = model.config;
  const models::SourceClass& source = row->family->classes[0];
  c.arch = row->family->arch;
  c.arch.pool = c.causal() ? Pool::last : source.pool;
  c.arch.pooler = source.pooler;
  c.arch.pooler_act = source.pooler_act;
  c.layers = row->layers, c.width = row->width, c.heads = row->heads, c.kv_heads = row->kv_heads;
  c.head_width = row->head_width, c.ffn_width = row->ffn_width, c.vocab = row->vocab;
  c.max_tokens = row->positions;
  if (slot_present(Slot::embed_position, c, 0)) c.positions = row->positions;
  c.norm_eps = row->norm_eps;
  if (c.arch.act == Act::none) c.arch.act = Act::gelu_erf;
  if (c.arch.position == Position::rotary) c.rotary_width = row->head_width;
  if (row->refine != nullptr) row->refine(model);
  // As the converter chooses.
  const bool integers = weights.starts_with("int") && !c.causal();
  c.attention = integers ? AttentionType::i8 : AttentionType::f32;
  content.config = c;
  content.heads.push_back({"labels", HeadKind::single_label, {}, {}, 1, 0, 0});
  for (int i = 0; i < 28; ++i) content.heads[0].labels.push_back("label " + std::to_string(i));
  TokenizerSpec tokenizer;  // never asked for a text: passes are timed over ids
  tokenizer.kind = TokenizerKind::wordpiece;
  tokenizer.pieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]"};
  tokenizer.unk_id = 1;
  tokenizer.single_template = {{false, 2}, {true, 0}, {false, 3}};
  content.tokenizer = serialize_tokenizer(tokenizer);
  content.metadata.family = row->family->name;
  content.metadata.model_id = shape;
  content.metadata.quantisation = weights;
  const uint32_t classes[] = {28};
  ONEPASS_TRY(for_each_tensor(c, classes, [&](const TensorNeed& need) -> Status {
    const Role role = need.spec->role;
    const Layout layout = role == Role::vector || role == Role::rows ? Layout::f32_rows
                          : role == Role::coded_rows                 ? coded_rows_layout(c.attention)
                          : role == Role::table                      ? types->table
                          : need.spec->scope == Scope::head          ? types->head
                                                                     : types->matrix;
    const float scale = role == Role::matrix ? 1 / std::sqrt(static_cast<float>(need.k)) : 1.0f;
    content.tensors.push_back(
        {need.name,
         layout,
         need.n,
         need.k,
         {},
         [layout, scale, n = need.n, k = need.k, seed = content.tensors.size(), slot = need.spec->slot,
          family = row->family, model, name = std::string(need.name)](std::span<uint8_t> out) -> Status {
           std::vector<float> values;
           if (slot == Slot::rotary_global) values = model.rotary_global;
           if (slot == Slot::rotary_local) values = model.rotary_local;
           if (slot == Slot::relative_index) {
             values.resize(n * k);
             fill_relative(*family, model, values);
           }
           Random random(seed);
           const kernels::PackResult packed = values.empty() ? pack_random(layout, scale, n, k, random, out.data())
                                                             : kernels::pack(layout, values.data(), n, k, out.data());
           if (!packed.ok()) return make_error(Code::bad_value, Error::no_offset, name, "random weights did not pack");
           return {};
         }});
    return {};
  }));
  return content;
}

}  // namespace onepass::bench
