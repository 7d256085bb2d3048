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

}  // namespace

Result<Report> compare(const ModelContent& reference, const ModelContent& candidate,
                       const std::vector<std::string>& texts, const std::function<void(size_t)>& progress) noexcept
    try {
  ONEPASS_TRY_ASSIGN(model_a, build(reference));
  ONEPASS_TRY_ASSIGN(model_b, build(candidate));
  ONEPASS_TRY_ASSIGN(session_a, Session::create(model_a, {}));
  ONEPASS_TRY_ASSIGN(session_b, Session::create(model_b, {}));
  const size_t classes = model_a.total_classes();
  std::vector<float> logits_a(classes), logits_b(classes), scores_a(classes), scores_b(classes);
  Report report;
  for (const HeadView& head : model_a.heads()) {
    report.heads.push_back({std::string(head.name), head.kind != HeadKind::regression, 0, 0});
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string_view text = texts[i];
    TextResult result;
    ONEPASS_TRY(session_a.classify({&text, 1}, {}, {&result, 1}, logits_a, scores_a));
    ONEPASS_TRY(session_b.classify({&text, 1}, {}, {&result, 1}, logits_b, scores_b));
    for (size_t c = 0; c < classes; ++c) {
      const double difference = std::fabs(static_cast<double>(logits_a[c]) - static_cast<double>(logits_b[c]));
      report.mean_difference += difference / static_cast<double>(classes * texts.size());
      if (difference > report.max_difference) {
        report.max_difference = difference;
        report.worst_text = i;
      }
    }
    size_t first = 0;
    for (size_t h = 0; h < report.heads.size(); ++h) {
      const HeadView& head = model_a.heads()[h];
      const size_t n = head.labels.size();
      const std::span<const float> a(scores_a.data() + first, n), b(scores_b.data() + first, n);
      bool same = true;
      for (size_t c = 0; c < n; ++c) {
        same = same && label_applies(head, a, c) == label_applies(head, b, c);
        report.heads[h].max_value_difference = std::max(
            report.heads[h].max_value_difference, std::fabs(static_cast<double>(a[c]) - static_cast<double>(b[c])));
      }
      report.heads[h].agreement += (same ? 1.0 : 0.0) / static_cast<double>(texts.size());
      first += n;
    }
    progress(i + 1);
  }
  return report;
} catch (const std::exception& error) {
  return make_error(Code::out_of_memory, Error::no_offset, "verify", "%s", error.what());
}

}  // namespace onepass::convert
