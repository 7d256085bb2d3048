#include "tools/cli/policy.h"

#include <algorithm>
#include <cstdio>

#include "formats/json/json.h"
#include "tools/cli/common.h"

namespace onepass::cli {

namespace {

constexpr const char* kWhat = "cannot read the policy";

float probability(const JsonNode& node, const char* key) {
  const auto value = take(node.optional_number(key), kWhat);
  if (!value.has_value()) return 0;
  if (!(*value >= 0 && *value <= 1)) fail(kWhat, node.path_of(key), "must be 0 to 1");
  return static_cast<float>(*value);
}

int flag(const JsonNode& node, const char* key) { return take(node.optional_boolean(key), kWhat).value_or(false); }

// An entry a line. An absent list stays as it is; an empty one matches nothing.
void list(const JsonNode& node, const char* key, std::string& storage, onepass_string& to) {
  const auto array = take(node.optional_array(key), kWhat);
  if (!array.has_value()) return;
  for (const std::string& entry : take(array->as_strings(), kWhat)) {
    if (entry.empty() || entry.find('\n') != std::string::npos) {
      fail(kWhat, node.path_of(key), "an entry must not be empty nor have a line break");
    }
    storage += (storage.empty() ? "" : "\n") + entry;
  }
  to = {storage.data(), storage.size()};
}

}  // namespace

PolicyFile::PolicyFile(const std::string& path, const Model& model) {
  const Json json = take(read_json_file(path, size_t{1} << 20), kWhat);
  const JsonNode node(json, path);
  take(node.expect_object(), kWhat);
  take(node.only({"min_confidence", "abstain_below", "max_tokens", "negation_and_sarcasm", "offline", "high_stakes",
                  "high_stakes_labels", "negations", "sarcasm_markers"}),
       kWhat);
  policy_.min_confidence = probability(node, "min_confidence");
  policy_.abstain_below = probability(node, "abstain_below");
  policy_.max_tokens = static_cast<uint32_t>(take(node.optional_u64("max_tokens", 0, UINT32_MAX), kWhat).value_or(0));
  policy_.negation_and_sarcasm = flag(node, "negation_and_sarcasm");
  policy_.offline = flag(node, "offline");
  policy_.high_stakes = flag(node, "high_stakes");
  list(node, "high_stakes_labels", high_stakes_labels_, policy_.high_stakes_labels);
  list(node, "negations", negations_, policy_.negations);
  list(node, "sarcasm_markers", sarcasm_markers_, policy_.sarcasm_markers);
  if (!node.has("high_stakes_labels")) return;
  for (const std::string& label : take(take(node.array("high_stakes_labels"), kWhat).as_strings(), kWhat)) {
    const bool known = std::any_of(model.heads().begin(), model.heads().end(), [&](const Head& head) {
      return head.kind != ONEPASS_REGRESSION &&
             std::find(head.labels.begin(), head.labels.end(), label) != head.labels.end();
    });
    if (!known) fail(kWhat, node.path_of("high_stakes_labels"), "no head of this model has the label " + label);
  }
}

void print_route(const Verdict& verdict) {
  if (verdict.reasons == 0 && !verdict.abstained) return;
  std::printf("  route %s:", onepass_route_name(verdict.route));
  for (const std::string_view reason : verdict.reason_names()) {
    std::printf(" %.*s", static_cast<int>(reason.size()), reason.data());
  }
  std::printf("%s\n", verdict.abstained ? " (no answer: the confidence is too low)" : "");
}

}  // namespace onepass::cli
