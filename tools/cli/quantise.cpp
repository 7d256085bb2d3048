#include "tools/cli/quantise.h"

#include <cmath>
#include <cstdio>
#include <optional>

#include "formats/onepass/atomic_file.h"
#include "tools/cli/commands.h"
#include "tools/cli/common.h"
#include "tools/eval/dataset.h"
#include "tools/quantise/prune.h"
#include "tools/quantise/quantise.h"
#include "tools/quantise/search.h"

namespace onepass::cli {

namespace {

using quantise::Task;

// `most` of the texts, spread evenly.
std::vector<std::string> read_calibration(const ConvertOptions& o, QuantisationReport& report) {
  TextSource source({}, o.calibration);
  std::vector<std::string> all = source.next(SIZE_MAX), texts;
  std::erase_if(all, [](const std::string& text) { return text.find_first_not_of(" \t") == std::string::npos; });
  if (all.empty()) fail("cannot calibrate", o.calibration, "the file has no texts: give one a line");
  const size_t most = std::min<size_t>(o.calibration_texts, all.size());
  for (size_t i = 0; i < most; ++i) {
    std::string& text = all[i * all.size() / most];
    // Of a table the first column.
    if (o.calibration.ends_with(".tsv")) text = text.substr(0, text.find('\t'));
    texts.push_back(std::move(text));
  }
  report.lines.push_back("calibrated with " + std::to_string(most) + " of " + std::to_string(all.size()) +
                         (all.size() == 1 ? " text" : " texts"));
  return texts;
}

Head public_head(const HeadContent& content, size_t index) {
  Head head{};
  head.name = content.name;
  head.kind = static_cast<onepass_head_kind>(content.kind);
  head.index = static_cast<uint32_t>(index);
  head.labels.assign(content.labels.begin(), content.labels.end());
  return head;
}

struct EvalFile {
  std::string format, path;
};

EvalFile eval_file(const std::string& argument) {
  const size_t colon = argument.find(':');
  for (const char* format : {"goemotions", "emobank", "tsv", "jsonl"}) {
    if (colon != std::string::npos && argument.substr(0, colon) == format) return {format, argument.substr(colon + 1)};
  }
  const auto ends = [&](const char* end) { return argument.ends_with(end); };
  return {ends(".csv") ? "emobank" : ends(".jsonl") ? "jsonl" : "tsv", argument};
}

// The first head that fits the format, as `eval` has it.
Result<Task> read_task(const ConvertOptions& o, const EvalFile& file, const ModelContent& content) {
  for (size_t h = 0; h < content.heads.size(); ++h) {
    const HeadContent& head = content.heads[h];
    const bool regression = head.kind == HeadKind::regression;
    if (file.format == "emobank" ? !regression : file.format == "goemotions" && regression) continue;
    if (head.kind == HeadKind::token_label) continue;
    ONEPASS_TRY_ASSIGN(data, eval::read_dataset(file.path, file.format, o.eval_split, public_head(head, h)));
    Task task;
    task.head = h;
    task.metric = regression               ? Task::Metric::pearson
                  : o.metric == "macro_f1" ? Task::Metric::macro_f1
                  : o.metric == "micro_f1" ? Task::Metric::micro_f1
                                           : Task::Metric::macro_ap;
    task.name = head.name + " " + (regression ? "pearson" : o.metric);
    task.texts = std::move(data.texts);
    task.gold = std::move(data.gold);
    task.values = std::move(data.values);
    return task;
  }
  return make_error(Code::invalid_argument, Error::no_offset, file.path, "no head fits the format %s",
                    file.format.c_str());
}

Status write_text(const std::string& path, const std::string& text) {
  AtomicFile file;
  ONEPASS_TRY(file.open(path));
  ONEPASS_TRY(file.write(0, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  return file.commit();
}

void add_lines(const std::string& text, std::vector<std::string>& lines) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

// A bar that appears with the first work done.
class Bar {
 public:
  explicit Bar(const char* label) : label_(label) {}
  void operator()(size_t done, size_t total) {
    if (total != total_) bar_.emplace(label_, total_ = total);
    bar_->advance(done);
  }

 private:
  const char* label_;
  size_t total_ = 0;
  std::optional<Progress> bar_;
};

std::string method_of(const ConvertOptions& o) {
  return std::string(o.quantiser == "gptq"  ? "codes by GPTQ"
                     : o.quantiser == "awq" ? "codes to the nearest, inputs scaled (AWQ)"
                                            : "codes to the nearest, weighed by their inputs") +
         (o.smooth && o.quantiser != "awq" ? ", inputs scaled" : "");
}

Status prune(const ConvertOptions& o, const std::vector<std::string>& texts, QuantisationReport& report,
             ModelContent& f32, ModelContent& content) {
  Bar bar("prune");
  quantise::PruneOptions options{.heads = o.prune_heads, .ffn = o.prune_ffn, .texts = texts};
  ONEPASS_TRY_ASSIGN(done, quantise::prune(options, f32, content, [&](size_t a, size_t b) { bar(a, b); }));
  quantise::PrunedLayer sum;
  char line[200];
  for (size_t l = 0; l < done.layers.size(); ++l) {
    const quantise::PrunedLayer& p = done.layers[l];
    std::snprintf(line, sizeof(line),
                  "  layers.%-3zu %3u of %u heads, attention loses %.3e of its outputs; %5u of %u ffn columns, %.3e", l,
                  p.heads, p.of_heads, p.attention_lost, p.ffn_width, p.of_ffn_width, p.ffn_lost);
    report.lines.emplace_back(line);
    sum.heads += p.heads, sum.of_heads += p.of_heads;
    sum.ffn_width += p.ffn_width, sum.of_ffn_width += p.of_ffn_width;
  }
  std::snprintf(line, sizeof(line), "pruned to %u of %u heads and %u of %u ffn columns by %zu texts", sum.heads,
                sum.of_heads, sum.ffn_width, sum.of_ffn_width, texts.size());
  report.lines.emplace_back(line);
  content.metadata.quantisation += std::string("; ") + line;
  report.deviations.insert(report.deviations.end(), done.deviations.begin(), done.deviations.end());
  return {};
}

Status calibrate(const ConvertOptions& o, const quantise::Options& codes, const ModelContent& f32,
                 QuantisationReport& report, ModelContent& content) {
  Bar bar("quantise");
  ONEPASS_TRY_ASSIGN(done, quantise::quantise(f32, codes, content, [&](size_t a, size_t b) { bar(a, b); }));
  for (const quantise::ProductReport& p : done.products) {
    char line[160];
    std::snprintf(line, sizeof(line), "  %-26s loses %.3e of its outputs%s", p.name.c_str(), p.error,
                  p.scaled ? ", inputs scaled" : "");
    report.lines.emplace_back(line);
  }
  report.deviations.insert(report.deviations.end(), done.deviations.begin(), done.deviations.end());
  content.metadata.quantisation += "; " + method_of(o) + ", " + std::to_string(codes.texts.size()) + " texts";
  return {};
}

Status search(const ConvertOptions& o, const quantise::Options& codes, const ModelContent& f32,
              QuantisationReport& report, ModelContent& content) {
  quantise::SearchOptions options{.codes = codes, .max_drop = o.max_drop.value_or(0), .tasks = {}};
  for (const std::string& argument : o.eval_data) {
    ONEPASS_TRY_ASSIGN(task, read_task(o, eval_file(argument), content));
    options.tasks.push_back(std::move(task));
  }
  Bar bar("measure");
  ONEPASS_TRY_ASSIGN(found, quantise::search_precision(f32, options, content, [&](size_t a, size_t b) { bar(a, b); }));
  if (!o.sensitivity.empty()) {
    ONEPASS_TRY(write_text(o.sensitivity + ".json", quantise::effects_json(found.effects)));
    ONEPASS_TRY(
        write_text(o.sensitivity + ".svg",
                   quantise::effects_svg(found.effects, "What each tensor costs " + content.metadata.model_id)));
    add_lines(quantise::effects_table(found.effects), report.lines);
  }
  report.deviations.insert(report.deviations.end(), found.deviations.begin(), found.deviations.end());
  if (options.tasks.empty()) return {};
  for (const quantise::Measured& m : found.measured) {
    char line[160];
    std::snprintf(line, sizeof(line), "  %-28s f32 %.4f, this file %.4f (%+.4f)", m.name.c_str(), m.f32, m.chosen,
                  m.chosen - m.f32);
    report.lines.emplace_back(line);
  }
  char line[160];
  std::snprintf(line, sizeof(line), "the smallest of %zu files that keep every metric within %g", found.evaluations,
                options.max_drop);
  report.lines.emplace_back(line);
  std::string record = "products and embeddings mixed, the smallest that lose at most ";
  std::snprintf(line, sizeof(line), "%g of", options.max_drop);
  record += line;
  for (const quantise::Measured& m : found.measured) record += " " + m.name + ",";
  const std::string before = content.metadata.quantisation;
  const size_t vocabulary = before.find("; vocabulary ");
  content.metadata.quantisation = record + " activations int8, one scale per token" +
                                  (content.config.attention == AttentionType::i8 ? "; attention int8" : "") +
                                  "; heads, norms and biases f32; " + method_of(o) + ", " +
                                  std::to_string(codes.texts.size()) + " texts" +
                                  (vocabulary == std::string::npos ? "" : before.substr(vocabulary));
  return {};
}

void check(const ConvertOptions& o, const convert::Options& options) {
  const bool measures = o.max_drop.has_value() || !o.sensitivity.empty();
  const bool prunes = o.prune_heads > 0 || o.prune_ffn > 0;
  // A range accepts what is no number.
  if (!std::isfinite(o.prune_heads) || !std::isfinite(o.prune_ffn) || !std::isfinite(o.max_drop.value_or(0))) {
    throw Misused{"--prune-heads, --prune-ffn and --max-drop take a number"};
  }
  if (prunes && o.calibration.empty()) {
    throw Misused{"--prune-heads and --prune-ffn look at texts for what can be spared: give them with --calibration"};
  }
  if (prunes && o.max_drop) {
    throw Misused{
        "--max-drop counts from the model as it came, so it cannot be given with --prune-heads or --prune-ffn"};
  }
  if (o.calibration.empty() && (measures || o.smooth || o.quantiser == "gptq" || o.quantiser == "awq")) {
    throw Misused{"--quantiser, --smooth, --sensitivity and --max-drop look at texts: give them with --calibration"};
  }
  if (o.max_drop.has_value() != !o.eval_data.empty()) {
    throw Misused{"--max-drop needs labelled texts, and they need it: give --eval-data too"};
  }
  if (o.max_drop && (!o.weights.empty() || !o.embeddings.empty() || !o.positions.empty())) {
    throw Misused{
        "--max-drop chooses the types of products and tables: leave out --weights, --embeddings and --positions"};
  }
  const bool integers = options.weights != convert::WeightType::f32 && options.weights != convert::WeightType::f16;
  if (!o.calibration.empty() && !integers && o.sensitivity.empty() && !prunes) {
    throw Misused{"--calibration chooses codes, and float weights have none: use --weights int8 or int4"};
  }
}

}  // namespace

std::function<Status(ModelContent&)> quantisation(const ConvertOptions& o, const convert::Options& options,
                                                  QuantisationReport& report) {
  check(o, options);
  if (o.calibration.empty()) return {};
  quantise::Options codes;
  codes.quantiser = o.quantiser.empty() || o.quantiser == "gptq" ? quantise::Quantiser::gptq : quantise::Quantiser::rtn;
  codes.scale_inputs = o.smooth || o.quantiser == "awq";
  codes.texts = read_calibration(o, report);
  ConvertOptions named = o;
  if (named.quantiser.empty()) named.quantiser = "gptq";
  return [named, options, codes, &report](ModelContent& content) -> Status {
    convert::Options reference = options;
    reference.weights = convert::WeightType::f32;
    reference.embeddings = reference.positions = convert::WeightType::f32;
    reference.attention = AttentionType::f32;
    // What the model says of itself is asked when its codes are known.
    reference.store_prefix = false;
    reference.label_words.content_free.clear();
    reference.adjust = {};
    ONEPASS_TRY_ASSIGN(f32, convert::convert_folder(reference, nullptr));
    if (named.prune_heads > 0 || named.prune_ffn > 0) ONEPASS_TRY(prune(named, codes.texts, report, f32, content));
    if (named.max_drop) return search(named, codes, f32, report, content);
    if (!named.sensitivity.empty()) ONEPASS_TRY(search(named, codes, f32, report, content));
    if (options.weights == convert::WeightType::f32 || options.weights == convert::WeightType::f16) return {};
    return calibrate(named, codes, f32, report, content);
  };
}

}  // namespace onepass::cli
