// onepass classify: texts to labels, values, confidence.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <optional>

#include "tools/cli/commands.h"
#include "tools/cli/common.h"
#include "tools/cli/pipeline.h"
#include "tools/cli/policy.h"

namespace onepass::cli {

namespace {

// One text's outcome, whichever way it came in.
struct Outcome {
  onepass_result result{};
  std::vector<float> scores, logits;
  std::vector<Chunk> chunks{};  // where they were asked for
  Verdict verdict{};
};

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

void append_list(std::string& out, const auto& values, const auto& format) {
  out += '[';
  bool first = true;
  for (const auto& v : values) {
    if (!std::exchange(first, false)) out += ',';
    out += format(v);
  }
  out += ']';
}

void append_map(std::string& out, const Head& head, const float* values) {
  out += '{';
  for (size_t c = 0; c < head.labels.size(); ++c) {
    if (c != 0) out += ',';
    out += json_string(head.labels[c]) + ':' + json_float(values[c]);
  }
  out += '}';
}

// The heads of a text or of a chunk, which has no logits.
void append_heads(std::string& out, const Model& model, const std::vector<float>& all_scores,
                  std::span<const float> logits) {
  out += "\"heads\":{";
  for (const Head& head : model.heads()) {
    if (head.index != 0) out += ',';
    const float* scores = all_scores.data() + head.first_class;
    out += json_string(head.name) + ":{\"kind\":";
    std::vector<std::string_view> applying;
    for (uint32_t c = 0; c < head.labels.size(); ++c) {
      if (onepass_label_applies(model.get(), head.index, c, all_scores.data())) applying.push_back(head.labels[c]);
    }
    switch (head.kind) {
      case ONEPASS_SINGLE_LABEL:
        out += "\"single_label\",\"scores\":";
        append_map(out, head, scores);
        out += ",\"label\":" + json_string(applying.empty() ? "" : applying.front());
        break;
      case ONEPASS_MULTI_LABEL:
        out += "\"multi_label\",\"scores\":";
        append_map(out, head, scores);
        out += ",\"labels\":";
        append_list(out, applying, json_string);
        break;
      case ONEPASS_REGRESSION:
        out += "\"regression\",\"values\":";
        append_map(out, head, scores);
        break;
      case ONEPASS_TOKEN_LABEL:  // run_entities
        break;
    }
    if (!logits.empty()) {
      out += ",\"logits\":";
      append_list(out, logits.subspan(head.first_class, head.labels.size()), json_float);
    }
    out += '}';
  }
  out += '}';
}

struct JsonOptions {
  bool logits, chunk_scores, abstained;
};

std::string json_line(const Model& model, size_t index, const Outcome& outcome, const JsonOptions& options) {
  const onepass_result& r = outcome.result;
  std::string out = "{\"i\":" + std::to_string(index) + ",\"tokens\":" + std::to_string(r.tokens) +
                    ",\"truncated\":" + (r.truncated != 0 ? "true" : "false") +
                    ",\"chunks\":" + std::to_string(r.chunks) + ',';
  append_heads(out, model, outcome.scores,
               options.logits ? std::span<const float>(outcome.logits) : std::span<float>());
  if (options.chunk_scores) {
    out += ",\"text_tokens\":" + std::to_string(r.text_tokens) + ",\"bytes_read\":" + std::to_string(r.bytes_read) +
           ",\"chunk_scores\":";
    append_list(out, outcome.chunks, [&](const Chunk& chunk) {
      std::string part = "{\"begin\":" + std::to_string(chunk.begin) + ",\"end\":" + std::to_string(chunk.end) +
                         ",\"tokens\":" + std::to_string(chunk.tokens) + ',';
      append_heads(part, model, chunk.scores, {});
      return part + '}';
    });
  }
  out += ",\"confidence\":" + json_float(r.confidence) +
         ",\"route\":" + json_string(onepass_route_name(outcome.verdict.route)) + ",\"reasons\":";
  append_list(out, outcome.verdict.reason_names(), json_string);
  if (options.abstained) out += std::string(",\"abstained\":") + (outcome.verdict.abstained ? "true" : "false");
  out += "}\n";
  return out;
}

// What a person reads: the labels that apply and the next best, and a scale for each regression value.
class Screen {
 public:
  explicit Screen(bool colour) : colour_(colour) {}

  void print(const Model& model, std::string_view text, const Outcome& outcome) const {
    std::printf("%s%.*s%s\n", style("\033[1m"), static_cast<int>(text.size()), text.data(), style("\033[0m"));
    for (const Head& head : model.heads()) {
      std::printf("  %s%.*s%s\n", style("\033[2m"), static_cast<int>(head.name.size()), head.name.data(),
                  style("\033[0m"));
      head.kind == ONEPASS_REGRESSION ? print_values(head, outcome) : print_labels(model, head, outcome);
    }
    const onepass_result& r = outcome.result;
    std::printf("  confidence %.2f, %u tokens%s", static_cast<double>(r.confidence), r.tokens,
                r.truncated != 0 ? " (the text was cut to fit)" : "");
    if (r.chunks > 1) std::printf(" in %u chunks", r.chunks);
    std::printf("\n");
    print_route(outcome.verdict);
  }

 private:
  static constexpr size_t kShown = 5;
  static constexpr int kCells = 24;

  const char* style(const char* code) const { return colour_ ? code : ""; }

  // Eighth blocks: kCells cells of eight steps.
  static std::string bar(double part) {
    static constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const int steps = static_cast<int>(std::lround(std::clamp(part, 0.0, 1.0) * kCells * 8));
    std::string out;
    for (int i = 0; i < steps / 8; ++i) out += "█";
    out += kEighths[steps % 8];
    const int cells = steps / 8 + (steps % 8 != 0);
    return out + std::string(static_cast<size_t>(kCells - cells), ' ');
  }

  void print_labels(const Model& model, const Head& head, const Outcome& outcome) const {
    std::vector<uint32_t> order(head.labels.size());
    std::iota(order.begin(), order.end(), 0u);
    const float* scores = outcome.scores.data() + head.first_class;
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return scores[a] > scores[b]; });
    const auto applies = [&](uint32_t c) {
      return onepass_label_applies(model.get(), head.index, c, outcome.scores.data()) != 0;
    };
    size_t rank = 0;
    for (const uint32_t c : order) {
      const bool on = applies(c);
      if (rank++ >= kShown && !on) continue;
      const std::string_view label = head.labels[c];
      std::printf("    %s%s %-16.*s %s %.2f%s\n", on ? style("\033[32m") : style("\033[2m"), on ? "●" : " ",
                  static_cast<int>(label.size()), label.data(), bar(static_cast<double>(scores[c])).c_str(),
                  static_cast<double>(scores[c]), style("\033[0m"));
    }
  }

  void print_values(const Head& head, const Outcome& outcome) const {
    for (size_t c = 0; c < head.labels.size(); ++c) {
      const double value = static_cast<double>(outcome.scores[head.first_class + c]);
      std::string scale;
      // A range without limits has no scale.
      if (const float range = head.range_high - head.range_low; std::isfinite(range)) {
        const double part = (value - static_cast<double>(head.range_low)) / static_cast<double>(range);
        const int at = static_cast<int>(std::lround(std::clamp(part, 0.0, 1.0) * (kCells - 1)));
        for (int i = 0; i < kCells; ++i) scale += i == at ? "◆" : i == kCells / 2 ? "┼" : "─";
        scale += ' ';
      }
      std::printf("      %-16.*s %s%+.2f\n", static_cast<int>(head.labels[c].size()), head.labels[c].data(),
                  scale.c_str(), value);
    }
  }

  bool colour_;
};

using MaybePolicy = std::optional<PolicyFile>;

Expected<std::vector<Outcome>> classify_texts(Session& session, const ClassifyOptions& options,
                                              const MaybePolicy& policy, const std::vector<std::string>& texts) {
  std::vector<std::string_view> views(texts.begin(), texts.end());
  onepass_classify_options o = ONEPASS_INIT(onepass_classify_options);
  o.on_long = options.on_long == "error"   ? ONEPASS_LONG_ERROR
              : options.on_long == "chunk" ? ONEPASS_LONG_CHUNK
                                           : ONEPASS_LONG_TRUNCATE;
  o.max_tokens = options.max_tokens;
  if (options.overlap) o.overlap = *options.overlap == 0 ? ONEPASS_NO_OVERLAP : *options.overlap;
  o.aggregate = options.chunk_aggregate == "max" ? ONEPASS_CHUNKS_MAX : ONEPASS_CHUNKS_MEAN;
  const auto classified = session.classify(views, o);
  if (!classified) return classified.error();
  std::vector<Outcome> outcomes;
  for (const Classification& c : *classified) {
    const std::string& text = texts[outcomes.size()];
    Outcome outcome{c.result(), {c.scores().begin(), c.scores().end()}, {c.logits().begin(), c.logits().end()}};
    if (policy) outcome.verdict = take(decide(c, text, policy->get()), "cannot apply the policy");
    if (options.chunk_scores) {
      auto chunked = session.classify_chunks(text, o);
      if (!chunked) return chunked.error();
      outcome.chunks = std::move(chunked->chunks);
    }
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

Expected<std::vector<uint32_t>> parse_ids(const std::string& line) {
  std::vector<uint32_t> ids;
  const char* at = line.data();
  const char* const end = at + line.size();
  while (at != end) {
    if (*at == ' ') {
      ++at;
      continue;
    }
    uint32_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc() || (next != end && *next != ' ')) {
      return Failure{static_cast<onepass_status>(Code::bad_syntax), static_cast<uint64_t>(at - line.data()), "",
                     "a line of ids is unsigned numbers separated by spaces"};
    }
    ids.push_back(id);
    at = next;
  }
  return ids;
}

Expected<std::vector<Outcome>> classify_ids(Session& session, const MaybePolicy& policy,
                                            const std::vector<std::string>& lines) {
  std::vector<uint32_t> ids, starts{0};
  for (const std::string& line : lines) {
    const auto of_line = parse_ids(line);
    if (!of_line) return of_line.error();
    ids.insert(ids.end(), of_line->begin(), of_line->end());
    starts.push_back(static_cast<uint32_t>(ids.size()));
  }
  const auto ran = session.run_ids(ids, starts);
  if (!ran) return ran.error();
  const std::vector<float>& logits = *ran;
  const size_t classes = session.model().info().class_count;
  std::vector<Outcome> outcomes;
  for (size_t b = 0; b < lines.size(); ++b) {
    Outcome outcome;
    outcome.logits.assign(logits.data() + b * classes, logits.data() + (b + 1) * classes);
    outcome.scores.resize(classes);
    onepass_result& result = outcome.result;
    result = {starts[b + 1] - starts[b], 0, 1, 1, starts[b + 1] - starts[b], 0};
    onepass_scores(session.model().get(), outcome.logits.data(), outcome.scores.data(), &result.confidence);
    if (policy) {
      // Ids have no text, so the rules about words find nothing.
      const Classification classification(session.model(), result, outcome.scores, outcome.logits);
      outcome.verdict = take(decide(classification, "", policy->get()), "cannot apply the policy");
    }
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

}  // namespace

void run_classify(const ClassifyOptions& options) {
  const auto load_start = std::chrono::steady_clock::now();
  const Model model = options.session.open_model(options.model);
  MaybePolicy policy;
  if (!options.policy.empty()) policy.emplace(options.policy, model);
  std::vector<Session> sessions;
  for (uint32_t w = 0; w < options.workers; ++w) sessions.push_back(options.session.open_session(model));
  Session& session = sessions[0];
  const double load_ms = milliseconds_since(load_start);
  if (model.heads()[0].kind == ONEPASS_TOKEN_LABEL) return run_entities(options, model, session);

  TextSource source(options.texts, options.input);
  const auto classify = [&](Session& by, const std::vector<std::string>& texts) {
    return options.ids ? classify_ids(by, policy, texts) : classify_texts(by, options, policy, texts);
  };
  // A batch that fails names the line at fault: the first that fails alone.
  const auto classify_or_fail = [&](Session& by, const std::vector<std::string>& texts, size_t first) {
    auto outcomes = classify(by, texts);
    if (outcomes) return std::move(outcomes).value();
    Failure failure = outcomes.error();
    for (size_t b = 0; b < texts.size(); ++b) {
      const auto alone = classify(by, {texts[b]});
      if (alone) continue;
      failure = alone.error();
      failure.where = source.where(first + b);
      break;
    }
    fail("cannot classify", failure);
  };
  const JsonOptions json_options{options.logits, options.chunk_scores, policy && policy->abstains()};
  const Screen screen(stdout_is_terminal());
  Progress progress("classify", source.known_size());
  size_t done = 0;
  std::vector<std::string> timed;
  struct Batch {
    std::vector<std::string> texts;
    size_t first = 0;
  };
  const auto write = [&](const Batch& batch, const std::vector<Outcome>& outcomes) {
    for (size_t b = 0; b < batch.texts.size(); ++b) {
      if (options.json) {
        const std::string line = json_line(model, batch.first + b, outcomes[b], json_options);
        std::fwrite(line.data(), 1, line.size(), stdout);
      } else {
        screen.print(model, batch.texts[b], outcomes[b]);
      }
    }
    if (done == 0) timed.assign(batch.texts.begin(), batch.texts.begin() + 1);
    done += batch.texts.size();
    progress.advance(done);
  };
  size_t read = 0;
  const auto next = [&](Batch& batch) {
    batch.texts = source.next(options.batch);
    batch.first = read;
    read += batch.texts.size();
    return !batch.texts.empty();
  };
  if (options.workers == 1) {
    for (Batch batch; next(batch);) write(batch, classify_or_fail(session, batch.texts, batch.first));
  } else {
    run_in_order<Batch, std::vector<Outcome>>(
        options.workers, next,
        [&](size_t worker, const Batch& batch) { return classify_or_fail(sessions[worker], batch.texts, batch.first); },
        write);
  }
  if (options.json || done == 0) return;
  // The first pass also brings weights into the caches; what an app sees is the passes after it.
  std::vector<double> passes;
  for (int i = 0; i < 9; ++i) {
    const auto start = std::chrono::steady_clock::now();
    take(classify(session, timed), "cannot classify");
    passes.push_back(milliseconds_since(start));
  }
  std::nth_element(passes.begin(), passes.begin() + 4, passes.end());
  std::printf(
      "  one pass over the first text %.2f ms (median of 9), model opened and checked in %.1f ms, %s, %u thread%s\n",
      passes[4], load_ms, session.isa(), options.session.threads, options.session.threads == 1 ? "" : "s");
}

}  // namespace onepass::cli
