#include "tools/convert/verify.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>

#include "engine/runtime/decide.h"
#include "engine/runtime/model.h"
#include "engine/runtime/session.h"

namespace onepass::convert {

namespace {

constexpr size_t kWorstTexts = 10;

Result<Model> build(const ModelContent& content) {
  ONEPASS_TRY_ASSIGN(bytes, serialize_model(content));
  return Model::from_memory(bytes, {.mode = LoadMode::copy, .verify = false});
}

// ln(1 + e^x).
double softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

double log_sum_exp(std::span<const float> logits, double temperature) {
  double highest = -INFINITY, sum = 0;
  for (const float x : logits) highest = std::max(highest, static_cast<double>(x) / temperature);
  for (const float x : logits) sum += std::exp(static_cast<double>(x) / temperature - highest);
  return highest + std::log(sum);
}

// From the logits, so that no probability is rounded to 0 or 1.
double divergence_of(const HeadView& head, std::span<const float> a, std::span<const float> b) {
  const auto temperature = static_cast<double>(head.temperature);
  double sum = 0;
  if (head.kind == HeadKind::multi_label) {
    for (size_t c = 0; c < a.size(); ++c) {
      const double x = static_cast<double>(a[c]) / temperature, y = static_cast<double>(b[c]) / temperature;
      const double p = 1 / (1 + std::exp(-x));
      sum += p * (softplus(-y) - softplus(-x)) + (1 - p) * (softplus(y) - softplus(x));
    }
    return std::max(sum / static_cast<double>(a.size()), 0.0);
  }
  const double all_a = log_sum_exp(a, temperature), all_b = log_sum_exp(b, temperature);
  for (size_t c = 0; c < a.size(); ++c) {
    const double log_p = static_cast<double>(a[c]) / temperature - all_a;
    sum += std::exp(log_p) * (log_p - (static_cast<double>(b[c]) / temperature - all_b));
  }
  return std::max(sum, 0.0);
}

size_t highest(std::span<const float> values) {
  return static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

struct Row {
  std::span<const float> logits, scores;  // of all heads, side by side
};

// Counts a text, or a token, in every head's report; false where some head's labels are not the same.
bool add_row(std::span<const HeadView> heads, const Row& a, const Row& b, std::vector<HeadReport>& reports) {
  size_t first = 0;
  bool all_same = true;
  for (size_t h = 0; h < heads.size(); ++h) {
    const size_t n = heads[h].labels.size();
    const auto score_a = a.scores.subspan(first, n), score_b = b.scores.subspan(first, n);
    const auto logit_a = a.logits.subspan(first, n), logit_b = b.logits.subspan(first, n);
    first += n;
    HeadReport& report = reports[h];
    if (!report.has_labels()) {
      for (size_t c = 0; c < n; ++c) {
        const double d = std::fabs(static_cast<double>(score_a[c]) - static_cast<double>(score_b[c]));
        report.max_value_difference = std::max(report.max_value_difference, d);
        report.mean_value_difference += d / static_cast<double>(n);
      }
      continue;
    }
    bool same = true;
    for (size_t c = 0; c < n; ++c) {
      same = same && label_applies(heads[h], score_a, c) == label_applies(heads[h], score_b, c);
    }
    report.agreement += same ? 1 : 0;
    report.top_agreement += highest(logit_a) == highest(logit_b) ? 1 : 0;
    const double kl = divergence_of(heads[h], logit_a, logit_b);
    report.mean_kl += kl;
    report.max_kl = std::max(report.max_kl, kl);
    all_same = all_same && same;
  }
  return all_same;
}

// The stages of the reference's pass over a text, and how far the candidate's are from them, summed over texts.
class StageErrors {
 public:
  StageObserver reference() {
    rows_.clear();
    next_ = 0;
    return {[](void* self, const char* stage, const float* rows, size_t count, size_t width) {
              static_cast<StageErrors*>(self)->keep(stage, {rows, count * width});
            },
            this};
  }
  StageObserver candidate() {
    return {[](void* self, const char*, const float* rows, size_t count, size_t width) {
              static_cast<StageErrors*>(self)->add({rows, count * width});
            },
            this};
  }
  std::vector<StageReport> reports() const {
    std::vector<StageReport> out;
    for (const Sum& sum : sums_) {
      out.push_back({sum.name, sum.reference > 0 ? std::sqrt(sum.difference / sum.reference) : 0});
    }
    return out;
  }

 private:
  struct Sum {
    std::string name;
    double difference = 0, reference = 0;  // sums of squares
  };

  void keep(const char* stage, std::span<const float> rows) {
    if (rows_.size() == sums_.size()) sums_.push_back({stage});
    rows_.emplace_back(rows.begin(), rows.end());
  }
  void add(std::span<const float> rows) {
    if (next_ >= rows_.size() || rows_[next_].size() != rows.size()) return;
    Sum& sum = sums_[next_];
    const std::vector<float>& reference = rows_[next_++];
    for (size_t i = 0; i < rows.size(); ++i) {
      const double a = static_cast<double>(reference[i]), d = a - static_cast<double>(rows[i]);
      sum.difference += d * d;
      sum.reference += a * a;
    }
  }

  std::vector<std::vector<float>> rows_;  // of the text at hand
  size_t next_ = 0;
  std::vector<Sum> sums_;
};

// One version of the model: what it makes of a text.
class Version {
 public:
  static Result<Version> create(const Model& model) {
    ONEPASS_TRY_ASSIGN(session, Session::create(model, {}));
    return Version(std::move(session));
  }

  Status read(const std::string& text) {
    ONEPASS_TRY_ASSIGN(tokens, session_.tokenize(text, {}));
    ids.assign(tokens.ids.begin(), tokens.ids.end());
    return {};
  }
  // The contents of the tokens: their numbers are others in another vocabulary.
  std::vector<std::string_view> pieces() const {
    std::vector<std::string_view> out;
    for (const uint32_t id : ids) out.push_back(session_.model().tokenizer().token(id));
    return out;
  }
  Status run(const StageObserver& observer) {
    const Model& model = session_.model();
    const uint32_t starts[] = {0, static_cast<uint32_t>(ids.size())};
    rows = model.config().logit_rows(ids.size(), 1);
    logits.resize(rows * model.total_classes());
    scores.resize(logits.size());
    ONEPASS_TRY(session_.run_ids(ids, starts, logits, observer));
    for (size_t row = 0; row < rows; ++row) {
      const size_t at = row * model.total_classes();
      all_scores(model.heads(), logits.data() + at, scores.data() + at);
    }
    return {};
  }
  Row row(size_t i) const {
    const size_t classes = session_.model().total_classes();
    return {std::span(logits).subspan(i * classes, classes), std::span(scores).subspan(i * classes, classes)};
  }

  std::vector<uint32_t> ids;
  size_t rows = 0;
  std::vector<float> logits, scores;

 private:
  explicit Version(Session session) : session_(std::move(session)) {}
  Session session_;
};

void add_worst(const TextReport& text, std::vector<TextReport>& worst) {
  const auto at = std::find_if(worst.begin(), worst.end(),
                               [&](const TextReport& other) { return text.difference > other.difference; });
  worst.insert(at, text);
  if (worst.size() > kWorstTexts) worst.pop_back();
}

[[gnu::format(printf, 2, 3)]] void append(std::string& out, const char* format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  std::string text(static_cast<size_t>(std::vsnprintf(nullptr, 0, format, arguments)), ' ');
  std::vsnprintf(text.data(), text.size() + 1, format, again);
  va_end(again);
  va_end(arguments);
  out += text;
}

double percent(size_t part, size_t all) {
  return all == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(all);
}

}  // namespace

Result<Report> compare(const ModelContent& reference, const ModelContent& candidate,
                       const std::vector<std::string>& texts, const std::function<void(size_t)>& progress) noexcept
    try {
  ONEPASS_TRY_ASSIGN(model_a, build(reference));
  ONEPASS_TRY_ASSIGN(model_b, build(candidate));
  ONEPASS_TRY_ASSIGN(a, Version::create(model_a));
  ONEPASS_TRY_ASSIGN(b, Version::create(model_b));
  Report report;
  for (const HeadView& head : model_a.heads()) {
    HeadReport one;
    one.name = head.name;
    one.kind = head.kind;
    report.heads.push_back(std::move(one));
  }
  double rows_seen = 0;
  StageErrors stages;
  for (size_t i = 0; i < texts.size(); ++i) {
    ONEPASS_TRY(a.read(texts[i]));
    ONEPASS_TRY(b.read(texts[i]));
    const bool same_tokens = a.pieces() == b.pieces();
    report.other_tokens += !same_tokens;
    report.reference_tokens += a.ids.size();
    report.candidate_tokens += b.ids.size();
    progress(i + 1);
    if (model_a.labels_tokens() && a.ids.size() != b.ids.size()) {
      ++report.not_compared;
      continue;
    }
    ONEPASS_TRY(a.run(same_tokens ? stages.reference() : StageObserver()));
    ONEPASS_TRY(b.run(same_tokens ? stages.candidate() : StageObserver()));
    TextReport text{i};
    for (size_t c = 0; c < a.logits.size(); ++c) {
      const double d = std::fabs(static_cast<double>(a.logits[c]) - static_cast<double>(b.logits[c]));
      report.mean_difference += d;
      text.difference = std::max(text.difference, d);
    }
    report.max_difference = std::max(report.max_difference, text.difference);
    for (size_t row = 0; row < a.rows; ++row) {
      if (!add_row(model_a.heads(), a.row(row), b.row(row), report.heads)) text.same_labels = false;
    }
    add_worst(text, report.worst);
    rows_seen += static_cast<double>(a.rows);
  }
  report.texts = texts.size();
  report.stages = stages.reports();
  const double rows = std::max(rows_seen, 1.0);
  report.mean_difference /= rows * static_cast<double>(model_a.total_classes());
  for (HeadReport& head : report.heads) {
    for (double* sum : {&head.agreement, &head.top_agreement, &head.mean_kl, &head.mean_value_difference}) *sum /= rows;
  }
  return report;
} catch (const std::exception& error) {
  return make_error(Code::out_of_memory, Error::no_offset, "verify", "%s", error.what());
}

std::string report_text(const Report& report) {
  std::string out;
  append(out, "against f32 on %zu texts: logits differ by %.6f at most, %.6f on average\n", report.texts,
         report.max_difference, report.mean_difference);
  for (const HeadReport& head : report.heads) {
    const char* const name = head.name.c_str();
    if (head.has_labels()) {
      const char* const of = head.kind == HeadKind::token_label ? "tokens" : "texts";
      append(out, "  head %s: the same labels on %.3f %% of the %s, the same highest label on %.3f %%; ", name,
             100 * head.agreement, of, 100 * head.top_agreement);
      append(out, "KL %.6f on average, %.6f at most\n", head.mean_kl, head.max_kl);
    } else {
      append(out, "  head %s: values differ by %.6f at most, %.6f on average\n", name, head.max_value_difference,
             head.mean_value_difference);
    }
  }
  if (report.other_tokens != 0) {
    append(out, "  other tokens than before in %zu texts (%.2f %%), %.2f %% more in all\n", report.other_tokens,
           percent(report.other_tokens, report.texts), percent(report.candidate_tokens, report.reference_tokens) - 100);
  }
  if (report.not_compared != 0) {
    append(out, "  %zu texts are not compared: their numbers of tokens differ\n", report.not_compared);
  }
  out += "  error after each stage, relative to f32:\n";
  for (const StageReport& stage : report.stages) {
    append(out, "    %-12.60s %.6f\n", stage.name.c_str(), stage.relative_error);
  }
  out += "  texts that differ most, counted from 0:";
  for (const TextReport& text : report.worst) {
    append(out, "%s %zu (%.6f%s)", &text == report.worst.data() ? "" : ",", text.text, text.difference,
           text.same_labels ? "" : ", other labels");
  }
  return out + "\n";
}

}  // namespace onepass::convert
