// onepass eval: task metrics of one head on labelled texts.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tools/cli/commands.h"
#include "tools/cli/common.h"
#include "tools/eval/dataset.h"
#include "tools/eval/metrics.h"

namespace onepass::cli {

namespace {

const Head& choose_head(const Model& model, const EvalOptions& options) {
  const bool regression = options.format == "emobank";
  for (const Head& head : model.heads()) {
    if (options.head.empty()
            ? options.format == "tsv" || options.format == "jsonl" || (head.kind == ONEPASS_REGRESSION) == regression
            : head.name == options.head) {
      return head;
    }
  }
  std::string names;
  for (const Head& head : model.heads()) names += " " + std::string(head.name);
  fail("cannot evaluate", options.model,
       (options.head.empty() ? "no head fits the format " + options.format : "no head is called " + options.head) +
           "; the heads are" + names);
}

// Scores [N,C] of one head, and which labels apply.
struct Predictions {
  std::vector<float> scores;
  std::vector<uint8_t> applies;
};

Predictions predict(Session& session, const Head& head, const std::vector<std::string>& texts) {
  Predictions out;
  Progress progress("eval", texts.size());
  constexpr size_t kBatch = 64;
  for (size_t begin = 0; begin < texts.size(); begin += kBatch) {
    const size_t end = std::min(texts.size(), begin + kBatch);
    const std::vector<std::string_view> views(texts.begin() + static_cast<std::ptrdiff_t>(begin),
                                              texts.begin() + static_cast<std::ptrdiff_t>(end));
    for (const Classification& c : take(session.classify(views), "cannot classify")) {
      for (const Label& label : c.scores(head.name)) {
        out.scores.push_back(label.score);
        out.applies.push_back(label.applies);
      }
    }
    progress.advance(end);
  }
  return out;
}

template <class T>
std::vector<double> column(std::span<const T> values, size_t classes, size_t c) {
  std::vector<double> out;
  for (size_t i = c; i < values.size(); i += classes) out.push_back(static_cast<double>(values[i]));
  return out;
}

// For people: "n/a" where a metric has no value.
std::string decimal(double value) {
  if (!std::isfinite(value)) return "n/a";
  char text[32];
  std::snprintf(text, sizeof(text), "%.4f", value);
  return text;
}

void report_labels(const EvalOptions& options, const Head& head, const eval::Dataset& data, const Predictions& p) {
  const auto m = eval::label_metrics(p.scores, p.applies, data.gold, head.labels.size());
  if (options.json) {
    std::printf("{\"n\":%zu,\"head\":%s,\"macro_f1\":%s,\"micro_f1\":%s,\"macro_ap\":%s,\"ece\":%s}\n",
                data.texts.size(), json_string(head.name).c_str(), json_double(m.macro_f1).c_str(),
                json_double(m.micro_f1).c_str(), json_double(m.macro_ap).c_str(), json_double(m.ece).c_str());
    return;
  }
  std::printf("%zu texts, head %.*s, %zu labels\n  macro-F1 %s\n  micro-F1 %s\n  macro-AP %s\n  ECE      %s\n",
              data.texts.size(), static_cast<int>(head.name.size()), head.name.data(), head.labels.size(),
              decimal(m.macro_f1).c_str(), decimal(m.micro_f1).c_str(), decimal(m.macro_ap).c_str(),
              decimal(m.ece).c_str());
}

void report_values(const EvalOptions& options, const Head& head, const eval::Dataset& data, const Predictions& p) {
  const size_t classes = head.labels.size();
  std::string r, ccc, mae;
  if (!options.json) std::printf("%zu texts\n  %-16s %8s %8s %8s\n", data.texts.size(), "", "Pearson", "CCC", "MAE");
  for (size_t c = 0; c < classes; ++c) {
    const auto predicted = column(std::span<const float>(p.scores), classes, c);
    const auto gold = column(std::span<const double>(data.values), classes, c);
    const double values[] = {eval::pearson(predicted, gold), eval::concordance(predicted, gold),
                             eval::mean_absolute_error(predicted, gold)};
    if (!options.json) {
      std::printf("  %-16.*s %8s %8s %8s\n", static_cast<int>(head.labels[c].size()), head.labels[c].data(),
                  decimal(values[0]).c_str(), decimal(values[1]).c_str(), decimal(values[2]).c_str());
    }
    const std::string key = (c == 0 ? "" : ",") + json_string(head.labels[c]) + ':';
    r += key + json_double(values[0]);
    ccc += key + json_double(values[1]);
    mae += key + json_double(values[2]);
  }
  if (options.json) {
    std::printf("{\"n\":%zu,\"head\":%s,\"pearson\":{%s},\"ccc\":{%s},\"mae\":{%s}}\n", data.texts.size(),
                json_string(head.name).c_str(), r.c_str(), ccc.c_str(), mae.c_str());
  }
}

}  // namespace

void run_eval(const EvalOptions& options) {
  const Model model = options.session.open_model(options.model);
  Session session = options.session.open_session(model);
  const Head& head = choose_head(model, options);
  const eval::Dataset data =
      take(eval::read_dataset(options.data, options.format, options.split, head), "cannot read the labelled texts");
  const Predictions predictions = predict(session, head, data.texts);
  head.kind == ONEPASS_REGRESSION ? report_values(options, head, data, predictions)
                                  : report_labels(options, head, data, predictions);
}

}  // namespace onepass::cli
