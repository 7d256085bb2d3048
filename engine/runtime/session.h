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

// The tokens of one text, and what the heads say of each.
struct TokenRows {
  size_t text = 0;                   // its number in the call
  std::string_view source;           // the text
  std::span<const uint32_t> ids;     // template tokens included
  std::span<const TokenSpan> spans;  // of ids
  size_t begin = 0, end = 0;         // the tokens [begin, end) are the text's own, the others the template's
  std::span<const float> logits;     // [ids, total_classes]
  std::span<float> scores;           // the same, which a visitor may change
};

// Called with each text's tokens in turn; what it is given lasts until it returns.
struct TokenVisitor {
  Status (*call)(void* context, const TokenRows& rows) noexcept;
  void* context;
};

class Session {
 public:
  // `model` must outlive the session. isa_unavailable when the machine lacks options.isa.
  static Result<Session> create(const Model& model, const SessionOptions& options) noexcept;

  // results [B]; logits and scores [B, total_classes], heads side by side in the model's order; scores may be empty.
  Status classify(std::span<const std::string_view> texts, const ClassifyOptions& options,
                  std::span<TextResult> results, std::span<float> logits, std::span<float> scores) noexcept;

  // The labels of every token, of models whose heads are of the kind token_label. results [B]; the confidence of a text
  // is the least of its own tokens' by the first head, 1 where it has none. An error of the visitor ends the call.
  Status label_tokens(std::span<const std::string_view> texts, const ClassifyOptions& options,
                      std::span<TextResult> results, const TokenVisitor& visitor) noexcept;

  struct Tokens {
    std::span<const uint32_t> ids;
    std::span<const TokenSpan> spans;
  };
  // The tokens of one text as classify would feed them; valid until the next call.
  Result<Tokens> tokenize(std::string_view text, const ClassifyOptions& options) noexcept;

  // logits [B, total_classes] of texts given as ids: text b is ids[starts[b] .. starts[b+1]). Where the heads label
  // tokens, [starts[B], total_classes].
  Status run_ids(std::span<const uint32_t> ids, std::span<const uint32_t> starts, std::span<float> logits,
                 const StageObserver& observer = {}) noexcept;

  const Model& model() const noexcept { return *model_; }
  kernels::Isa isa() const noexcept { return kernels_->isa; }
  size_t memory_bytes() const noexcept { return arena_.capacity() + tables_.memory_bytes(); }

 private:
  Session(const Model& model, const SessionOptions& options, const kernels::KernelTable& kernels) noexcept
      : model_(&model), options_(options), kernels_(&kernels) {}
  Status encode(std::string_view text, const ClassifyOptions& options, Array<TokenSpan>* spans,
                TextResult& result) noexcept;
  // Tokenises texts from `begin` on into ids_ and starts_, as many as one pass takes and at least one; returns where
  // they end. `spans` may be null.
  Result<size_t> fill_pass(std::span<const std::string_view> texts, size_t begin, const ClassifyOptions& options,
                           Array<TokenSpan>* spans, std::span<TextResult> results) noexcept;
  Status run_pass(const Batch& batch, std::span<float> logits, const StageObserver& observer) noexcept;

  const Model* model_;
  SessionOptions options_;
  const kernels::KernelTable* kernels_;
  EncodeScratch encode_scratch_;
  Array<uint32_t> ids_;
  Array<uint32_t> starts_;
  Array<TokenSpan> spans_;
  Array<float> token_logits_, token_scores_;
  Array<uint8_t> arena_;
  PositionTables tables_;
};

// Runs the file's stored self-test vectors: self_test_failed when a logit differs in a single bit from the stored one.
Status run_self_tests(const Model& model, kernels::Isa isa) noexcept;

}  // namespace onepass
