// Session: one caller's way through a model, one call at a time. It owns every buffer; once the largest batch has
// been seen, a call allocates nothing.
#pragma once

#include <span>
#include <string_view>

#include "engine/core/array.h"
#include "engine/core/parallel.h"
#include "engine/core/result.h"
#include "engine/runtime/chunk.h"
#include "engine/runtime/forward.h"
#include "engine/runtime/model.h"
#include "kernels/table.h"

namespace onepass {

enum class OnLong : uint8_t {
  error,     // text_too_long
  truncate,  // the first max_tokens tokens, template tokens kept; reported
  chunk,     // in overlapping chunks of max_tokens tokens, whose logits are brought together
};

// How the logits of a long text's chunks become those of the text. Those of regression heads are always averaged.
enum class Aggregate : uint8_t {
  mean,  // of the chunks, weighted by their tokens without the template's
  max,   // of each label
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
  // Chunks: tokens that two neighbours share, at most a quarter of max_tokens. The default is an eighth of it.
  size_t overlap = default_overlap;
  Aggregate aggregate = Aggregate::mean;

  static constexpr size_t default_overlap = SIZE_MAX;
};

// Called with every chunk and its logits, text by text and in order.
struct ChunkObserver {
  void (*call)(void* context, size_t text, const Chunk& chunk, std::span<const float> logits) = nullptr;
  void* context = nullptr;
};

struct TextResult {
  uint32_t tokens = 0;  // that were read, template tokens included; of all chunks
  uint32_t chunks = 1;
  uint32_t text_tokens = 0;  // of the whole text, template tokens included
  bool truncated = false;
  uint64_t bytes_read = 0;  // the tokens that were read lie in this many bytes from the text's beginning
  float confidence = 0;     // of the first label head
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
                  std::span<TextResult> results, std::span<float> logits, std::span<float> scores,
                  const ChunkObserver& observer = {}) noexcept;

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

  // Holds for the calls that follow. What it points to stays valid until it is replaced.
  void set_control(const PassControl& control, Power power) noexcept {
    control_ = control;
    power_ = power;
  }

  const Model& model() const noexcept { return *model_; }
  kernels::Isa isa() const noexcept { return kernels_->isa; }
  // Bytes of buffers that a session of these options takes at most for its passes.
  static size_t memory_for(const Model& model, const SessionOptions& options) noexcept;
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
  // What the model is asked in one go: a text, or a chunk of one.
  struct Segment {
    size_t text;
    Chunk chunk;
    bool last;  // of its text
  };
  // Where `classify` is in its texts.
  struct Reader {
    std::span<const std::string_view> texts;
    size_t text = 0;
    bool in_chunks = false;
    Chunker chunker{};
  };
  struct Output {
    std::span<float> logits;
    const ChunkObserver& observer;
  };
  // Appends the next segment's ids; false at the end of the texts.
  Result<bool> read_segment(Reader& reader, const ClassifyOptions& options, std::span<TextResult> results) noexcept;
  Status read_chunk(Reader& reader, const ClassifyOptions& options, TextResult& result) noexcept;
  // Runs the first `count` segments, gives their texts what they say, and forgets them.
  Status run_segments(size_t count, const ClassifyOptions& options, const Output& output) noexcept;
  void add_chunk(const Segment& segment, const float* chunk_logits, Aggregate aggregate, float* logits) noexcept;
  size_t token_limit(const ClassifyOptions& options) const noexcept;
  // Tokenises texts from `begin` on into ids_ and starts_, as many as one pass takes and at least one; returns where
  // they end. `spans` may be null.
  Result<size_t> fill_pass(std::span<const std::string_view> texts, size_t begin, const ClassifyOptions& options,
                           Array<TokenSpan>* spans, std::span<TextResult> results) noexcept;
  Status run_pass(const Batch& batch, std::span<float> logits, const StageObserver& observer) noexcept;
  Status prepare(const Batch& batch, size_t longest) noexcept;
  Executor executor() const noexcept;  // with as many threads as the power allows
  bool shares_prefix(const Batch& batch, size_t longest) const noexcept;
  // Without the tokens that texts share, and with those that continue each text.
  Status run_laid_out(const Batch& batch, const Prefix& shared, std::span<float> logits,
                      const StageObserver& observer) noexcept;

  const Model* model_;
  SessionOptions options_;
  PassControl control_;
  Power power_ = Power::normal;
  const kernels::KernelTable* kernels_;
  EncodeScratch encode_scratch_;
  Array<uint32_t> ids_;
  Array<uint32_t> starts_;
  Array<TokenSpan> spans_;
  Array<Segment> segments_;
  Array<float> segment_logits_;  // [segments, total_classes] of a pass that has chunks
  Array<double> sums_;           // [total_classes] of the text whose chunks are being read
  double weight_ = 0;
  Array<float> token_logits_, token_scores_;
  Array<uint8_t> arena_;
  PositionTables tables_;
  Array<float> prefix_;                   // [L][tokens][2 GE], where the file does not have them
  Array<const float*> prefix_layers_;     // [L], once they are known
  Array<uint32_t> own_ids_, own_starts_;  // of texts as run_laid_out lays them out
};

// Runs the file's stored self-test vectors: self_test_failed when a logit differs in a single bit from the stored one.
Status run_self_tests(const Model& model, kernels::Isa isa) noexcept;

}  // namespace onepass
