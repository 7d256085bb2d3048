// The C ABI over policies and divergences.
#include <cmath>

#include "engine/api/handles.h"
#include "engine/runtime/divergence.h"
#include "engine/runtime/policy.h"

namespace {

using namespace onepass::api;

static_assert(ONEPASS_ROUTE_LOCAL == static_cast<int>(onepass::Route::local));
static_assert(ONEPASS_ROUTE_CLOUD == static_cast<int>(onepass::Route::cloud));
static_assert(ONEPASS_ROUTE_LOCAL_UNCERTAIN == static_cast<int>(onepass::Route::local_uncertain));
static_assert(ONEPASS_REASON_LOW_CONFIDENCE == onepass::low_confidence &&
              ONEPASS_REASON_NEGATION == onepass::negation && ONEPASS_REASON_SARCASM == onepass::sarcasm &&
              ONEPASS_REASON_TOO_LONG == onepass::too_long && ONEPASS_REASON_OFFLINE == onepass::offline &&
              ONEPASS_REASON_HIGH_STAKES == onepass::high_stakes);

bool is_probability(float value) noexcept { return value >= 0 && value <= 1; }

}  // namespace

namespace onepass::api {

onepass_status read_policy(const onepass_policy* given, Policy* to, onepass_error* error) noexcept {
  if (const auto bad = check_options(given, "onepass_policy", error); bad != ONEPASS_OK) return bad;
  const auto policy = read_options(given);
  if (!is_probability(policy.min_confidence)) return invalid("min_confidence", "must be 0 to 1", error);
  if (!is_probability(policy.abstain_below)) return invalid("abstain_below", "must be 0 to 1", error);
  const std::pair<const char*, onepass_string> lists[] = {{"high_stakes_labels", policy.high_stakes_labels},
                                                          {"negations", policy.negations},
                                                          {"sarcasm_markers", policy.sarcasm_markers}};
  for (const auto& [name, list] : lists) {
    if (list.data == nullptr && list.size != 0) return invalid(name, "is NULL with a size", error);
  }
  *to = {.min_confidence = policy.min_confidence,
         .max_tokens = policy.max_tokens,
         .negation_and_sarcasm = policy.negation_and_sarcasm != 0,
         .offline = policy.offline != 0,
         .high_stakes = policy.high_stakes != 0,
         .abstain_below = policy.abstain_below,
         .high_stakes_labels = view(policy.high_stakes_labels),
         .negations = view(policy.negations),
         .sarcasm_markers = view(policy.sarcasm_markers)};
  return ONEPASS_OK;
}

onepass_verdict verdict_of(const Verdict& verdict) noexcept {
  return {static_cast<onepass_route>(verdict.route), verdict.reasons, verdict.abstained ? 1u : 0u};
}

}  // namespace onepass::api

ONEPASS_API const char* onepass_route_name(onepass_route route) {
  const uint32_t value = number(route);
  return value < onepass::route_count ? onepass::route_name(static_cast<onepass::Route>(value)) : "";
}

ONEPASS_API const char* onepass_reason_name(uint32_t reason) {
  for (uint32_t bit = 0; bit < onepass::reason_count; ++bit) {
    if (reason == 1u << bit) return onepass::reason_name(bit);
  }
  return "";
}

ONEPASS_API onepass_status onepass_decide(const onepass_model* model, const onepass_policy* given, onepass_string text,
                                          const onepass_result* result, const float* scores, onepass_verdict* verdict,
                                          onepass_error* error) {
  if (verdict == nullptr) return null_argument("verdict", error);
  if (model == nullptr) return null_argument("model", error);
  if (result == nullptr) return null_argument("result", error);
  if (text.data == nullptr && text.size != 0) return null_argument("text", error);
  onepass::Policy policy;
  if (const auto bad = read_policy(given, &policy, error); bad != ONEPASS_OK) return bad;
  if (scores == nullptr && !policy.high_stakes_labels.empty()) {
    return invalid("scores", "must not be NULL where the policy names labels", error);
  }
  const size_t classes = scores == nullptr ? 0 : model->model.total_classes();
  const auto heads = scores == nullptr ? std::span<const onepass::HeadView>() : model->model.heads();
  *verdict = verdict_of(
      onepass::decide(policy, heads, {view(text), result->text_tokens, result->confidence, {scores, classes}}));
  return ONEPASS_OK;
}

ONEPASS_API onepass_status onepass_compare(const onepass_model* model, uint32_t head, const float* ours,
                                           const float* theirs, onepass_divergence* divergence, onepass_error* error) {
  if (divergence == nullptr) return null_argument("divergence", error);
  if (!has_size(divergence))
    return invalid("divergence", "its struct_size is 0: initialise it with ONEPASS_INIT", error);
  if (model == nullptr) return null_argument("model", error);
  const auto* h = find_head(model, head);
  if (h == nullptr) return invalid("head", "the model has no head of that number", error);
  if (ours == nullptr || theirs == nullptr) return null_argument(ours == nullptr ? "ours" : "theirs", error);
  const size_t classes = h->labels.size();
  for (const float* scores : {ours, theirs}) {
    for (size_t c = 0; c < classes; ++c) {
      if (!std::isfinite(scores[c]) || (h->kind != onepass::HeadKind::regression && !is_probability(scores[c]))) {
        return report(onepass::make_error(onepass::Code::invalid_argument, onepass::Error::no_offset,
                                          scores == ours ? "ours" : "theirs",
                                          "score %zu is not one of this head: pass scores, not logits", c),
                      error);
      }
    }
  }
  const auto d = onepass::divergence(*h, {ours, classes}, {theirs, classes});
  onepass_divergence value{};
  value.total_variation = d.total_variation;
  value.label_flips = d.label_flips;
  value.distance = d.distance;
  fill(value, divergence);
  return ONEPASS_OK;
}
