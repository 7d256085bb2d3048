// onepass classify of a model that labels tokens: the entities of each text.
#include <cstdio>
#include <optional>
#include <utility>

#include "tools/cli/commands.h"
#include "tools/cli/common.h"
#include "tools/cli/policy.h"

namespace onepass::cli {

namespace {

constexpr std::pair<const char*, onepass_aggregation> kAggregations[] = {
    {"simple", ONEPASS_AGGREGATE_SIMPLE}, {"first", ONEPASS_AGGREGATE_FIRST}, {"average", ONEPASS_AGGREGATE_AVERAGE},
    {"max", ONEPASS_AGGREGATE_MAX},       {"none", ONEPASS_AGGREGATE_NONE},
};

onepass_entity_options entity_options(const ClassifyOptions& options) {
  onepass_entity_options o = ONEPASS_INIT(onepass_entity_options);
  o.on_long = options.on_long == "error" ? ONEPASS_LONG_ERROR : ONEPASS_LONG_TRUNCATE;
  o.max_tokens = options.max_tokens;
  for (const auto& [name, value] : kAggregations) {
    if (options.aggregation == name) o.aggregation = value;
  }
  return o;
}

// What one head found in one text, and with --logits its logits of every token.
struct Found {
  Entities entities;
  std::vector<onepass_token> tokens;
  std::vector<float> logits;  // [tokens, class_count]
};

// What the policy makes of a text. A label of high stakes is one that applies to a token of the text.
Verdict decide_text(const Model& model, const onepass_policy& policy, std::string_view text,
                    const TokenLabels& labels) {
  const auto decide_by = [&](const onepass_policy& rules, const float* scores) {
    Verdict verdict;
    onepass_verdict raw{};
    onepass_error error = ONEPASS_INIT(onepass_error);
    if (onepass_decide(model.get(), &rules, {text.data(), text.size()}, &labels.result, scores, &raw, &error) !=
        ONEPASS_OK) {
      fail("cannot apply the policy", error.where, error.message);
    }
    verdict.route = raw.route;
    verdict.reasons = raw.reasons;
    verdict.abstained = raw.abstained != 0;
    return verdict;
  };
  onepass_policy others = policy;
  others.high_stakes_labels = {nullptr, 0};
  const Verdict verdict = decide_by(others, nullptr);
  if (policy.high_stakes_labels.size == 0) return verdict;
  const size_t classes = model.info().class_count;
  for (size_t t = 0; t < labels.tokens.size(); ++t) {
    if (labels.tokens[t].begin == labels.tokens[t].end) continue;  // the template's
    const Verdict of_token = decide_by(policy, labels.scores.data() + t * classes);
    if ((of_token.reasons & ONEPASS_REASON_HIGH_STAKES) != 0) return of_token;
  }
  return verdict;
}

std::string part_of(std::string_view text, const Entity& e) {
  return std::string(text.substr(e.begin, e.end - e.begin));
}

std::string json_line(const Model& model, size_t index, std::string_view text, const std::vector<Found>& heads,
                      const Verdict& verdict, bool abstains) {
  const Entities& first = heads[0].entities;
  std::string out = "{\"i\":" + std::to_string(index) + ",\"tokens\":" + std::to_string(first.tokens()) +
                    ",\"truncated\":" + (first.truncated() ? "true" : "false") + ",\"chunks\":1,\"heads\":{";
  const size_t classes = model.info().class_count;
  for (const Head& head : model.heads()) {
    const Found& found = heads[head.index];
    out += (head.index == 0 ? "" : ",") + json_string(head.name) + ":{\"kind\":\"token_label\",\"entities\":[";
    const char* comma = "";
    for (const Entity& e : found.entities) {
      out += std::string(std::exchange(comma, ",")) + "{\"entity\":" + json_string(e.group) +
             ",\"score\":" + json_float(e.score) + ",\"begin\":" + std::to_string(e.begin) +
             ",\"end\":" + std::to_string(e.end) + ",\"text\":" + json_string(part_of(text, e)) + '}';
    }
    out += ']';
    if (!found.tokens.empty()) {
      std::string offsets, logits;
      for (size_t t = 0; t < found.tokens.size(); ++t) {
        comma = t == 0 ? "" : ",";
        offsets += std::string(comma) + '[' + std::to_string(found.tokens[t].begin) + ',' +
                   std::to_string(found.tokens[t].end) + ']';
        logits += std::string(comma) + '[';
        for (size_t c = 0; c < head.labels.size(); ++c) {
          logits += (c == 0 ? "" : ",") + json_float(found.logits[t * classes + head.first_class + c]);
        }
        logits += ']';
      }
      out += ",\"offsets\":[" + offsets + "],\"logits\":[" + logits + ']';
    }
    out += '}';
  }
  out += "},\"confidence\":" + json_float(first.confidence()) +
         ",\"route\":" + json_string(onepass_route_name(verdict.route)) + ",\"reasons\":[";
  const char* comma = "";
  for (const std::string_view reason : verdict.reason_names()) {
    out += std::exchange(comma, ",") + json_string(reason);
  }
  out += ']';
  if (abstains) out += std::string(",\"abstained\":") + (verdict.abstained ? "true" : "false");
  return out + "}\n";
}

void print(const Model& model, std::string_view text, const std::vector<Found>& heads, const Verdict& verdict) {
  std::printf("%.*s\n", static_cast<int>(text.size()), text.data());
  for (const Head& head : model.heads()) {
    const Found& found = heads[head.index];
    std::printf("  %.*s: %zu entities\n", static_cast<int>(head.name.size()), head.name.data(),
                found.entities.all().size());
    for (const Entity& e : found.entities) {
      std::printf("    %-16.*s %.2f  bytes %u to %u: %s\n", static_cast<int>(e.group.size()), e.group.data(),
                  static_cast<double>(e.score), e.begin, e.end, part_of(text, e).c_str());
    }
  }
  const Entities& first = heads[0].entities;
  std::printf("  confidence %.2f, %u tokens%s\n", static_cast<double>(first.confidence()), first.tokens(),
              first.truncated() ? " (the text was cut to fit)" : "");
  print_route(verdict);
}

}  // namespace

void run_entities(const ClassifyOptions& options, const Model& model, Session& session) {
  if (options.ids) throw Misused{"--ids: the model labels tokens, and entities are parts of a text"};
  if (options.on_long == "chunk") {
    throw Misused{"--on-long chunk: the model labels tokens, each by all of its text; pass parts of long texts"};
  }
  std::optional<PolicyFile> policy;
  if (!options.policy.empty()) policy.emplace(options.policy, model);
  const onepass_entity_options base = entity_options(options);
  onepass_classify_options of_text = ONEPASS_INIT(onepass_classify_options);
  of_text.on_long = base.on_long;
  of_text.max_tokens = base.max_tokens;
  TextSource source(options.texts, options.input);
  Progress progress("classify", source.known_size());
  // One text a call: an error names its line.
  for (size_t index = 0;; ++index) {
    const std::vector<std::string> texts = source.next(1);
    if (texts.empty()) break;
    const std::string& text = texts[0];
    const auto take_text = [&](auto result) {
      if (result) return std::move(result).value();
      Failure failure = result.error();
      failure.where = source.where(index);
      fail("cannot classify", failure);
    };
    std::vector<Found> found;
    Verdict verdict;
    for (const Head& head : model.heads()) {
      onepass_entity_options o = base;
      o.head = head.index;
      found.push_back({take_text(session.find_entities(text, o)), {}, {}});
      if (!options.logits && !(policy && head.index == 0)) continue;
      TokenLabels labels = take_text(session.label_tokens(text, of_text));
      if (policy && head.index == 0) verdict = decide_text(model, policy->get(), text, labels);
      if (!options.logits) continue;
      found.back().tokens = std::move(labels.tokens);
      found.back().logits = std::move(labels.logits);
    }
    if (options.json) {
      const std::string line = json_line(model, index, text, found, verdict, policy && policy->abstains());
      std::fwrite(line.data(), 1, line.size(), stdout);
    } else {
      print(model, text, found, verdict);
    }
    progress.advance(index + 1);
  }
}

}  // namespace onepass::cli
