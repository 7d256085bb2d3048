// Mixed precision by measurement: what each tensor costs a model, and the smallest file that keeps a task's metric.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/quantise/quantise.h"

namespace onepass::quantise {

// What becomes of the logits when one tensor alone has this layout, against all of them in f32.
struct Effect {
  std::string tensor;
  kernels::Layout layout{};
  uint64_t bytes = 0;
  double bits_per_weight = 0;
  // The mean over logits of their squared differences, each in units of that logit's variance over the texts.
  double sensitivity = 0;
  double mean_difference = 0, max_difference = 0;  // of logits
};

// Labelled texts of one head, and what is to be kept of it.
struct Task {
  enum class Metric { macro_f1, micro_f1, macro_ap, pearson };
  std::string name;  // for people
  size_t head = 0;   // its number
  Metric metric = Metric::macro_f1;
  std::vector<std::string> texts;
  std::vector<uint8_t> gold;   // [N,C] of 0 and 1
  std::vector<double> values;  // [N,C], of regression; pearson of every dimension counts
};

struct Measured {
  std::string name;
  double f32 = 0, chosen = 0;
};

struct SearchOptions {
  Options codes;  // how codes are chosen
  size_t effect_texts = 128;
  double max_drop = 0;      // of every metric of every task
  std::vector<Task> tasks;  // none: effects alone
};

struct SearchReport {
  std::vector<Effect> effects;
  std::vector<Measured> measured;
  size_t evaluations = 0;  // of the tasks
  std::vector<std::string> deviations;
};

// Measures the effect of every product and table in f16, int8 and int4; with tasks, replaces those of `content` by the
// smallest that keep every metric within max_drop of f32. bad_value where no choice does.
Result<SearchReport> search_precision(const ModelContent& f32, const SearchOptions& options, ModelContent& content,
                                      const WorkDone& work_done);

// The effects for people, as JSON (an array of objects) and as an SVG of bars.
std::string effects_table(const std::vector<Effect>& effects);
std::string effects_json(const std::vector<Effect>& effects);
std::string effects_svg(const std::vector<Effect>& effects, const std::string& title);

}  // namespace onepass::quantise
