#include "engine/runtime/session.h"

#include <algorithm>
#include <cstring>

#include "engine/core/left_out.h"
#include "engine/runtime/decide.h"
#include "engine/runtime/session_errors.h"

namespace onepass {

Result<Session> Session::create(const Model& model, const SessionOptions& options) noexcept {
  const kernels::KernelTable* table = kernels::kernel_table(options.isa);
  if (!kernels::isa_built(options.isa)) {
    return left_out(kernels::isa_name(options.isa), "the kernels of this level", "ONEPASS_LEVELS",
                    kernels::isa_name(options.isa));
  }
  if (table == nullptr) {
    return make_error(Code::isa_unavailable, Error::no_offset, kernels::isa_name(options.isa),
                      "this machine does not have this level; its best is %s", kernels::isa_name(kernels::best_isa()));
  }
  return Session(model, options, *table);
}

Status Session::encode(std::string_view text, const ClassifyOptions& options, Array<TokenSpan>* spans,
                       TextResult& result) noexcept {
  const size_t limit = token_limit(options);
  EncodeStats stats;
  const size_t before = ids_.size();
  ONEPASS_TRY(model_->tokenizer().encode(text, {.max_tokens = limit}, encode_scratch_, ids_, spans, &stats));
  result = {.tokens = static_cast<uint32_t>(ids_.size() - before),
            .text_tokens = static_cast<uint32_t>(stats.total_tokens),
            .truncated = stats.truncated,
            .bytes_read = stats.truncated ? stats.bytes_used : text.size()};
  if (stats.truncated && options.on_long == OnLong::error) {
    return make_error(Code::text_too_long, stats.bytes_used, "text",
                      "%zu tokens, and the limit is %zu: shorten the text, or allow it to be cut or read in chunks",
                      stats.total_tokens, limit);
  }
  if (result.tokens == 0) {
    return make_error(Code::invalid_argument, Error::no_offset, "text",
                      "the text has no tokens and the tokenizer's template adds none");
  }
  return {};
}

Result<Session::Tokens> Session::tokenize(std::string_view text, const ClassifyOptions& options) noexcept {
  ids_.clear();
  spans_.clear();
  TextResult result;
  ONEPASS_TRY(encode(text, options, &spans_, result));
  return Tokens{ids_.span(), spans_.span()};
}

Status Session::run_ids(std::span<const uint32_t> ids, std::span<const uint32_t> starts, std::span<float> logits,
                        const StageObserver& observer) noexcept {
  const Config& config = model_->config();
  if (starts.size() < 2 || starts.front() != 0 || starts.back() != ids.size()) {
    return make_error(Code::invalid_argument, Error::no_offset, "starts",
                      "must begin with 0 and end with the number of ids");
  }
  for (size_t b = 0; b + 1 < starts.size(); ++b) {
    const auto fail = [&](const char* why, uint32_t limit) {
      return of_text(make_error(Code::invalid_argument, Error::no_offset, "text", why, limit), b);
    };
    if (starts[b + 1] <= starts[b]) return fail("has fewer than %u ids", 1);
    if (starts[b + 1] - starts[b] > config.max_tokens)
      return fail("has more ids than the model's %u", config.max_tokens);
  }
  for (size_t t = 0, b = 0; t < ids.size(); ++t) {
    while (starts[b + 1] <= t) ++b;
    if (ids[t] >= config.vocab) {
      return of_text(
          make_error(Code::invalid_argument, Error::no_offset, "text",
                     "id %u at position %zu: the model knows the ids below %u", ids[t], t - starts[b], config.vocab),
          b);
    }
  }
  const size_t floats = config.logit_rows(ids.size(), starts.size() - 1) * model_->total_classes();
  if (logits.size() < floats) {
    return make_error(Code::buffer_too_small, Error::no_offset, "logits", "%zu texts need %zu floats",
                      starts.size() - 1, floats);
  }
  return run_pass({.ids = ids, .starts = starts}, logits, observer);
}

namespace {

size_t longest_text(const Batch& batch) noexcept {
  size_t longest = 0;
  for (size_t b = 0; b < batch.texts(); ++b) {
    longest = std::max<size_t>(longest, batch.starts[b + 1] - batch.starts[b]);
  }
  return longest;
}

}  // namespace

Status Session::prepare(const Batch& batch, size_t longest) noexcept {
  const size_t need = forward_arena_bytes(model_->config(), model_->total_classes(), batch.tokens(), batch.texts(),
                                          longest, executor().threads, batch.prefix.tokens);
  if (need > arena_.size()) {
    arena_ = Array<uint8_t>();
    if (!arena_.resize_uninitialized(need)) return no_session_memory("session", need);
  }
  return tables_.reserve(model_->config(), model_->weights(),
                         batch.prefix.tokens + longest + model_->config().branch_tokens);
}

Status Session::run_pass(const Batch& batch, std::span<float> logits, const StageObserver& observer) noexcept {
  ONEPASS_TRY(control_.check());
  const size_t longest = longest_text(batch);
  Prefix shared;
  if (observer.call == nullptr && shares_prefix(batch, longest)) {
    ONEPASS_TRY_ASSIGN(known, prefix());
    shared = known;
  }
  if (shared.tokens != 0 || model_->config().branches != 0) return run_laid_out(batch, shared, logits, observer);
  ONEPASS_TRY(prepare(batch, longest));
  return forward(model_->config(), model_->weights(), *kernels_, executor(), batch, arena_.span(), logits, observer,
                 tables_, control_);
}

Executor Session::executor() const noexcept {
  Executor current = options_.executor;
  current.threads = threads_at(power_, current.threads);
  return current;
}

size_t Session::memory_for(const Model& model, const SessionOptions& options) noexcept {
  const Config& config = model.config();
  const size_t tokens = std::max<size_t>(options.tokens_per_pass, config.max_tokens);
  // The shortest texts that there are: the template and one token.
  const size_t texts = tokens / (model.tokenizer().special_count() + 1) + 1;
  return forward_arena_bytes(config, model.total_classes(), tokens + texts * model.weights().tree.ids.size(),
                             texts * (config.branches + 1), config.max_tokens, options.executor.threads);
}

bool Session::shares_prefix(const Batch& batch, size_t longest) const noexcept {
  // Below it there is less to win than the copies cost.
  constexpr size_t least = 8;
  const Config& config = model_->config();
  const std::span<const uint32_t> prefix = model_->tokenizer().prefix();
  if (!options_.share_prefix || !config.shares_prefixes() || prefix.size() < least) return false;
  // Frequencies of long texts are others, from the first token on.
  if (config.rotary_original != 0 && longest > config.rotary_original) return false;
  for (size_t b = 0; b < batch.texts(); ++b) {
    const auto ids = batch.ids.subspan(batch.starts[b], batch.starts[b + 1] - batch.starts[b]);
    if (ids.size() <= prefix.size() || !std::equal(prefix.begin(), prefix.end(), ids.begin())) return false;
  }
  return true;
}

Result<Prefix> Session::prefix() noexcept {
  const Config& config = model_->config();
  const std::span<const uint32_t> ids = model_->tokenizer().prefix();
  if (!config.shares_prefixes() || ids.empty()) return Prefix{};
  if (!prefix_layers_.empty()) return Prefix{prefix_layers_.span(), ids.size()};
  Array<const float*> layers;
  if (!layers.resize(config.layers)) return no_session_memory("prefix", config.layers * sizeof(float*));
  if (config.prefix_tokens == ids.size()) {
    for (size_t l = 0; l < config.layers; ++l) layers[l] = model_->weights().layers[l].prefix;
  } else {
    const size_t floats = ids.size() * static_cast<size_t>(dim_value(Dim::KV, config, 0, no_layer));
    Array<float*> record;
    if (!prefix_.resize_uninitialized(config.layers * floats) || !record.resize(config.layers)) {
      return no_session_memory("prefix", config.layers * floats * sizeof(float));
    }
    for (size_t l = 0; l < config.layers; ++l) layers[l] = record[l] = prefix_.data() + l * floats;
    const uint32_t starts[] = {0, static_cast<uint32_t>(ids.size())};
    const Batch batch{.ids = ids, .starts = starts};
    ONEPASS_TRY(prepare(batch, ids.size()));
    ONEPASS_TRY(forward_prefix(config, model_->weights(), *kernels_, executor(), batch, arena_.span(), record.span(),
                               tables_, control_));
  }
  prefix_layers_ = std::move(layers);
  return Prefix{prefix_layers_.span(), ids.size()};
}

Status Session::run_laid_out(const Batch& batch, const Prefix& shared, std::span<float> logits,
                             const StageObserver& observer) noexcept {
  const WordTree& tree = model_->weights().tree;
  const size_t branches = model_->config().branches;
  own_ids_.clear();
  own_starts_.clear();
  const size_t tokens = batch.tokens() + batch.texts() * tree.ids.size();
  if (!own_ids_.reserve(tokens) || !own_starts_.reserve(batch.texts() * (branches + 1) + 1)) {
    return no_session_memory("texts", tokens * sizeof(uint32_t));
  }
  bool room = own_starts_.push_back(0);
  const auto append = [&](std::span<const uint32_t> ids) {
    for (const uint32_t id : ids) room = own_ids_.push_back(id) && room;
    room = own_starts_.push_back(static_cast<uint32_t>(own_ids_.size())) && room;
  };
  for (size_t b = 0; b < batch.texts(); ++b) {
    const size_t begin = batch.starts[b] + shared.tokens;
    append(batch.ids.subspan(begin, batch.starts[b + 1] - begin));
    for (size_t branch = 0; branch < branches; ++branch) append(tree.path(branch));
  }
  if (!room) return no_session_memory("texts", tokens * sizeof(uint32_t));
  const Batch own{own_ids_.span(), own_starts_.span(), batch.first_text, shared, branches};
  ONEPASS_TRY(prepare(own, longest_text(own)));
  return forward(model_->config(), model_->weights(), *kernels_, executor(), own, arena_.span(), logits, observer,
                 tables_, control_);
}

Status run_self_tests(const Model& model, kernels::Isa isa) noexcept {
  ONEPASS_TRY_ASSIGN(session, Session::create(model, {.isa = isa, .executor = {}}));
  Array<float> logits;
  size_t line = 0;
  for (const SelfTestView& test : model.file().self_tests()) {
    if (!logits.resize(test.logits.size())) return no_session_memory("self_test", test.logits.size() * sizeof(float));
    const uint32_t starts[] = {0, static_cast<uint32_t>(test.ids.size())};
    ONEPASS_TRY(session.run_ids(test.ids, starts, logits.span()));
    if (std::memcmp(logits.data(), test.logits.data(), logits.size() * sizeof(float)) != 0) {
      return make_error(Code::self_test_failed, Error::no_offset, "self_test",
                        "line %zu gives other logits on %s than when the file was written", line,
                        kernels::isa_name(isa));
    }
    ++line;
  }
  return {};
}

}  // namespace onepass
