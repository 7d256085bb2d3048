#include "tools/convert/verify.h"

#include <algorithm>
#include <cmath>

#include "engine/runtime/decide.h"
#include "engine/runtime/model.h"
#include "engine/runtime/session.h"

namespace onepass::convert {

namespace {

Result<Model> build(const ModelContent& content) {
  ONEPASS_TRY_ASSIGN(bytes, serialize_model(content));
  return Model::from_memory(bytes, {.mode = LoadMode::copy, .verify = false});
}

// Counts the labels of a text, or of a token, that two versions agree on.
void add_row(std::span<const HeadView> heads, const std::vector<float>& scores_a, const std::vector<float>& scores_b,
             std::vector<HeadReport>& reports) {
  size_t first = 0;
  for (size_t h = 0; h < heads.size(); ++h) {
    const size_t n = heads[h].labels.size();
    const std::span<const float> a(scores_a.data() + first, n), b(scores_b.data() + first, n);
    bool same = true;
    for (size_t c = 0; c < n; ++c) {
      same = same && label_applies(heads[h], a, c) == label_applies(heads[h], b, c);
      const double difference = std::fabs(static_cast<double>(a[c]) - static_cast<double>(b[c]));
      reports[h].max_value_difference = std::max(reports[h].max_value_difference, difference);
    }
    reports[h].agreement += same ? 1 : 0;
    first += n;
  }
}

}  // namespace

Result<Report> compare(const ModelContent& reference, const ModelContent& candidate,
                       const std::vector<std::string>& texts, const std::function<void(size_t)>& progress) noexcept
    try {
  ONEPASS_TRY_ASSIGN(model_a, build(reference));
  ONEPASS_TRY_ASSIGN(model_b, build(candidate));
  ONEPASS_TRY_ASSIGN(session_a, Session::create(model_a, {}));
  ONEPASS_TRY_ASSIGN(session_b, Session::create(model_b, {}));
  const size_t classes = model_a.total_classes();
  Report report;
  for (const HeadView& head : model_a.heads()) {
    report.heads.push_back({std::string(head.name), head.kind != HeadKind::regression, 0, 0});
  }
  double rows_seen = 0;
  std::vector<float> scores_a(classes), scores_b(classes);
  for (size_t i = 0; i < texts.size(); ++i) {
    ONEPASS_TRY_ASSIGN(tokens, session_a.tokenize(texts[i], {}));
    const std::vector<uint32_t> ids(tokens.ids.begin(), tokens.ids.end());
    const uint32_t starts[] = {0, static_cast<uint32_t>(ids.size())};
    const size_t rows = model_a.config().logit_rows(ids.size(), 1);
    std::vector<float> logits_a(rows * classes), logits_b(rows * classes);
    ONEPASS_TRY(session_a.run_ids(ids, starts, logits_a));
    ONEPASS_TRY(session_b.run_ids(ids, starts, logits_b));
    for (size_t row = 0; row < rows; ++row) {
      const float *a = logits_a.data() + row * classes, *b = logits_b.data() + row * classes;
      for (size_t c = 0; c < classes; ++c) {
        const double difference = std::fabs(static_cast<double>(a[c]) - static_cast<double>(b[c]));
        report.mean_difference += difference;
        if (difference > report.max_difference) {
          report.max_difference = difference;
          report.worst_text = i;
        }
      }
      all_scores(model_a.heads(), a, scores_a.data());
      all_scores(model_b.heads(), b, scores_b.data());
      add_row(model_a.heads(), scores_a, scores_b, report.heads);
    }
    rows_seen += static_cast<double>(rows);
    progress(i + 1);
  }
  if (rows_seen > 0) report.mean_difference /= rows_seen * static_cast<double>(classes);
  for (HeadReport& head : report.heads) head.agreement /= std::max(rows_seen, 1.0);
  return report;
} catch (const std::exception& error) {
  return make_error(Code::out_of_memory, Error::no_offset, "verify", "%s", error.what());
}

}  // namespace onepass::convert
