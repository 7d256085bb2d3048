#include "engine/runtime/decide.h"

#include <algorithm>

#include "engine/core/fp_environment.h"
#include "kernels/ref/math_ref.h"

namespace onepass {

namespace {

size_t best(std::span<const float> values) noexcept {
  size_t at = 0;
  for (size_t i = 1; i < values.size(); ++i) {
    if (values[i] > values[at]) at = i;
  }
  return at;
}

float sigmoid(float x) noexcept {
  // exp of a negative number in both branches: no overflow.
  const float e = kernels::ref::exp_f32(x < 0 ? x : -x);
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

}  // namespace

void head_scores(const HeadView& head, std::span<const float> logits, std::span<float> scores) noexcept {
  switch (head.kind) {
    case HeadKind::single_label:
    case HeadKind::token_label: {
      const float top = logits[best(logits)];
      float sum = 0;
      for (size_t i = 0; i < logits.size(); ++i) {
        scores[i] = kernels::ref::exp_f32((logits[i] - top) / head.temperature);
        sum += scores[i];
      }
      for (float& s : scores) s /= sum;
      break;
    }
    case HeadKind::multi_label:
      for (size_t i = 0; i < logits.size(); ++i) scores[i] = sigmoid(logits[i] / head.temperature);
      break;
    case HeadKind::regression:
      for (size_t i = 0; i < logits.size(); ++i) scores[i] = std::clamp(logits[i], head.range_low, head.range_high);
      break;
  }
}

bool label_applies(const HeadView& head, std::span<const float> scores, size_t label) noexcept {
  switch (head.kind) {
    case HeadKind::single_label:
    case HeadKind::token_label:
      return best(scores) == label;
    case HeadKind::multi_label:
      return scores[label] >= head.thresholds[label];
    case HeadKind::regression:
      break;
  }
  return false;
}

float head_confidence(const HeadView& head, std::span<const float> scores) noexcept {
  return head.kind == HeadKind::regression ? 1.0f : scores[best(scores)];
}

float all_scores(std::span<const HeadView> heads, const float* logits, float* scores) noexcept {
  const FpEnvironment guard;
  float confidence = 1;
  bool first_label_head = true;
  for (const HeadView& head : heads) {
    const size_t classes = head.labels.size();
    head_scores(head, {logits, classes}, {scores, classes});
    if (first_label_head && head.kind != HeadKind::regression) {
      confidence = head_confidence(head, {scores, classes});
      first_label_head = false;
    }
    logits += classes;
    scores += classes;
  }
  return confidence;
}

}  // namespace onepass
