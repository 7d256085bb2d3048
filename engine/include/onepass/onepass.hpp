// Onepass for C++20: the C API (onepass.h) with owners, spans and values. Header only.
//
//   auto model = onepass::Model::open("emotion.onepass").value();
//   auto session = onepass::Session::open(model).value();
//   for (const onepass::Label& label : session.classify("thank you!").value().labels("emotion")) ...
#pragma once

#include <onepass/onepass.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#if defined(__cpp_exceptions)
#include <stdexcept>
#endif

namespace onepass {

// The linker merges inline functions of the same name. These ones must not meet those of the archive, which has a
// Model and a Session of its own inside, nor must value() that throws meet value() that aborts.
#if defined(__cpp_exceptions)
inline namespace cpp {
#else
inline namespace cpp_no_exceptions {
#endif

// What went wrong, where, and what to do.
struct Failure {
  onepass_status status = ONEPASS_OK;
  uint64_t offset = UINT64_MAX;
  std::string where;
  std::string message;

  // One line: "<status>: <where>: <message>".
  std::string text() const {
    return std::string(onepass_status_name(status)) + (where.empty() ? "" : ": " + where) + ": " + message;
  }
};

// A value or a Failure. value() of a failure throws std::runtime_error, or aborts where exceptions are off.
template <class T>
class Expected {
 public:
  Expected(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Expected(Failure failure) : state_(std::in_place_index<1>, std::move(failure)) {}

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }
  T& value() & { return check(), *std::get_if<0>(&state_); }
  const T& value() const& { return check(), *std::get_if<0>(&state_); }
  T&& value() && { return check(), std::move(*std::get_if<0>(&state_)); }
  // Require has_value().
  T& operator*() & { return *std::get_if<0>(&state_); }
  const T& operator*() const& { return *std::get_if<0>(&state_); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }
  // Requires !has_value().
  const Failure& error() const { return *std::get_if<1>(&state_); }

 private:
  void check() const {
    if (has_value()) return;
#if defined(__cpp_exceptions)
    throw std::runtime_error("onepass: " + error().text());
#else
    std::abort();
#endif
  }
  std::variant<T, Failure> state_;
};

namespace detail {

inline std::string_view view(onepass_string s) { return {s.data, s.size}; }

inline Failure failure(const onepass_error& e) { return {e.status, e.offset, e.where, e.message}; }

struct CloseModel {
  void operator()(onepass_model* m) const { onepass_model_close(m); }
};
struct CloseSession {
  void operator()(onepass_session* s) const { onepass_session_close(s); }
};

}  // namespace detail

struct Head {
  std::string_view name;
  onepass_head_kind kind;
  uint32_t index;
  uint32_t first_class;
  std::vector<std::string_view> labels;
  std::vector<float> thresholds;  // of multi-label heads
  float temperature;
  float range_low, range_high;
};

// An opened model; copies share it, and threads may.
class Model {
 public:
  static Expected<Model> open(const std::string& path,
                              onepass_model_options options = ONEPASS_INIT(onepass_model_options)) {
    onepass_error error = ONEPASS_INIT(onepass_error);
    onepass_model* raw = nullptr;
    if (onepass_model_open(path.c_str(), &options, &raw, &error) != ONEPASS_OK) return detail::failure(error);
    return Model(raw);
  }
  static Expected<Model> from_memory(std::span<const std::byte> bytes,
                                     onepass_model_options options = ONEPASS_INIT(onepass_model_options)) {
    onepass_error error = ONEPASS_INIT(onepass_error);
    onepass_model* raw = nullptr;
    if (onepass_model_open_memory(bytes.data(), bytes.size(), &options, &raw, &error) != ONEPASS_OK) {
      return detail::failure(error);
    }
    return Model(raw);
  }

  // As onepass_model_open_descriptor.
  static Expected<Model> from_descriptor(int descriptor, uint64_t offset, uint64_t length,
                                         onepass_model_options options = ONEPASS_INIT(onepass_model_options)) {
    onepass_error error = ONEPASS_INIT(onepass_error);
    onepass_model* raw = nullptr;
    if (onepass_model_open_descriptor(descriptor, offset, length, &options, &raw, &error) != ONEPASS_OK) {
      return detail::failure(error);
    }
    return Model(raw);
  }
  // The first of `paths` that fits into so many bytes of memory with one session.
  static Expected<Model> open_first(std::span<const std::string> paths, uint64_t memory,
                                    onepass_session_options session = ONEPASS_INIT(onepass_session_options),
                                    onepass_model_options options = ONEPASS_INIT(onepass_model_options)) {
    std::vector<const char*> names;
    for (const std::string& path : paths) names.push_back(path.c_str());
    onepass_error error = ONEPASS_INIT(onepass_error);
    onepass_model* raw = nullptr;
    if (onepass_model_open_first(names.data(), names.size(), memory, &session, &options, &raw, nullptr, &error) !=
        ONEPASS_OK) {
      return detail::failure(error);
    }
    return Model(raw);
  }

  uint64_t memory(onepass_session_options session = ONEPASS_INIT(onepass_session_options)) const {
    return onepass_model_memory(get(), &session);
  }
  const onepass_model_info& info() const noexcept { return state_->info; }
  std::span<const Head> heads() const noexcept { return state_->heads; }
  std::optional<Failure> verify(const char* isa = nullptr) const {
    onepass_error error = ONEPASS_INIT(onepass_error);
    if (onepass_model_verify(get(), isa, &error) != ONEPASS_OK) return detail::failure(error);
    return std::nullopt;
  }
  std::string_view piece(uint32_t id) const { return detail::view(onepass_piece(get(), id)); }
  onepass_model* get() const noexcept { return state_->raw.get(); }

 private:
  friend class Slot;
  struct State {
    std::unique_ptr<onepass_model, detail::CloseModel> raw;
    onepass_model_info info;
    std::vector<Head> heads;
  };
  explicit Model(onepass_model* raw) {
    State state{std::unique_ptr<onepass_model, detail::CloseModel>(raw), ONEPASS_INIT(onepass_model_info), {}};
    onepass_model_get_info(raw, &state.info);
    for (uint32_t h = 0; h < state.info.head_count; ++h) {
      onepass_head_info i = ONEPASS_INIT(onepass_head_info);
      onepass_model_get_head(raw, h, &i);
      Head head{detail::view(i.name), i.kind, h, i.first_class, {}, {}, i.temperature, i.range_low, i.range_high};
      for (uint32_t c = 0; c < i.class_count; ++c) {
        head.labels.push_back(detail::view(onepass_model_label(raw, h, c)));
        if (i.kind == ONEPASS_MULTI_LABEL) head.thresholds.push_back(onepass_model_threshold(raw, h, c));
      }
      state.heads.push_back(std::move(head));
    }
    state_ = std::make_shared<const State>(std::move(state));
  }
  std::shared_ptr<const State> state_;
};

// A label (or, for regression, a dimension) with its score (or value).
struct Label {
  std::string_view name;
  float score;
  bool applies;
};

// What one text expresses. Shares the model, so its names stay valid.
class Classification {
 public:
  Classification(Model model, onepass_result result, std::vector<float> scores, std::vector<float> logits)
      : model_(std::move(model)), result_(result), scores_(std::move(scores)), logits_(std::move(logits)) {}

  uint32_t tokens() const noexcept { return result_.tokens; }
  bool truncated() const noexcept { return result_.truncated != 0; }
  float confidence() const noexcept { return result_.confidence; }
  uint32_t chunks() const noexcept { return result_.chunks; }
  const onepass_result& result() const noexcept { return result_; }
  std::span<const float> scores() const noexcept { return scores_; }  // all heads, in order
  std::span<const float> logits() const noexcept { return logits_; }
  const Model& model() const noexcept { return model_; }

  // Every label of a head with its score, in the model's order; empty when there is no such head.
  std::vector<Label> scores(std::string_view head_name) const {
    std::vector<Label> out;
    for (const Head& head : model_.heads()) {
      if (head.name != head_name) continue;
      for (uint32_t c = 0; c < head.labels.size(); ++c) {
        out.push_back({head.labels[c], scores_[head.first_class + c],
                       onepass_label_applies(model_.get(), head.index, c, scores_.data()) != 0});
      }
    }
    return out;
  }
  // The labels of a head that apply.
  std::vector<Label> labels(std::string_view head_name) const {
    std::vector<Label> out;
    for (const Label& label : scores(head_name)) {
      if (label.applies) out.push_back(label);
    }
    return out;
  }

 private:
  Model model_;
  onepass_result result_;
  std::vector<float> scores_, logits_;
};

// A part of a long text, and what it says by itself: the scores of all heads.
struct Chunk {
  uint64_t begin, end;  // bytes of the text
  uint32_t tokens;
  std::vector<float> scores;
};

struct ChunkedClassification {
  Classification whole;
  std::vector<Chunk> chunks;
};

// A part of a text that is labelled: the group is the model's label, unless Aggregation none without "B-" or "I-".
struct Entity {
  std::string_view group;
  float score;
  uint32_t begin, end;  // bytes of the text
};

// The entities of one text. Shares the model, so their groups stay valid.
class Entities {
 public:
  Entities(Model model, onepass_result result, std::vector<Entity> all)
      : model_(std::move(model)), result_(result), all_(std::move(all)) {}

  uint32_t tokens() const noexcept { return result_.tokens; }
  bool truncated() const noexcept { return result_.truncated != 0; }
  float confidence() const noexcept { return result_.confidence; }
  std::span<const Entity> all() const noexcept { return all_; }
  auto begin() const noexcept { return all_.begin(); }
  auto end() const noexcept { return all_.end(); }

 private:
  Model model_;
  onepass_result result_;
  std::vector<Entity> all_;
};

// The tokens of one text, the template's included, with the numbers of each: [tokens, class_count].
struct TokenLabels {
  onepass_result result{};
  std::vector<onepass_token> tokens;
  std::vector<float> scores, logits;
};

// One thread's way through a model.
class Session {
 public:
  Session(Session&&) noexcept = default;
  Session& operator=(Session&& other) noexcept {
    // The old session closes before its model may.
    raw_ = std::move(other.raw_);
    model_ = std::move(other.model_);
    return *this;
  }
  static Expected<Session> open(const Model& model,
                                onepass_session_options options = ONEPASS_INIT(onepass_session_options)) {
    onepass_error error = ONEPASS_INIT(onepass_error);
    onepass_session* raw = nullptr;
    if (onepass_session_open(model.get(), &options, &raw, &error) != ONEPASS_OK) return detail::failure(error);
    return Session(model, raw);
  }

  Expected<Classification> classify(std::string_view text,
                                    onepass_classify_options options = ONEPASS_INIT(onepass_classify_options)) {
    auto all = classify(std::span(&text, 1), options);
    if (!all) return all.error();
    return std::move(all->front());
  }
  Expected<std::vector<Classification>> classify(
      std::span<const std::string_view> texts,
      onepass_classify_options options = ONEPASS_INIT(onepass_classify_options)) {
    const size_t classes = model_.info().class_count;
    std::vector<onepass_string> in;
    for (const std::string_view t : texts) in.push_back({t.data(), t.size()});
    std::vector<onepass_result> results(texts.size());
    std::vector<float> scores(texts.size() * classes), logits(texts.size() * classes);
    onepass_error error = ONEPASS_INIT(onepass_error);
    if (onepass_classify(raw_.get(), in.data(), in.size(), &options, results.data(), scores.data(), logits.data(),
                         &error) != ONEPASS_OK) {
      return detail::failure(error);
    }
    std::vector<Classification> out;
    for (size_t b = 0; b < texts.size(); ++b) {
      const auto part = [&](const std::vector<float>& v) {
        const auto begin = v.begin() + static_cast<std::ptrdiff_t>(b * classes);
        return std::vector<float>(begin, begin + static_cast<std::ptrdiff_t>(classes));
      };
      out.emplace_back(model_, results[b], part(scores), part(logits));
    }
    return out;
  }
  // One text in chunks, and what each of them says. The logits of the whole are left out.
  Expected<ChunkedClassification> classify_chunks(
      std::string_view text, onepass_classify_options options = ONEPASS_INIT(onepass_classify_options)) {
    const size_t classes = model_.info().class_count;
    onepass_error error = ONEPASS_INIT(onepass_error);
    onepass_result result{};
    std::vector<float> scores(classes), chunk_scores;
    std::vector<onepass_chunk> chunks(8);
    for (size_t count = 0;; chunks.resize(count)) {
      chunk_scores.resize(chunks.size() * classes);
      const onepass_status status =
          onepass_classify_chunks(raw_.get(), {text.data(), text.size()}, &options, &result, scores.data(),
                                  chunks.data(), chunk_scores.data(), chunks.size(), &count, &error);
      if (status != ONEPASS_OK && count <= chunks.size()) return detail::failure(error);
      if (status != ONEPASS_OK) continue;
      ChunkedClassification out{Classification(model_, result, std::move(scores), {}), {}};
      for (size_t i = 0; i < count; ++i) {
        const auto begin = chunk_scores.begin() + static_cast<std::ptrdiff_t>(i * classes);
        out.chunks.push_back(
            {chunks[i].begin, chunks[i].end, chunks[i].tokens, {begin, begin + static_cast<std::ptrdiff_t>(classes)}});
      }
      return out;
    }
  }
  // Logits [texts, class_count] of texts given as ids: text b is ids[starts[b] .. starts[b+1]).
  Expected<std::vector<float>> run_ids(std::span<const uint32_t> ids, std::span<const uint32_t> starts) {
    const size_t count = starts.empty() ? 0 : starts.size() - 1;
    std::vector<float> logits(count * model_.info().class_count);
    onepass_error error = ONEPASS_INIT(onepass_error);
    if (onepass_run_ids(raw_.get(), ids.data(), starts.data(), count, logits.data(), &error) != ONEPASS_OK) {
      return detail::failure(error);
    }
    return logits;
  }
  Expected<std::vector<onepass_token>> tokenize(
      std::string_view text, onepass_classify_options options = ONEPASS_INIT(onepass_classify_options)) {
    std::vector<onepass_token> tokens(model_.info().max_tokens);
    size_t count = 0;
    onepass_error error = ONEPASS_INIT(onepass_error);
    if (onepass_tokenize(raw_.get(), {text.data(), text.size()}, &options, tokens.data(), tokens.size(), &count,
                         &error) != ONEPASS_OK) {
      return detail::failure(error);
    }
    tokens.resize(count);
    return tokens;
  }
  // Holds for the calls that follow: a flag that stops them, a time limit, power, metrics.
  std::optional<Failure> control(const onepass_control& control) {
    onepass_error error = ONEPASS_INIT(onepass_error);
    if (onepass_session_control(raw_.get(), &control, &error) != ONEPASS_OK) return detail::failure(error);
    return std::nullopt;
  }
  // Of models whose heads are of the kind ONEPASS_TOKEN_LABEL.
  Expected<TokenLabels> label_tokens(std::string_view text,
                                     onepass_classify_options options = ONEPASS_INIT(onepass_classify_options)) {
    const size_t classes = model_.info().class_count, capacity = model_.info().max_tokens;
    TokenLabels out;
    out.tokens.resize(capacity);
    out.scores.resize(capacity * classes);
    out.logits.resize(capacity * classes);
    size_t count = 0;
    onepass_error error = ONEPASS_INIT(onepass_error);
    if (onepass_label_tokens(raw_.get(), {text.data(), text.size()}, &options, &out.result, out.tokens.data(),
                             out.scores.data(), out.logits.data(), capacity, &count, &error) != ONEPASS_OK) {
      return detail::failure(error);
    }
    out.tokens.resize(count);
    out.scores.resize(count * classes);
    out.logits.resize(count * classes);
    return out;
  }
  Expected<Entities> find_entities(std::string_view text,
                                   onepass_entity_options options = ONEPASS_INIT(onepass_entity_options)) {
    auto all = find_entities(std::span(&text, 1), options);
    if (!all) return all.error();
    return std::move(all->front());
  }
  Expected<std::vector<Entities>> find_entities(std::span<const std::string_view> texts,
                                                onepass_entity_options options = ONEPASS_INIT(onepass_entity_options)) {
    std::vector<onepass_string> in;
    for (const std::string_view t : texts) in.push_back({t.data(), t.size()});
    std::vector<onepass_result> results(texts.size());
    std::vector<size_t> starts(texts.size() + 1);
    std::vector<onepass_entity> found(16 * texts.size());
    onepass_error error = ONEPASS_INIT(onepass_error);
    const auto run = [&] {
      return onepass_find_entities(raw_.get(), in.data(), in.size(), &options, results.data(), found.data(),
                                   found.size(), starts.data(), &error);
    };
    onepass_status status = run();
    if (status != ONEPASS_OK && starts.back() > found.size()) {
      found.resize(starts.back());
      status = run();
    }
    if (status != ONEPASS_OK) return detail::failure(error);
    std::vector<Entities> out;
    for (size_t b = 0; b < texts.size(); ++b) {
      std::vector<Entity> all;
      for (size_t i = starts[b]; i < starts[b + 1]; ++i) {
        all.push_back({detail::view(found[i].group), found[i].score, found[i].begin, found[i].end});
      }
      out.emplace_back(model_, results[b], std::move(all));
    }
    return out;
  }
  const char* isa() const noexcept { return onepass_session_isa(raw_.get()); }
  const Model& model() const noexcept { return model_; }

 private:
  Session(Model model, onepass_session* raw) : model_(std::move(model)), raw_(raw) {}
  Model model_;
  std::unique_ptr<onepass_session, detail::CloseSession> raw_;
};

// A model that is replaced while threads use it; copies share it.
class Slot {
 public:
  static Expected<Slot> open(const Model& model) {
    onepass_error error = ONEPASS_INIT(onepass_error);
    onepass_slot* raw = nullptr;
    if (onepass_slot_open(model.get(), &raw, &error) != ONEPASS_OK) return detail::failure(error);
    return Slot(raw);
  }
  // The current model. Keep it, with a session of it, until generation() has changed.
  Model acquire(uint32_t* generation = nullptr) const { return Model(onepass_slot_acquire(raw_.get(), generation)); }
  uint32_t generation() const noexcept { return onepass_slot_generation(raw_.get()); }
  void publish(const Model& model) { onepass_slot_publish(raw_.get(), model.get(), nullptr); }
  // False where there is no model to go back to.
  bool rollback() { return onepass_slot_rollback(raw_.get(), nullptr) == ONEPASS_OK; }
  void commit() { onepass_slot_commit(raw_.get()); }

 private:
  explicit Slot(onepass_slot* raw) : raw_(raw, onepass_slot_close) {}
  std::shared_ptr<onepass_slot> raw_;
};

// Where a text should be read, and why.
struct Verdict {
  onepass_route route = ONEPASS_ROUTE_LOCAL;
  uint32_t reasons = 0;    // ONEPASS_REASON_...
  bool abstained = false;  // the confidence is below what the policy takes for an answer

  std::vector<std::string_view> reason_names() const {
    std::vector<std::string_view> names;
    for (uint32_t rest = reasons; rest != 0; rest &= rest - 1) names.push_back(onepass_reason_name(rest & (~rest + 1)));
    return names;
  }
};

// The verdict of a policy (ONEPASS_INIT(onepass_policy), then change fields) on a classified text.
inline Expected<Verdict> decide(const Classification& classification, std::string_view text,
                                const onepass_policy& policy) {
  onepass_error error = ONEPASS_INIT(onepass_error);
  onepass_verdict verdict{};
  if (onepass_decide(classification.model().get(), &policy, {text.data(), text.size()}, &classification.result(),
                     classification.scores().data(), &verdict, &error) != ONEPASS_OK) {
    return detail::failure(error);
  }
  return Verdict{verdict.route, verdict.reasons, verdict.abstained != 0};
}

// How far two answers of a head are apart: its scores here and, say, from a larger model elsewhere.
inline Expected<onepass_divergence> compare(const Model& model, const Head& head, std::span<const float> ours,
                                            std::span<const float> theirs) {
  onepass_error error = ONEPASS_INIT(onepass_error);
  onepass_divergence divergence = ONEPASS_INIT(onepass_divergence);
  if (ours.size() != head.labels.size() || theirs.size() != head.labels.size()) {
    return Failure{onepass_status{1}, UINT64_MAX, "scores", "must have one number for each class of the head"};
  }
  if (onepass_compare(model.get(), head.index, ours.data(), theirs.data(), &divergence, &error) != ONEPASS_OK) {
    return detail::failure(error);
  }
  return divergence;
}

}  // inline namespace
}  // namespace onepass
