#include "bench/models/synthetic.h"

#include <cmath>

#include "engine/text/tokenizer_spec.h"
#include "kernels/pack/pack.h"
#include "models/families.h"

namespace onepass::bench {

namespace {

using kernels::Layout;

struct ShapeRow {
  const char* name;
  const models::Family* family;
  uint32_t layers, width, heads, kv_heads, head_width, ffn_width, vocab, positions;
  double norm_eps;
};

std::span<const ShapeRow> shapes() {
  static const ShapeRow rows[] = {
      {"minilm-l6", &models::bert, 6, 384, 12, 12, 32, 1536, 30522, 512, 1e-12},
      {"bert-base", &models::bert, 12, 768, 12, 12, 64, 3072, 30522, 512, 1e-12},
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
    {"int8", Layout::i8_rows, Layout::i8_n32k4, Layout::f32_n16},
    {"int4", Layout::i4g32_rows, Layout::i4zg32_n32k4, Layout::f32_n16},
};

// A small linear congruential generator: the same weights on every machine, uniform in [-1, 1).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 7) {}
  float next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<int32_t>(state_ >> 32)) / 2147483648.0f;
  }

 private:
  uint64_t state_;
};

template <class Row>
const Row* find(std::span<const Row> rows, const std::string& name) {
  for (const Row& row : rows) {
    if (name == row.name) return &row;
  }
  return nullptr;
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
  Config& c = content.config;
  const models::SourceClass& source = row->family->classes[0];
  c.arch = row->family->arch;
  c.arch.pool = source.pool;
  c.arch.pooler = source.pooler;
  c.arch.pooler_act = source.pooler_act;
  c.layers = row->layers, c.width = row->width, c.heads = row->heads, c.kv_heads = row->kv_heads;
  c.head_width = row->head_width, c.ffn_width = row->ffn_width, c.vocab = row->vocab;
  c.positions = c.max_tokens = row->positions;
  c.norm_eps = row->norm_eps;
  c.attention = weights.starts_with("int") ? AttentionType::i8 : AttentionType::f32;  // as the converter chooses
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
    const Layout layout = need.spec->role == Role::vector   ? Layout::f32_rows
                          : need.spec->role == Role::table  ? types->table
                          : need.spec->scope == Scope::head ? types->head
                                                            : types->matrix;
    const float scale = need.spec->role == Role::matrix ? 1 / std::sqrt(static_cast<float>(need.k)) : 1.0f;
    content.tensors.push_back({need.name,
                               layout,
                               need.n,
                               need.k,
                               {},
                               [layout, scale, n = need.n, k = need.k, seed = content.tensors.size(),
                                name = std::string(need.name)](std::span<uint8_t> out) -> Status {
                                 Random random(seed);
                                 std::vector<float> values(n * k);
                                 for (float& v : values) v = scale * random.next();
                                 if (!kernels::pack(layout, values.data(), n, k, out.data()).ok()) {
                                   return make_error(Code::bad_value, Error::no_offset, name,
                                                     "random weights did not pack");
                                 }
                                 return {};
                               }});
    return {};
  }));
  return content;
}

}  // namespace onepass::bench
