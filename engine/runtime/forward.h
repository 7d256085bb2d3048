// forward: one prefill pass over a packed batch, from token ids to the logits of every head.
//
// Texts lie one behind the other without padding: T tokens in all, text b has tokens [starts[b], starts[b+1]).
// A text's logits depend on its ids and the model alone: not on its neighbours, the threads or the kernels' level.
//
// How it runs. Everything but attention works on rows (tokens) independently, so a layer has two parallel sections:
// attention over (text, head) pairs, and a chain over rows (output product, norm, feed-forward, norm, and the next
// layer's Q, K, V), each thread taking its rows in chunks so that the wide intermediate rows stay in the L2 cache.
// Of few rows, threads that run together (Executor::run_together) share out heads and channels instead, so that each
// reads its share of the weights; they wait for one another between the steps of the chain (docs/decisions/0003).
// In the last layer, where only one token a text is pooled, only K and V are computed for the others.
#pragma once

#include <span>

#include "engine/arch/arch.h"
#include "engine/core/array.h"
#include "engine/core/parallel.h"
#include "engine/core/result.h"
#include "engine/runtime/control.h"
#include "engine/runtime/position_tables.h"
#include "engine/runtime/weights.h"
#include "kernels/table.h"

namespace onepass {

// What all texts of a batch begin with, of a model that shares_prefixes: these tokens are not among the batch's.
struct Prefix {
  std::span<const float* const> keys_values{};  // a layer: [tokens, 2 GE]
  size_t tokens = 0;
};

struct Batch {
  std::span<const uint32_t> ids;     // [T]
  std::span<const uint32_t> starts;  // [B+1], starts[0] = 0, strictly ascending, starts[B] = T
  size_t first_text = 0;             // number of the first text in what the caller was given, for errors
  Prefix prefix{};
  // Behind each text come so many continuations of it, which see the text and themselves and count as texts below:
  // those of the model's tree of words, or 0 where there is none and no logits are asked for.
  size_t branches = 0;
  size_t texts() const noexcept { return starts.size() - 1; }
  size_t text_of(size_t b) const noexcept { return b - b % (branches + 1); }  // what b continues, or b itself
  size_t tokens() const noexcept { return ids.size(); }
};

// Called with the rows that each stage leaves behind, for tests that look for the first diverging layer:
// "embed", "layers.0", ..., "final_norm" as [rows, width]. The last stages may hold the pooled rows only.
struct StageObserver {
  void (*call)(void* context, const char* stage, const float* rows, size_t count, size_t width) = nullptr;
  void* context = nullptr;
};

// Bytes of arena that a pass over T tokens, B texts of at most `longest` tokens, on `threads` slots needs.
// `prefix`: tokens that are not counted in the others. Continuations count as texts, but `longest` is that of what they
// continue.
size_t forward_arena_bytes(const Config& config, size_t total_classes, size_t tokens, size_t texts, size_t longest,
                           unsigned threads, size_t prefix = 0) noexcept;

// logits [B, sum of C], or [T, sum of C] where the pool is every_token; of a tree of words, a row a text that is no
// continuation. `arena` holds at least forward_arena_bytes,
// 64-byte aligned. Requires ids < config.vocab and every text 1..max_tokens tokens (Session checks both); `tables`
// filled for the longest text, where positions are rotary. Fails with non_finite_result when a logit is not finite, and
// with cancelled or deadline_exceeded when `control` says so.
Status forward(const Config& config, const Weights& weights, const kernels::KernelTable& kernels,
               const Executor& executor, const Batch& batch, std::span<uint8_t> arena, std::span<float> logits,
               const StageObserver& observer = {}, const PositionTables& tables = {},
               const PassControl& control = {}) noexcept;

// The keys and values of the only text of a batch, by layer: [T, 2 GE] each.
Status forward_prefix(const Config& config, const Weights& weights, const kernels::KernelTable& kernels,
                      const Executor& executor, const Batch& batch, std::span<uint8_t> arena,
                      std::span<float* const> keys_values, const PositionTables& tables,
                      const PassControl& control) noexcept;

}  // namespace onepass
