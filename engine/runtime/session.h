// Session: one caller's way through a model, one call at a time. It owns every buffer; once the largest batch has
// been seen, a call allocates nothing.
#pragma once

#include <span>
#include <string_view>

#include "engine/core/array.h"
#include "engine/core/parallel.h"
#include "engine/core/result.h"
#include "engine/runtime/forward.h"
#include "engine/runtime/model.h"
#include "kernels/table.h"

namespace onepass {

enum class OnLong : uint8_t {
  error,     // text_too_long
  truncate,  // the first max_tokens tokens, template tokens kept; reported
};

struct SessionOptions {
  kernels::Isa isa = kernels::best_isa();
  Executor executor;
  // Tokens that one pass takes at most (a longer single text still runs): more is faster for many texts and costs
  // memory.
  size_t tokens_per_pass = 1024;
  // What the tokenizer's template puts before every text is computed once, where that changes no bit.
  bool share_prefix = true;
};

struct ClassifyOptions {
  OnLong on_long = OnLong::truncate;
  size_t max_tokens = 0;  // 0, or more than the model's: the model's
};

struct TextResult {
  uint32_t tokens = 0;  // that were read, template tokens included
  bool truncated = false;
  float confidence = 0;  // of the first label head
};

class Session {
 public:
  // `model` must outlive the session. isa_unavailable when the machine lacks options.isa.
  static Result<Session> create(const Model& model, const SessionOptions& options) noexcept;

  // results [B]; logits and scores [B, total_classes], heads side by side in the model's order; scores may be empty.
  Status classify(std::span<const std::string_view> texts, const ClassifyOptions& options,
                  std::span<TextResult> results, std::span<float> logits, std::span<float> scores) noexcept;

  struct Tokens {
    std::span<const uint32_t> ids;
    std::span<const TokenSpan> spans;
  };
  // The tokens of one text as classify would feed them; valid until the next call.
  Result<Tokens> tokenize(std::string_view text, const ClassifyOptions& options) noexcept;

  // logits [B, total_classes] of texts given as ids: text b is ids[starts[b] .. starts[b+1]).
  Status run_ids(std::span<const uint32_t> ids, std::span<const uint32_t> starts, std::span<float> logits,
                 const StageObserver& observer = {}) noexcept;

  const Model& model() const noexcept { return *model_; }
  kernels::Isa isa() const noexcept { return kernels_->isa; }
  size_t memory_bytes() const noexcept {
    return arena_.capacity() + tables_.memory_bytes() + prefix_.capacity() * sizeof(float);
  }

  // Keys and values of the template's tokens before the text, by layer: [tokens, 2 GE] each; none where texts cannot
  // share them. Valid for the session's life.
  Result<Prefix> prefix() noexcept;

 private:
  Session(const Model& model, const SessionOptions& options, const kernels::KernelTable& kernels) noexcept
      : model_(&model), options_(options), kernels_(&kernels) {}
  Status encode(std::string_view text, const ClassifyOptions& options, Array<TokenSpan>* spans,
                TextResult& result) noexcept;
  Status run_pass(const Batch& batch, std::span<float> logits, const StageObserver& observer) noexcept;
  Status prepare(const Batch& batch, size_t longest) noexcept;
  bool shares_prefix(const Batch& batch, size_t longest) const noexcept;
  Status run_behind_prefix(const Batch& batch, std::span<float> logits) noexcept;

  const Model* model_;
  SessionOptions options_;
  const kernels::KernelTable* kernels_;
  EncodeScratch encode_scratch_;
  Array<uint32_t> ids_;
  Array<uint32_t> starts_;
  Array<TokenSpan> spans_;
  Array<uint8_t> arena_;
  PositionTables tables_;
  Array<float> prefix_;                   // [L][tokens][2 GE], where the file does not have them
  Array<const float*> prefix_layers_;     // [L], once they are known
  Array<uint32_t> own_ids_, own_starts_;  // of texts without their prefix
};

// Runs the file's stored self-test vectors: self_test_failed when a logit differs in a single bit from the stored one.
Status run_self_tests(const Model& model, kernels::Isa isa) noexcept;

}  // namespace onepass
