#include "bench/models/synthetic.h"

#include <cmath>
#include <cstring>

#include "engine/text/tokenizer_spec.h"
#include "kernels/pack/pack.h"
#include "models/bert.h"

namespace onepass::bench {

namespace {

using kernels::Layout;

Layout layout_of(Role role, convert::WeightType weights) {
  using convert::WeightType;
  if (role == Role::vector) return Layout::f32_rows;
  if (role == Role::table) {
    return weights == WeightType::f32   ? Layout::f32_rows
           : weights == WeightType::f16 ? Layout::f16_rows
                                        : Layout::i8_rows;
  }
  return weights == WeightType::f32 ? Layout::f32_n16 : weights == WeightType::f16 ? Layout::f16_n16 : Layout::i8_n32k4;
}

// A small linear congruential generator: the same weights on every machine, uniform in [-1, 1).
class Random {
 public:
  float next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<int32_t>(state_ >> 32)) / 2147483648.0f;
  }

 private:
  uint64_t state_ = 7;
};

}  // namespace

Result<ModelContent> synthetic_model(const std::string& shape, convert::WeightType weights) {
  ModelContent content;
  Config& c = content.config;
  c.arch = models::bert.arch;
  c.vocab = 30522;
  c.positions = c.max_tokens = 512;
  c.norm_eps = 1e-12;
  if (shape == "minilm-l6") {
    c.layers = 6, c.width = 384, c.heads = c.kv_heads = 12, c.head_width = 32, c.ffn_width = 1536;
  } else if (shape == "bert-base") {
    c.layers = 12, c.width = 768, c.heads = c.kv_heads = 12, c.head_width = 64, c.ffn_width = 3072;
  } else {
    return make_error(Code::invalid_argument, Error::no_offset, shape,
                      "no such shape; shapes are minilm-l6 and bert-base");
  }
  content.heads.push_back({"labels", HeadKind::single_label, {}, {}, 1, 0, 0});
  for (int i = 0; i < 28; ++i) content.heads[0].labels.push_back("label " + std::to_string(i));
  content.tokenizer = serialize_tokenizer({.kind = TokenizerKind::wordpiece,
                                           .pieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]"},
                                           .unk_id = 1,
                                           .added_tokens = {},
                                           .single_template = {{false, 2}, {true, 0}, {false, 3}}});
  content.metadata.model_id = shape;
  Random random;
  const uint32_t classes[] = {28};
  ONEPASS_TRY(for_each_tensor(c, classes, [&](const TensorNeed& need) -> Status {
    const Layout layout = layout_of(need.spec->role, weights);
    std::vector<float> values(need.n * need.k);
    const float scale = need.spec->role == Role::matrix ? 1 / std::sqrt(static_cast<float>(need.k)) : 1.0f;
    for (float& v : values) v = scale * random.next();
    TensorContent tensor{
        need.name, layout, need.n, need.k, std::vector<uint8_t>(kernels::packed_bytes(layout, need.n, need.k)), {}};
    if (!kernels::pack(layout, values.data(), need.n, need.k, tensor.payload.data()).ok()) {
      return make_error(Code::bad_value, Error::no_offset, need.name, "random weights did not pack");
    }
    content.tensors.push_back(std::move(tensor));
    return {};
  }));
  return content;
}

}  // namespace onepass::bench
