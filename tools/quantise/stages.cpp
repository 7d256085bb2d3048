#include "tools/quantise/stages.h"

namespace onepass::quantise {

namespace {

struct Slots {
  Slot weights, bias, norm_weight, norm_bias;
};
constexpr Slots kLayerProducts[] = {
    {Slot::attn_qkv_w, Slot::attn_qkv_b, Slot::attn_norm_w, Slot::attn_norm_b},
    {Slot::attn_out_w, Slot::attn_out_b, Slot::head_w, Slot::head_w},
    {Slot::ffn_up_w, Slot::ffn_up_b, Slot::ffn_norm_w, Slot::ffn_norm_b},
    {Slot::ffn_down_w, Slot::ffn_down_b, Slot::head_w, Slot::head_w},
};

size_t find(const Workbench& bench, Slot slot, uint32_t index) {
  const size_t tensor = bench.find(slot, index);
  return tensor == bench.tensors().size() ? StageProduct::none : tensor;
}

}  // namespace

std::vector<Stage> stages_of(const Workbench& bench, const std::function<bool(size_t tensor)>& wanted) {
  std::vector<Stage> stages;
  const auto add = [&](Stage& stage, const Slots& slots, uint32_t index) {
    StageProduct product{find(bench, slots.weights, index), find(bench, slots.bias, index)};
    if (product.weights == StageProduct::none || !wanted(product.weights)) return;
    // With norms behind, what a norm makes is added to what comes later, too.
    if (bench.config().arch.norm_place != NormPlace::post && slots.norm_weight != Slot::head_w) {
      product.norm_weight = find(bench, slots.norm_weight, index);
      product.norm_bias = find(bench, slots.norm_bias, index);
    }
    stage.products.push_back(product);
  };
  Stage before, behind;
  add(before, {Slot::embed_project_w, Slot::embed_project_b, Slot::head_w, Slot::head_w}, 0);
  if (!before.products.empty()) stages.push_back(before);
  for (uint32_t layer = 0; layer < bench.config().layer_copies(); ++layer) {
    Stage stage;
    for (const Slots& slots : kLayerProducts) add(stage, slots, layer);
    if (!stage.products.empty()) stages.push_back(stage);
  }
  add(behind, {Slot::pooler_w, Slot::pooler_b, Slot::head_w, Slot::head_w}, 0);
  if (!behind.products.empty()) stages.push_back(behind);
  return stages;
}

Product read_product(const Workbench& bench, const StageProduct& at) {
  const Workbench::Tensor& t = bench.tensors()[at.weights];
  return {t.name, bench.read(at.weights), at.bias == StageProduct::none ? std::vector<float>() : bench.read(at.bias),
          t.n, t.k};
}

Result<bool> scale_product(Workbench& bench, const StageProduct& at, kernels::Layout layout, Product& product,
                           Moments& moments) {
  if (at.norm_weight == StageProduct::none) return false;
  const std::vector<float> scales = choose_scales(product, layout, moments);
  if (scales.empty()) return false;
  scale_inputs(scales, product, moments);
  for (const size_t norm : {at.norm_weight, at.norm_bias}) {
    if (norm == StageProduct::none) continue;
    std::vector<float> values = bench.read(norm);
    for (size_t i = 0; i < values.size(); ++i) values[i] /= scales[i];
    ONEPASS_TRY(bench.write(norm, values));
  }
  ONEPASS_TRY(bench.write(at.weights, product.w));
  return true;
}

const char* why_not_scaled(const Workbench& bench, const StageProduct& at) {
  const Slot slot = bench.tensors()[at.weights].slot;
  if (slot == Slot::attn_qkv_w || slot == Slot::ffn_up_w) {
    return bench.config().arch.norm_place == NormPlace::post ? "the norm before it is added to what comes later, too"
                                                             : "it has no norm before it";
  }
  return "no norm directly precedes it";
}

}  // namespace onepass::quantise
