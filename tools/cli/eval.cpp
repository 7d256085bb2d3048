// onepass eval: task metrics of one head on labelled texts.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <optional>

#include "tools/cli/commands.h"
#include "tools/cli/common.h"
#include "tools/cli/policy.h"
#include "tools/eval/dataset.h"
#include "tools/eval/metrics.h"
#include "tools/eval/selective.h"

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
  std::vector<Verdict> verdicts;   // with a policy
  std::vector<float> confidences;  // the highest score of the head
};

Predictions predict(Session& session, const Head& head, const std::vector<std::string>& texts,
                    const onepass_policy* policy) {
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
      out.confidences.push_back(
          *std::max_element(out.scores.end() - static_cast<std::ptrdiff_t>(head.labels.size()), out.scores.end()));
      if (policy == nullptr) continue;
      out.verdicts.push_back(take(decide(c, texts[out.verdicts.size()], *policy), "cannot apply the policy"));
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

void write_file(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) fail("cannot write the plot", path, "the file cannot be written");
}

std::string title_of(const EvalOptions& options, const Model& model, const char* what) {
  const onepass_model_info& info = model.info();
  return std::string(what) + ": " + std::string(info.model_id.data, info.model_id.size) + " on " +
         options.data.substr(options.data.find_last_of('/') + 1);
}

std::vector<eval::Judged> judge(const eval::Dataset& data, const Predictions& p, size_t classes) {
  std::vector<eval::Judged> texts(data.texts.size());
  for (size_t b = 0; b < texts.size(); ++b) {
    const auto scores = std::span(p.scores).subspan(b * classes, classes);
    const uint8_t* gold = data.gold.data() + b * classes;
    eval::Judged& t = texts[b];
    t.confidence = p.confidences[b];
    t.right = gold[std::max_element(scores.begin(), scores.end()) - scores.begin()] != 0;
    if (!p.verdicts.empty()) t.eligible = (p.verdicts[b].reasons & ~ONEPASS_REASON_LOW_CONFIDENCE) == 0;
    for (size_t c = 0; c < classes; ++c) {
      const bool said = p.applies[b * classes + c] != 0;
      t.tp += said && gold[c] != 0;
      t.fp += said && gold[c] == 0;
      t.fn += !said && gold[c] != 0;
    }
  }
  return texts;
}

std::string json_kept(const eval::Kept& k) {
  return "{\"min_confidence\":" + json_double(k.threshold) + ",\"kept\":" + json_double(k.share) +
         ",\"accuracy\":" + json_double(k.accuracy) + ",\"micro_f1\":" + json_double(k.micro_f1) +
         ",\"accuracy_sent\":" + json_double(k.accuracy_sent) + "}";
}

// Share kept local against how right it is, for the policy's own threshold and others.
void report_policy(const EvalOptions& options, const Model& model, const Head& head, const eval::Dataset& data,
                   const Predictions& p, const onepass_policy& policy) {
  const auto texts = judge(data, p, head.labels.size());
  const eval::Kept chosen = eval::keep(texts, static_cast<double>(policy.min_confidence));
  std::vector<eval::Kept> curve;
  for (int step = 0; step < 20; ++step) curve.push_back(eval::keep(texts, step / 20.0));
  if (!options.plot.empty()) {
    write_file(options.plot, eval::trade_off_svg(title_of(options, model, "Kept local"), curve, chosen));
  }
  size_t reasons[6] = {};
  for (const Verdict& v : p.verdicts) {
    for (size_t bit = 0; bit < std::size(reasons); ++bit) reasons[bit] += (v.reasons >> bit & 1) != 0;
  }
  if (options.json) {
    std::string out = "{\"n\":" + std::to_string(texts.size()) + ",\"head\":" + json_string(head.name) +
                      ",\"policy\":" + json_kept(chosen) + ",\"reasons\":{";
    for (size_t bit = 0; bit < std::size(reasons); ++bit) {
      out += (bit == 0 ? "" : ",") + json_string(onepass_reason_name(1u << bit)) + ':' + std::to_string(reasons[bit]);
    }
    out += "},\"curve\":[";
    for (size_t i = 0; i < curve.size(); ++i) out += (i == 0 ? "" : ",") + json_kept(curve[i]);
    std::printf("%s]}\n", out.c_str());
    return;
  }
  std::printf("%zu texts, head %.*s\n  %-12s %8s %10s %10s %12s\n", texts.size(), static_cast<int>(head.name.size()),
              head.name.data(), "confidence", "kept", "right", "micro-F1", "right, sent");
  const auto row = [](const eval::Kept& k, const char* mark) {
    std::printf("  %s %-9.3g %8s %10s %10s %12s\n", mark, k.threshold, decimal(k.share).c_str(),
                decimal(k.accuracy).c_str(), decimal(k.micro_f1).c_str(), decimal(k.accuracy_sent).c_str());
  };
  for (const eval::Kept& k : curve) row(k, ">=");
  std::printf("the policy\n");
  row(chosen, ">=");
  for (size_t bit = 0; bit < std::size(reasons); ++bit) {
    if (reasons[bit] != 0) std::printf("  %-16s %zu texts\n", onepass_reason_name(1u << bit), reasons[bit]);
  }
}

// Said against true: every score of every label, and the confidence.
void write_reliability(const EvalOptions& options, const Model& model, const Head& head, const eval::Dataset& data,
                       const Predictions& p) {
  std::vector<uint8_t> right;
  for (const eval::Judged& t : judge(data, p, head.labels.size())) right.push_back(t.right);
  const eval::Diagram diagrams[] = {{"all scores", eval::reliability(p.scores, data.gold, 15)},
                                    {"confidence", eval::reliability(p.confidences, right, 15)}};
  write_file(options.reliability, eval::reliability_svg(title_of(options, model, "Reliability"), diagrams));
}

}  // namespace

void run_eval(const EvalOptions& options) {
  const Model model = options.session.open_model(options.model);
  Session session = options.session.open_session(model);
  const Head& head = choose_head(model, options);
  const eval::Dataset data =
      take(eval::read_dataset(options.data, options.format, options.split, head), "cannot read the labelled texts");
  const bool labels = head.kind != ONEPASS_REGRESSION;
  if (!labels && (!options.policy.empty() || !options.reliability.empty())) {
    fail("cannot evaluate", std::string(head.name),
         "a regression head has no confidence: choose a label head by --head");
  }
  std::optional<PolicyFile> file;
  onepass_policy policy = ONEPASS_INIT(onepass_policy);
  if (!options.policy.empty()) {
    file.emplace(options.policy, model);
    policy = file->get();
    policy.offline = 0;  // the question is what would leave
  }
  const Predictions predictions = predict(session, head, data.texts, file ? &policy : nullptr);
  if (!options.reliability.empty()) write_reliability(options, model, head, data, predictions);
  if (file) return report_policy(options, model, head, data, predictions, policy);
  labels ? report_labels(options, head, data, predictions) : report_values(options, head, data, predictions);
}

}  // namespace onepass::cli
