#include "tools/quantise/search.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "engine/runtime/decide.h"
#include "kernels/pack/pack.h"
#include "tools/eval/metrics.h"
#include "tools/quantise/distance.h"
#include "tools/quantise/stages.h"

namespace onepass::quantise {

using kernels::Layout;

namespace {

// One of the forms that a tensor may take.
struct Candidate {
  Packed packed;
  double sensitivity = 0;
};
struct Choice {
  size_t tensor = 0;
  size_t bias = StageProduct::none;
  std::vector<Candidate> candidates;  // the largest first
  size_t chosen = 0;
};

constexpr Layout kProducts[] = {Layout::f16_n16, Layout::i8_n32k4, Layout::i4zg32_n32k4, Layout::i4zg64_n32k4};
constexpr Layout kTables[] = {Layout::f16_rows, Layout::i8_rows, Layout::i4g32_rows};

Result<Packed> pack_plain(const Workbench::Tensor& t, const std::vector<float>& values, Layout layout) {
  Packed out{layout, std::vector<uint8_t>(kernels::packed_bytes(layout, t.n, t.k)), {}, 0};
  const kernels::PackResult packed = kernels::pack(layout, values.data(), t.n, t.k, out.bytes.data());
  if (packed.ok()) return out;
  return make_error(Code::bad_value, Error::no_offset, t.name, "element %zu does not fit %s", packed.index,
                    kernels::layout_name(layout));
}

// The candidates of all tensors, each measured alone.
class Measuring {
 public:
  Measuring(Workbench& bench, const SearchOptions& options, SearchReport& report, const WorkDone& work_done)
      : bench_(bench), options_(options), report_(report), work_done_(work_done) {}

  Result<std::vector<Choice>> run() {
    ONEPASS_TRY_ASSIGN(texts, bench_.tokenize(options_.codes.texts));
    const std::vector<std::string> few(
        options_.codes.texts.begin(),
        options_.codes.texts.begin() +
            static_cast<std::ptrdiff_t>(std::min(options_.effect_texts, options_.codes.texts.size())));
    ONEPASS_TRY_ASSIGN(effect_texts, bench_.tokenize(few));
    ONEPASS_TRY_ASSIGN(logits, bench_.logits(effect_texts, {}));
    const Distance distance(std::move(logits), bench_.model().total_classes());
    const std::vector<Stage> stages = stages_of(bench_, [](size_t) { return true; });
    std::vector<size_t> tables;
    for (size_t t = 0; t < bench_.tensors().size(); ++t) {
      if (bench_.tensors()[t].role == Role::table) tables.push_back(t);
    }
    total_ = tables.size();
    for (const Stage& stage : stages) total_ += 2 * stage.products.size();
    std::vector<Choice> choices;
    for (const size_t tensor : tables) {
      Choice choice{tensor, StageProduct::none, {}, 0};
      const std::vector<float> values = bench_.read(tensor);
      for (const Layout layout : kTables) {
        ONEPASS_TRY_ASSIGN(packed, pack_plain(bench_.tensors()[tensor], values, layout));
        ONEPASS_TRY(add(choice, std::move(packed), effect_texts, distance));
      }
      choices.push_back(std::move(choice));
      advance(1);
    }
    for (const Stage& stage : stages) {
      std::vector<Moments> moments(stage.products.size());
      std::vector<Workbench::Wanted> wanted;
      for (size_t p = 0; p < stage.products.size(); ++p) wanted.push_back({stage.products[p].weights, &moments[p]});
      ONEPASS_TRY(bench_.collect(texts, wanted, {}));
      advance(stage.products.size());
      for (size_t p = 0; p < stage.products.size(); ++p) {
        ONEPASS_TRY_ASSIGN(choice, choose(stage.products[p], moments[p], effect_texts, distance));
        choices.push_back(std::move(choice));
        moments[p] = {};
        advance(1);
      }
    }
    return choices;
  }

 private:
  Result<Choice> choose(const StageProduct& at, Moments& moments, const Texts& texts, const Distance& distance) {
    const Workbench::Tensor& t = bench_.tensors()[at.weights];
    Product product = read_product(bench_, at);
    if (options_.codes.scale_inputs) {
      // The same for every layout: the norm is one.
      ONEPASS_TRY_ASSIGN(scaled, scale_product(bench_, at, Layout::i4zg32_n32k4, product, moments));
      if (!scaled && at.norm_weight == StageProduct::none) {
        report_.deviations.push_back("the inputs of " + t.name + " are not scaled: " + why_not_scaled(bench_, at));
      }
    }
    const GptqOptions gptq_options;
    Choice choice{at.weights, at.bias, {}, 0};
    for (const Layout layout : kProducts) {
      if (!has_codes(layout)) {
        ONEPASS_TRY_ASSIGN(packed, pack_plain(t, product.w, layout));
        packed.bias = product.bias;
        ONEPASS_TRY(add(choice, std::move(packed), texts, distance));
        continue;
      }
      ONEPASS_TRY_ASSIGN(packed,
                         quantise_product(product, layout, &moments,
                                          options_.codes.quantiser == Quantiser::gptq ? &gptq_options : nullptr));
      ONEPASS_TRY(add(choice, std::move(packed), texts, distance));
    }
    return choice;
  }

  Status add(Choice& choice, Packed packed, const Texts& texts, const Distance& distance) {
    const Workbench::Tensor& t = bench_.tensors()[choice.tensor];
    const double bytes = static_cast<double>(packed.bytes.size());
    Effect effect{t.name, packed.layout, packed.bytes.size(), 8 * bytes / static_cast<double>(t.n * t.k), 0, 0, 0};
    const std::vector<float> bias = choice.bias == StageProduct::none ? std::vector<float>() : bench_.read(choice.bias);
    ONEPASS_TRY(bench_.exchange(choice.tensor, packed.layout, packed.bytes));
    if (!bias.empty()) ONEPASS_TRY(bench_.write(choice.bias, packed.bias));
    ONEPASS_TRY_ASSIGN(logits, bench_.logits(texts, {}));
    ONEPASS_TRY(bench_.restore(choice.tensor));
    if (!bias.empty()) ONEPASS_TRY(bench_.write(choice.bias, bias));
    const LogitChange change = distance.measure(logits);
    effect.sensitivity = change.sensitivity, effect.mean_difference = change.mean, effect.max_difference = change.max;
    report_.effects.push_back(effect);
    choice.candidates.push_back({std::move(packed), effect.sensitivity});
    return {};
  }

  void advance(size_t work) { work_done_(done_ += work, total_); }

  Workbench& bench_;
  const SearchOptions& options_;
  SearchReport& report_;
  const WorkDone& work_done_;
  size_t done_ = 0, total_ = 0;
};

// The values of a task's metrics: one, or one a dimension.
Result<std::vector<double>> evaluate(Workbench& bench, const Task& task, const Texts& texts) {
  ONEPASS_TRY_ASSIGN(logits, bench.logits(texts, {}));
  const auto heads = bench.model().heads();
  const size_t total = bench.model().total_classes(), classes = heads[task.head].labels.size();
  size_t first = 0;
  for (size_t h = 0; h < task.head; ++h) first += heads[h].labels.size();
  std::vector<float> all(total), scores;
  std::vector<uint8_t> applies;
  for (size_t r = 0; r < texts.size(); ++r) {
    all_scores(heads, logits.data() + r * total, all.data());
    const std::span<const float> own(all.data() + first, classes);
    scores.insert(scores.end(), own.begin(), own.end());
    for (size_t c = 0; c < classes; ++c) applies.push_back(label_applies(heads[task.head], own, c) ? 1 : 0);
  }
  std::vector<double> out;
  if (task.metric == Task::Metric::pearson) {
    for (size_t c = 0; c < classes; ++c) {
      std::vector<double> said, gold;
      for (size_t r = 0; r < texts.size(); ++r) {
        said.push_back(static_cast<double>(scores[r * classes + c]));
        gold.push_back(task.values[r * classes + c]);
      }
      out.push_back(eval::pearson(said, gold));
    }
    return out;
  }
  const eval::LabelMetrics m = eval::label_metrics(scores, applies, task.gold, classes);
  out.push_back(task.metric == Task::Metric::macro_f1   ? m.macro_f1
                : task.metric == Task::Metric::micro_f1 ? m.micro_f1
                                                        : m.macro_ap);
  return out;
}

// A step of one tensor to a smaller form.
struct Move {
  size_t choice, to;
  double slope;  // sensitivity a byte saved
};

// Each tensor's candidates on the lower hull of sensitivity over bytes saved, all steps by rising slope: a path on
// which every choice is the best for its size, if effects add up.
std::vector<Move> path_of(const std::vector<Choice>& choices) {
  std::vector<Move> moves;
  for (size_t i = 0; i < choices.size(); ++i) {
    const auto& candidates = choices[i].candidates;
    for (size_t at = 0; at + 1 < candidates.size();) {
      size_t best = at + 1;
      double least = INFINITY;
      for (size_t to = at + 1; to < candidates.size(); ++to) {
        const double saved = static_cast<double>(candidates[at].packed.bytes.size()) -
                             static_cast<double>(candidates[to].packed.bytes.size());
        if (saved <= 0) continue;
        const double slope = std::max(candidates[to].sensitivity - candidates[at].sensitivity, 0.0) / saved;
        if (slope <= least) {
          least = slope;
          best = to;
        }
      }
      if (!std::isfinite(least)) break;
      moves.push_back({i, best, least});
      at = best;
    }
  }
  std::stable_sort(moves.begin(), moves.end(), [](const Move& a, const Move& b) { return a.slope < b.slope; });
  return moves;
}

class Search {
 public:
  Search(Workbench& bench, const SearchOptions& options, std::vector<Choice>& choices, SearchReport& report,
         const WorkDone& work_done)
      : bench_(bench), options_(options), choices_(choices), report_(report), work_done_(work_done) {}

  Status run() {
    const AttentionType attention = bench_.config().attention;
    ONEPASS_TRY(bench_.set_attention(AttentionType::f32));
    for (const Task& task : options_.tasks) {
      ONEPASS_TRY_ASSIGN(texts, bench_.tokenize(task.texts));
      ONEPASS_TRY_ASSIGN(values, evaluate(bench_, task, texts));
      texts_.push_back(std::move(texts));
      const auto labels = bench_.model().heads()[task.head].labels;
      for (size_t v = 0; v < values.size(); ++v) {
        const bool whole = task.metric != Task::Metric::pearson;
        report_.measured.push_back(
            {whole ? task.name : task.name + " " + std::string(labels[v]), values[v], values[v]});
      }
    }
    ONEPASS_TRY(bench_.set_attention(attention));
    const std::vector<Move> moves = path_of(choices_);
    size_t most = 1;
    while ((size_t{1} << most) < moves.size() + 1) ++most;
    constexpr size_t kMore = 8;  // steps that are tried one by one
    total_ = most + 2 + kMore;
    // How far along the path: all of it, or as far as halving finds.
    size_t good = 0, bad = moves.size();
    ONEPASS_TRY_ASSIGN(everything, keeps(moves, bad));
    if (everything) {
      good = bad;
    } else {
      ONEPASS_TRY_ASSIGN(nothing, keeps(moves, 0));
      if (!nothing) {
        return make_error(Code::bad_value, Error::no_offset, "--max-drop",
                          "even f16 weights lose more than %g of a metric; allow more, or keep --attention f32",
                          options_.max_drop);
      }
      while (bad - good > 1) {
        const size_t middle = (good + bad) / 2;
        ONEPASS_TRY_ASSIGN(kept, keeps(moves, middle));
        (kept ? good : bad) = middle;
      }
    }
    // Later steps may still fit on their own, those that save most first.
    std::vector<size_t> chosen = state(moves, good);
    std::vector<Move> more(moves.begin() + static_cast<std::ptrdiff_t>(good), moves.end());
    const auto saved = [&](const Move& m) {
      const auto& candidates = choices_[m.choice].candidates;
      return static_cast<double>(candidates[chosen[m.choice]].packed.bytes.size()) -
             static_cast<double>(candidates[m.to].packed.bytes.size());
    };
    std::stable_sort(more.begin(), more.end(), [&](const Move& a, const Move& b) { return saved(a) > saved(b); });
    for (size_t i = 0; i < std::min(kMore, more.size()); ++i) {
      std::vector<size_t> tried = chosen;
      if (more[i].to <= chosen[more[i].choice]) continue;
      tried[more[i].choice] = more[i].to;
      ONEPASS_TRY_ASSIGN(kept, keeps(tried));
      if (kept) chosen = tried;
    }
    ONEPASS_TRY_ASSIGN(kept, keeps(chosen));
    if (!kept) return make_error(Code::bad_value, Error::no_offset, "--max-drop", "no choice keeps the metrics");
    for (size_t i = 0; i < choices_.size(); ++i) choices_[i].chosen = chosen[i];
    work_done_(total_, total_);
    return {};
  }

 private:
  std::vector<size_t> state(const std::vector<Move>& moves, size_t steps) const {
    std::vector<size_t> chosen(choices_.size(), 0);
    for (size_t m = 0; m < steps; ++m) chosen[moves[m].choice] = moves[m].to;
    return chosen;
  }
  Result<bool> keeps(const std::vector<Move>& moves, size_t steps) { return keeps(state(moves, steps)); }

  // Whether every metric stays within the drop; report_.measured gets the values.
  Result<bool> keeps(const std::vector<size_t>& chosen) {
    for (size_t i = 0; i < choices_.size(); ++i) {
      const Choice& choice = choices_[i];
      const Packed& packed = choice.candidates[chosen[i]].packed;
      ONEPASS_TRY(bench_.exchange(choice.tensor, packed.layout, packed.bytes));
      if (choice.bias != StageProduct::none) ONEPASS_TRY(bench_.write(choice.bias, packed.bias));
    }
    size_t at = 0;
    bool kept = true;
    for (size_t t = 0; t < options_.tasks.size(); ++t) {
      ONEPASS_TRY_ASSIGN(values, evaluate(bench_, options_.tasks[t], texts_[t]));
      for (const double value : values) {
        Measured& m = report_.measured[at++];
        m.chosen = value;
        // A metric without a value keeps nothing.
        kept = kept && m.f32 - value <= options_.max_drop;
      }
    }
    work_done_(std::min(++report_.evaluations, total_ - 1), total_);
    return kept;
  }

  Workbench& bench_;
  const SearchOptions& options_;
  std::vector<Choice>& choices_;
  SearchReport& report_;
  const WorkDone& work_done_;
  std::vector<Texts> texts_;
  size_t total_ = 1;
};

void replace(TensorContent& tensor, Layout layout, std::vector<uint8_t> bytes) {
  tensor.layout = layout;
  tensor.payload = std::move(bytes);
  tensor.fill = {};
}

}  // namespace

Result<SearchReport> search_precision(const ModelContent& f32, const SearchOptions& options, ModelContent& content,
                                      const WorkDone& work_done) try {
  ONEPASS_TRY_ASSIGN(bench, Workbench::open(f32, content.config.attention));
  SearchReport report;
  ONEPASS_TRY_ASSIGN(choices, Measuring(*bench, options, report, work_done).run());
  if (options.tasks.empty()) return report;
  ONEPASS_TRY(Search(*bench, options, choices, report, work_done).run());
  for (size_t t = 0; t < content.tensors.size(); ++t) {
    // Norms that scales were folded into, and biases.
    if (bench->tensors()[t].role != Role::vector) continue;
    const Slot slot = bench->tensors()[t].slot;
    const bool changes = slot == Slot::attn_norm_w || slot == Slot::attn_norm_b || slot == Slot::ffn_norm_w ||
                         slot == Slot::ffn_norm_b ||
                         std::any_of(choices.begin(), choices.end(), [&](const Choice& c) { return c.bias == t; });
    if (!changes) continue;
    const std::vector<float> values = bench->read(t);
    const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
    replace(content.tensors[t], Layout::f32_rows, {bytes, bytes + values.size() * sizeof(float)});
  }
  for (Choice& choice : choices) {
    Packed& packed = choice.candidates[choice.chosen].packed;
    replace(content.tensors[choice.tensor], packed.layout, std::move(packed.bytes));
  }
  return report;
} catch (const std::bad_alloc&) {
  return make_error(Code::out_of_memory, Error::no_offset, "calibration", "no memory for the forms of every tensor");
} catch (const std::exception& error) {
  return make_error(Code::io_error, Error::no_offset, "calibration", "%s", error.what());
}

}  // namespace onepass::quantise
