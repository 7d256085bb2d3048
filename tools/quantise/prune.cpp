#include "tools/quantise/prune.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include "kernels/pack/pack.h"
#include "tools/quantise/distance.h"
#include "tools/quantise/elimination.h"
#include "tools/quantise/stages.h"
#include "tools/quantise/workbench.h"

namespace onepass::quantise {

using kernels::Layout;

namespace {

// What can be taken out of a layer: its heads or its columns.
struct Part {
  uint32_t layer = 0;
  StageProduct product;         // that reads it
  size_t unit = 1;              // inputs that go together
  size_t units = 0;             // of them
  size_t step = 1;              // units a level
  std::vector<double> effects;  // of the levels 1, 2, ... alone
  std::vector<size_t> kept;     // units, once it is decided
  double lost = 0;

  size_t levels() const { return (units - 1) / step; }
};

// Whole panels of every layout, but no more than 16 levels a layer.
size_t column_step(size_t ffn_width, Layout layout) {
  const size_t panel = kernels::group_size(layout) == 64 ? 128 : 64;
  if (ffn_width < 8 * panel) return std::max<size_t>(1, ffn_width / 8);
  return panel * ((ffn_width + 16 * panel - 1) / (16 * panel));
}

// How many levels each part gives, `wanted` in all or one step more, so that their effects add up to the least.
std::vector<size_t> cheapest(const std::vector<Part>& parts, size_t wanted) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  std::vector<std::vector<double>> least(parts.size() + 1, std::vector<double>(wanted + 1, kNever));
  std::vector<std::vector<size_t>> choice(parts.size(), std::vector<size_t>(wanted + 1, 0));
  least[0][0] = 0;
  for (size_t p = 0; p < parts.size(); ++p) {
    for (size_t r = 0; r <= wanted; ++r) {
      for (size_t level = 0; level <= std::min(parts[p].levels(), r); ++level) {
        const double sum = least[p][r - level] + (level == 0 ? 0 : parts[p].effects[level - 1]);
        if (!(sum < least[p + 1][r])) continue;
        least[p + 1][r] = sum;
        choice[p][r] = level;
      }
    }
  }
  std::vector<size_t> out(parts.size());
  for (size_t p = parts.size(), r = wanted; p-- > 0; r -= out[p]) out[p] = choice[p][r];
  return out;
}

class Pruning {
 public:
  Pruning(Workbench& bench, const PruneOptions& options, const WorkDone& work_done)
      : bench_(bench), options_(options), work_done_(work_done) {}

  Status run(const ModelContent& content) {
    ONEPASS_TRY(list_parts(content));
    ONEPASS_TRY_ASSIGN(texts, bench_.tokenize(options_.texts));
    const auto last =
        options_.texts.begin() + static_cast<std::ptrdiff_t>(std::min(options_.effect_texts, options_.texts.size()));
    const std::vector<std::string> few(options_.texts.begin(), last);
    ONEPASS_TRY_ASSIGN(effect_texts, bench_.tokenize(few));
    for (const auto* parts : {&heads_, &columns_}) {
      for (const Part& part : *parts) total_ += 2 * texts.size() + part.levels() * effect_texts.size();
    }
    ONEPASS_TRY_ASSIGN(logits, bench_.logits(effect_texts, {}));
    const Distance distance(std::move(logits), bench_.model().total_classes());
    for (auto* parts : {&heads_, &columns_}) {
      for (Part& part : *parts) ONEPASS_TRY(measure(part, texts, effect_texts, distance));
    }
    const std::vector<size_t> heads = cheapest(heads_, wanted_heads_), columns = cheapest(columns_, wanted_columns_);
    for (uint32_t layer = 0; layer < bench_.config().layer_copies(); ++layer) {
      if (!heads_.empty()) ONEPASS_TRY(take_out(heads_[layer], heads[layer], texts));
      if (!columns_.empty()) ONEPASS_TRY(take_out(columns_[layer], columns[layer], texts));
    }
    return {};
  }

  // Empty, or one a layer.
  const std::vector<Part>& heads() const { return heads_; }
  const std::vector<Part>& columns() const { return columns_; }

 private:
  Status list_parts(const ModelContent& content) {
    const Config& c = bench_.config();
    if (options_.heads > 0 && c.arch.relative == Relative::bias) {
      return make_error(Code::invalid_argument, Error::no_offset, "--prune-heads",
                        "the layers of this model share a table with a number a head, so all need as many heads");
    }
    const auto part = [&](uint32_t layer, Slot weights, Slot bias) {
      Part out;
      out.layer = layer;
      out.product.weights = bench_.find(weights, layer);
      const size_t b = bench_.find(bias, layer);
      if (b != bench_.tensors().size()) out.product.bias = b;
      return out;
    };
    size_t all_heads = 0, all_columns = 0, spare_heads = 0, spare_columns = 0, step = 1;
    for (uint32_t layer = 0; layer < c.layer_copies(); ++layer) {
      Part heads = part(layer, Slot::attn_out_w, Slot::attn_out_b);
      heads.units = c.kv_heads_of(layer);
      heads.unit = size_t{c.heads / c.kv_heads} * c.head_width;
      Part columns = part(layer, Slot::ffn_down_w, Slot::ffn_down_b);
      columns.units = c.ffn_width_of(layer);
      columns.step = step = column_step(columns.units, content.tensors[columns.product.weights].layout);
      all_heads += heads.units, spare_heads += heads.levels();
      all_columns += columns.units, spare_columns += columns.levels();
      if (options_.heads > 0) heads_.push_back(heads);
      if (options_.ffn > 0) columns_.push_back(columns);
    }
    wanted_heads_ = static_cast<size_t>(std::ceil(options_.heads * static_cast<double>(all_heads) - 1e-9));
    wanted_columns_ = static_cast<size_t>(
        std::ceil(options_.ffn * static_cast<double>(all_columns) / static_cast<double>(step) - 1e-9));
    const auto too_many = [](const char* option, double most) {
      return make_error(Code::invalid_argument, Error::no_offset, option,
                        "at most %.4f of them can go: every layer keeps some", std::floor(most * 1e4) / 1e4);
    };
    if (wanted_heads_ > spare_heads) {
      return too_many("--prune-heads", static_cast<double>(spare_heads) / static_cast<double>(all_heads));
    }
    if (wanted_columns_ > spare_columns) {
      return too_many("--prune-ffn", static_cast<double>(spare_columns * step) / static_cast<double>(all_columns));
    }
    return {};
  }

  Result<Elimination> begin(const Part& part, const Texts& texts) {
    Moments moments;
    const Workbench::Wanted wanted[] = {{part.product.weights, &moments}};
    ONEPASS_TRY(bench_.collect(texts, wanted, [&](size_t done) { work_done_(done_ + done, total_); }));
    done_ += texts.size();
    return Elimination::begin(read_product(bench_, part.product), moments, part.unit);
  }

  Status exchange(const Part& part, const Elimination& with) {
    ONEPASS_TRY(bench_.write(part.product.weights, with.weights()));
    if (part.product.bias != StageProduct::none) ONEPASS_TRY(bench_.write(part.product.bias, with.bias()));
    return {};
  }

  // Without them the layer is as it came.
  Status measure(Part& part, const Texts& texts, const Texts& effect_texts, const Distance& distance) {
    ONEPASS_TRY_ASSIGN(elimination, begin(part, texts));
    for (size_t level = 1; level <= part.levels(); ++level) {
      ONEPASS_TRY(elimination.remove(part.step));
      ONEPASS_TRY(exchange(part, elimination));
      ONEPASS_TRY_ASSIGN(logits, bench_.logits(effect_texts, {}));
      const double change = distance.measure(logits).sensitivity;
      if (!std::isfinite(change)) {
        return make_error(Code::non_finite, Error::no_offset, bench_.tensors()[part.product.weights].name,
                          "the logits without it are not finite numbers");
      }
      part.effects.push_back(change);
      work_done_(done_ += effect_texts.size(), total_);
    }
    ONEPASS_TRY(bench_.revert(part.product.weights));
    if (part.product.bias != StageProduct::none) ONEPASS_TRY(bench_.revert(part.product.bias));
    return {};
  }

  Status take_out(Part& part, size_t levels, const Texts& texts) {
    for (size_t u = 0; u < part.units; ++u) part.kept.push_back(u);
    if (levels == 0) {
      work_done_(done_ += texts.size(), total_);
      return {};
    }
    ONEPASS_TRY_ASSIGN(elimination, begin(part, texts));
    ONEPASS_TRY(elimination.remove(levels * part.step));
    part.kept = elimination.kept();
    part.lost = elimination.lost();
    return exchange(part, elimination);
  }

  Workbench& bench_;
  const PruneOptions& options_;
  const WorkDone& work_done_;
  std::vector<Part> heads_, columns_;
  size_t wanted_heads_ = 0, wanted_columns_ = 0;  // levels
  size_t done_ = 0, total_ = 0;
};

// Elements of one dimension that stay; empty: all.
using Kept = std::vector<size_t>;
struct Cut {
  Kept rows, columns;
};

void add_span(size_t first, size_t count, Kept& to) {
  for (size_t i = 0; i < count; ++i) to.push_back(first + i);
}

Cut cut_of(const Workbench::Tensor& t, const Config& c, const Kept& heads, const Kept& columns) {
  const size_t group = size_t{c.heads / c.kv_heads} * c.head_width;
  Cut cut;
  Kept queries, all;
  for (const size_t g : heads) add_span(g * group, group, queries);
  switch (t.slot) {
    case Slot::attn_qkv_w:
    case Slot::attn_qkv_b: {
      if (heads.empty()) return cut;
      all = queries;
      const size_t q_width = size_t{c.heads_of(t.index)} * c.head_width;
      const size_t kv_width = size_t{c.kv_heads_of(t.index)} * c.head_width;
      for (const size_t first : {q_width, q_width + kv_width}) {
        for (const size_t g : heads) add_span(first + g * c.head_width, c.head_width, all);
      }
      break;
    }
    case Slot::attn_out_w:
    case Slot::attn_relative_key:
    case Slot::attn_relative_query:
      cut.columns = queries;
      return cut;
    case Slot::ffn_up_w:
    case Slot::ffn_up_b:
      all = columns;
      if (c.arch.ffn == Ffn::gated) {
        for (const size_t f : columns) all.push_back(c.ffn_width_of(t.index) + f);
      }
      break;
    case Slot::ffn_down_w:
      cut.columns = columns;
      return cut;
    default:
      return cut;
  }
  (t.role == Role::vector ? cut.columns : cut.rows) = all;
  return cut;
}

std::vector<float> cut_out(const std::vector<float>& values, size_t n, size_t k, const Cut& cut) {
  std::vector<float> out;
  for (size_t r = 0; r < (cut.rows.empty() ? n : cut.rows.size()); ++r) {
    const float* row = values.data() + (cut.rows.empty() ? r : cut.rows[r]) * k;
    if (cut.columns.empty()) out.insert(out.end(), row, row + k);
    for (const size_t column : cut.columns) out.push_back(row[column]);
  }
  return out;
}

// The values of an f32 tensor of a content.
Result<std::vector<float>> values_of(const TensorContent& tensor) {
  std::vector<uint8_t> bytes = tensor.payload;
  if (tensor.fill) {
    bytes.resize(kernels::packed_bytes(tensor.layout, tensor.n, tensor.k));
    ONEPASS_TRY(tensor.fill(bytes));
  }
  std::vector<float> values(tensor.n * tensor.k);
  if (kernels::unpack(tensor.layout, bytes.data(), tensor.n, tensor.k, values.data())) return values;
  return make_error(Code::invalid_argument, Error::no_offset, tensor.name, "no values can be read from it");
}

// Makes `tensor` what is left of `from`, in its own layout. `values`, where there are any, are in the place of from's.
void replace(TensorContent& tensor, const TensorContent& from, const std::vector<float>& values, const Cut& cut) {
  const uint64_t n = cut.rows.empty() ? from.n : cut.rows.size();
  const uint64_t k = cut.columns.empty() ? from.k : cut.columns.size();
  const Layout layout = tensor.layout;
  tensor.n = n;
  tensor.k = k;
  tensor.payload = {};
  tensor.fill = [from, values, cut, layout, n, k](std::span<uint8_t> out) -> Status {
    std::vector<float> all = values;
    if (all.empty()) {
      ONEPASS_TRY_ASSIGN(read, values_of(from));
      all = std::move(read);
    }
    const std::vector<float> left = cut_out(all, static_cast<size_t>(from.n), static_cast<size_t>(from.k), cut);
    const kernels::PackResult packed =
        kernels::pack(layout, left.data(), static_cast<size_t>(n), static_cast<size_t>(k), out.data());
    if (packed.ok()) return {};
    return make_error(Code::bad_value, Error::no_offset, from.name, "element %zu does not fit %s", packed.index,
                      kernels::layout_name(layout));
  };
}

// The model's numbers are those of its widest layer.
void set_widths(const std::vector<PrunedLayer>& layers, Config& config) {
  const uint32_t group = config.heads / config.kv_heads;
  uint32_t heads = 0, columns = 0;
  for (const PrunedLayer& l : layers) heads = std::max(heads, l.heads), columns = std::max(columns, l.ffn_width);
  config.heads = heads;
  config.kv_heads = heads / group;
  config.ffn_width = columns;
  for (size_t i = 0; i < layers.size(); ++i) {
    const uint32_t kv = layers[i].heads / group;
    config.layer_kv_heads[i] = static_cast<uint16_t>(kv == config.kv_heads ? 0 : kv);
    config.layer_ffn_width[i] = static_cast<uint16_t>(layers[i].ffn_width == columns ? 0 : layers[i].ffn_width);
  }
}

}  // namespace

Result<PruneReport> prune(const PruneOptions& options, ModelContent& f32, ModelContent& content,
                          const WorkDone& work_done) try {
  if (f32.tensors.size() != content.tensors.size()) {
    return make_error(Code::invalid_argument, Error::no_offset, "calibration",
                      "another model than the one to be written");
  }
  ONEPASS_TRY_ASSIGN(bench_pointer, Workbench::open(f32, AttentionType::f32));
  Workbench& bench = *bench_pointer;
  Pruning pruning(bench, options, work_done);
  ONEPASS_TRY(pruning.run(content));
  const Config& c = bench.config();
  PruneReport report;
  for (uint32_t l = 0; l < c.layer_copies(); ++l) {
    PrunedLayer line{c.heads_of(l), c.heads_of(l), c.ffn_width_of(l), c.ffn_width_of(l), 0, 0};
    if (!pruning.heads().empty()) {
      line.heads = static_cast<uint32_t>(pruning.heads()[l].kept.size()) * (c.heads / c.kv_heads);
      line.attention_lost = pruning.heads()[l].lost;
    }
    if (!pruning.columns().empty()) {
      line.ffn_width = static_cast<uint32_t>(pruning.columns()[l].kept.size());
      line.ffn_lost = pruning.columns()[l].lost;
    }
    report.layers.push_back(line);
  }
  for (size_t t = 0; t < bench.tensors().size(); ++t) {
    const Workbench::Tensor& tensor = bench.tensors()[t];
    if (tensor.scope != Scope::layer) continue;
    const PrunedLayer& layer = report.layers[tensor.index];
    const bool fewer_heads = layer.heads < layer.of_heads, narrower = layer.ffn_width < layer.of_ffn_width;
    const Cut cut = cut_of(tensor, c, fewer_heads ? pruning.heads()[tensor.index].kept : Kept(),
                           narrower ? pruning.columns()[tensor.index].kept : Kept());
    const bool fitted = (fewer_heads && (tensor.slot == Slot::attn_out_w || tensor.slot == Slot::attn_out_b)) ||
                        (narrower && (tensor.slot == Slot::ffn_down_w || tensor.slot == Slot::ffn_down_b));
    if (!fitted && cut.rows.empty() && cut.columns.empty()) continue;
    const TensorContent from = f32.tensors[t];
    const std::vector<float> values = fitted ? bench.read(t) : std::vector<float>();
    TensorContent& target = content.tensors[t];
    if (kernels::dtype_of(target.layout) == kernels::Dtype::i4 && !kernels::has_steps(target.layout)) {
      report.deviations.push_back(target.name + " is pruned, so the codes of the source are quantised again");
    }
    replace(target, from, values, cut);
    replace(f32.tensors[t], from, values, cut);
  }
  set_widths(report.layers, f32.config);
  set_widths(report.layers, content.config);
  ONEPASS_TRY(validate(content.config));
  return report;
} catch (const std::bad_alloc&) {
  return make_error(Code::out_of_memory, Error::no_offset, "calibration", "no memory for the moments of a product");
} catch (const std::exception& error) {
  return make_error(Code::io_error, Error::no_offset, "calibration", "%s", error.what());
}

}  // namespace onepass::quantise
