#include "tools/quantise/quantise.h"

#include <new>

#include "tools/quantise/centre.h"
#include "tools/quantise/stages.h"

namespace onepass::quantise {

using kernels::Layout;

namespace {

// Layouts whose codes are ours to choose: others hold what the source has.
bool is_ours(Layout layout) { return layout == Layout::i8_n32k4 || kernels::has_steps(layout); }

void replace(TensorContent& tensor, Layout layout, std::vector<uint8_t> bytes) {
  tensor.layout = layout;
  tensor.payload = std::move(bytes);
  tensor.fill = {};
}

void replace(TensorContent& tensor, const std::vector<float>& values) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
  replace(tensor, Layout::f32_rows, {bytes, bytes + values.size() * sizeof(float)});
}

Status same_tensors(const ModelContent& a, const ModelContent& b) {
  bool same = a.tensors.size() == b.tensors.size();
  for (size_t i = 0; same && i < a.tensors.size(); ++i) same = a.tensors[i].name == b.tensors[i].name;
  if (same) return {};
  return make_error(Code::invalid_argument, Error::no_offset, "calibration",
                    "another model than the one to be written");
}

}  // namespace

Result<Report> quantise(const ModelContent& f32, const Options& options, ModelContent& content,
                        const WorkDone& work_done) try {
  ONEPASS_TRY(same_tensors(f32, content));
  ONEPASS_TRY_ASSIGN(bench_pointer, Workbench::open(f32, content.config.attention));
  Workbench& bench = *bench_pointer;
  ONEPASS_TRY_ASSIGN(texts, bench.tokenize(options.texts));
  ONEPASS_TRY(bench.set_attention(f32.config.attention));
  ONEPASS_TRY_ASSIGN(answers, bench.logits(texts, {}));
  ONEPASS_TRY(bench.set_attention(content.config.attention));
  Report report;
  for (size_t t = 0; t < content.tensors.size(); ++t) {
    const TensorContent& tensor = content.tensors[t];
    const kernels::Dtype dtype = kernels::dtype_of(tensor.layout);
    if (dtype == kernels::Dtype::f32 || is_ours(tensor.layout)) continue;
    if (bench.tensors()[t].role == Role::coded_rows) continue;  // coded by set_attention
    if (bench.tensors()[t].role == Role::matrix && dtype == kernels::Dtype::i4) {
      report.deviations.push_back(tensor.name + " keeps the codes of the source");
    }
    std::vector<uint8_t> bytes = tensor.payload;
    if (tensor.fill) {
      bytes.resize(kernels::packed_bytes(tensor.layout, tensor.n, tensor.k));
      ONEPASS_TRY(tensor.fill(bytes));
    }
    ONEPASS_TRY(bench.exchange(t, tensor.layout, bytes));
  }
  const std::vector<Stage> stages = stages_of(bench, [&](size_t t) { return is_ours(content.tensors[t].layout); });
  // A layer's codes take about as long as half a pass over the texts.
  const size_t unit = texts.size(), total = stages.size() * unit;
  for (size_t s = 0; s < stages.size(); ++s) {
    const Stage& stage = stages[s];
    std::vector<Moments> moments(stage.products.size());
    std::vector<Workbench::Wanted> wanted;
    for (size_t p = 0; p < stage.products.size(); ++p) wanted.push_back({stage.products[p].weights, &moments[p]});
    ONEPASS_TRY(bench.collect(texts, wanted, [&](size_t done) { work_done(s * unit + done / 2, total); }));
    for (size_t p = 0; p < stage.products.size(); ++p) {
      const StageProduct& at = stage.products[p];
      Product product = read_product(bench, at);
      const Layout layout = content.tensors[at.weights].layout;
      ProductReport line{product.name, layout, 0, false};
      if (options.scale_inputs) {
        ONEPASS_TRY_ASSIGN(scaled, scale_product(bench, at, layout, product, moments[p]));
        line.scaled = scaled;
        if (at.norm_weight == StageProduct::none) {
          report.deviations.push_back("the inputs of " + product.name +
                                      " are not scaled: " + why_not_scaled(bench, at));
        }
        for (const size_t norm : {at.norm_weight, at.norm_bias}) {
          if (scaled && norm != StageProduct::none) replace(content.tensors[norm], bench.read(norm));
        }
      }
      const GptqOptions gptq_options;
      ONEPASS_TRY_ASSIGN(packed, quantise_product(product, layout, &moments[p],
                                                  options.quantiser == Quantiser::gptq ? &gptq_options : nullptr));
      line.error = packed.error;
      moments[p] = {};
      ONEPASS_TRY(bench.exchange(at.weights, layout, packed.bytes));
      replace(content.tensors[at.weights], layout, std::move(packed.bytes));
      if (at.bias != StageProduct::none) {
        ONEPASS_TRY(bench.write(at.bias, packed.bias));
        replace(content.tensors[at.bias], packed.bias);
      }
      report.products.push_back(std::move(line));
      work_done(s * unit + unit / 2 + (p + 1) * unit / 2 / stage.products.size(), total);
    }
  }
  ONEPASS_TRY_ASSIGN(biases, centre_heads(bench, texts, answers));
  for (const size_t bias : biases) replace(content.tensors[bias], bench.read(bias));
  return report;
} catch (const std::bad_alloc&) {
  return make_error(Code::out_of_memory, Error::no_offset, "calibration", "no memory for the moments of a layer");
} catch (const std::exception& error) {
  return make_error(Code::io_error, Error::no_offset, "calibration", "%s", error.what());
}

}  // namespace onepass::quantise
