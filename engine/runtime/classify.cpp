// Session::classify: texts to passes, each of as many texts (or chunks of long ones) as its budget of tokens takes.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/runtime/decide.h"
#include "engine/runtime/session.h"
#include "engine/runtime/session_errors.h"

namespace onepass {

size_t Session::token_limit(const ClassifyOptions& options) const noexcept {
  const size_t model_limit = model_->config().max_tokens;
  return options.max_tokens == 0 ? model_limit : std::min(options.max_tokens, model_limit);
}

Status Session::read_chunk(Reader& reader, const ClassifyOptions& options, TextResult& result) noexcept {
  const std::string_view text = reader.texts[reader.text];
  if (!reader.in_chunks) {
    const size_t limit = token_limit(options), special = model_->tokenizer().special_count();
    const size_t overlap = options.overlap == ClassifyOptions::default_overlap ? limit / 8 : options.overlap;
    if (limit <= special) {
      return make_error(Code::invalid_argument, Error::no_offset, "max_tokens",
                        "%zu leave no room for the text beside the template's %zu", limit, special);
    }
    if (overlap > limit / 4) {
      return make_error(Code::invalid_argument, Error::no_offset, "overlap",
                        "the overlap must be at most a quarter of max_tokens, which is %zu", limit / 4);
    }
    reader.chunker = Chunker(model_->tokenizer(), text, {.max_tokens = limit, .overlap = overlap});
    reader.in_chunks = true;
    result = {.chunks = 0};
  }
  Chunk chunk;
  ONEPASS_TRY(reader.chunker.next(encode_scratch_, spans_, ids_, chunk));
  if (chunk.tokens == 0) {
    return make_error(Code::invalid_argument, Error::no_offset, "text",
                      "a part of the text has no tokens and the tokenizer's template adds none");
  }
  ++result.chunks;
  result.tokens += chunk.tokens;
  result.text_tokens += chunk.new_tokens;
  const bool last = reader.chunker.done();
  if (last) {
    result.text_tokens = result.chunks == 1
                             ? chunk.tokens
                             : result.text_tokens + static_cast<uint32_t>(model_->tokenizer().special_count());
    result.bytes_read = text.size();
    reader.in_chunks = false;
  }
  if (!segments_.push_back({reader.text, chunk, last})) return no_session_memory("texts", sizeof(Segment));
  reader.text += last;
  return {};
}

Result<bool> Session::read_segment(Reader& reader, const ClassifyOptions& options,
                                   std::span<TextResult> results) noexcept {
  if (reader.text == reader.texts.size()) return false;
  const size_t text = reader.text;
  if (options.on_long == OnLong::chunk) {
    if (const Status s = read_chunk(reader, options, results[text]); !s.ok()) return of_text(s.error(), text);
  } else {
    if (const Status s = encode(reader.texts[text], options, nullptr, results[text]); !s.ok()) {
      return of_text(s.error(), text);
    }
    const Chunk whole{0, results[text].bytes_read, results[text].tokens, 0};
    if (!segments_.push_back({text, whole, true})) return no_session_memory("texts", sizeof(Segment));
    ++reader.text;
  }
  if (!starts_.push_back(static_cast<uint32_t>(ids_.size()))) return no_session_memory("texts", starts_.size() * 4);
  return true;
}

void Session::add_chunk(const Segment& segment, const float* chunk_logits, Aggregate aggregate,
                        float* logits) noexcept {
  const size_t classes = model_->total_classes();
  const bool first = segment.chunk.begin == 0;
  if (first && segment.last) {
    std::memcpy(logits, chunk_logits, classes * sizeof(float));
    return;
  }
  const size_t special = model_->tokenizer().special_count();
  // A chunk of no tokens but the template's has a say, too, where it is the only one.
  const double weight = std::max<double>(static_cast<double>(segment.chunk.tokens - special), 0x1p-20);
  if (first) {
    weight_ = 0;
    std::fill(sums_.begin(), sums_.end(), 0.0);
  }
  weight_ += weight;
  size_t c = 0;
  for (const HeadView& head : model_->heads()) {
    const bool largest = aggregate == Aggregate::max && head.kind != HeadKind::regression;
    for (const size_t end = c + head.labels.size(); c < end; ++c) {
      const auto value = static_cast<double>(chunk_logits[c]);
      if (largest) {
        sums_[c] = first ? value : std::max(sums_[c], value);
      } else {
        sums_[c] += weight * value;
      }
      if (segment.last) logits[c] = static_cast<float>(largest ? sums_[c] : sums_[c] / weight_);
    }
  }
}

Status Session::run_segments(size_t count, const ClassifyOptions& options, const Output& output) noexcept {
  const size_t classes = model_->total_classes();
  const Batch batch{ids_.span().first(starts_[count]), starts_.span().first(count + 1), segments_[0].text};
  if (options.on_long != OnLong::chunk) {
    ONEPASS_TRY(run_pass(batch, output.logits.subspan(segments_[0].text * classes, count * classes), {}));
  } else {
    if (!segment_logits_.resize(count * classes) || !sums_.resize(classes)) {
      return no_session_memory("chunks", count * classes * sizeof(float));
    }
    if (const Status s = run_pass(batch, segment_logits_.span(), {}); !s.ok()) {
      if (s.code() != Code::non_finite_result) return s;
      size_t bad = 0;
      while (bad + 1 < segment_logits_.size() && std::isfinite(segment_logits_[bad])) ++bad;
      Error error = s.error();
      std::snprintf(error.where, sizeof(error.where), "text %zu", segments_[bad / classes].text);
      return error;
    }
    for (size_t s = 0; s < count; ++s) {
      const Segment& segment = segments_[s];
      const float* of_segment = segment_logits_.data() + s * classes;
      add_chunk(segment, of_segment, options.aggregate, output.logits.data() + segment.text * classes);
      if (output.observer.call != nullptr) {
        output.observer.call(output.observer.context, segment.text, segment.chunk, {of_segment, classes});
      }
    }
  }
  // What did not fit opens the next pass.
  const uint32_t used = starts_[count];
  for (size_t i = 0; i + count < starts_.size(); ++i) starts_[i] = starts_[i + count] - used;
  std::memmove(ids_.data(), ids_.data() + used, (ids_.size() - used) * sizeof(uint32_t));
  const size_t left = segments_.size() - count;
  std::memmove(static_cast<void*>(segments_.data()), segments_.data() + count, left * sizeof(Segment));
  // None of these grows.
  const bool shrunk = ids_.resize(ids_.size() - used) && starts_.resize(left + 1) && segments_.resize(left);
  return shrunk ? Status() : no_session_memory("texts", 0);
}

Status Session::classify(std::span<const std::string_view> texts, const ClassifyOptions& options,
                         std::span<TextResult> results, std::span<float> logits, std::span<float> scores,
                         const ChunkObserver& observer) noexcept {
  const size_t classes = model_->total_classes();
  if (model_->labels_tokens()) {
    return make_error(Code::invalid_argument, Error::no_offset, "heads",
                      "the model labels tokens, not texts: ask for the labels of tokens, or for entities");
  }
  if (results.size() < texts.size() || logits.size() < texts.size() * classes ||
      (!scores.empty() && scores.size() < texts.size() * classes)) {
    return make_error(Code::buffer_too_small, Error::no_offset, "results",
                      "%zu texts need %zu floats of logits and of scores", texts.size(), texts.size() * classes);
  }
  ids_.clear();
  starts_.clear();
  segments_.clear();
  if (!starts_.push_back(0)) return no_session_memory("texts", sizeof(uint32_t));
  Reader reader{.texts = texts};
  const Output output{logits, observer};
  while (true) {
    ONEPASS_TRY_ASSIGN(more, read_segment(reader, options, results));
    if (!more) break;
    // At least one segment a pass, however long.
    const size_t continued = segments_.size() * model_->weights().tree.ids.size();
    if (segments_.size() > 1 && ids_.size() + continued > options_.tokens_per_pass) {
      ONEPASS_TRY(run_segments(segments_.size() - 1, options, output));
    }
  }
  if (!segments_.empty()) ONEPASS_TRY(run_segments(segments_.size(), options, output));
  if (scores.empty()) return {};
  for (size_t b = 0; b < texts.size(); ++b) {
    results[b].confidence = all_scores(model_->heads(), logits.data() + b * classes, scores.data() + b * classes);
  }
  return {};
}

}  // namespace onepass
