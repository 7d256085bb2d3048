// Session::label_tokens: what the heads say of every token of a text.
#include <algorithm>

#include "engine/runtime/decide.h"
#include "engine/runtime/session.h"
#include "engine/runtime/session_errors.h"

namespace onepass {

Result<size_t> Session::fill_pass(std::span<const std::string_view> texts, size_t begin, const ClassifyOptions& options,
                                  Array<TokenSpan>* spans, std::span<TextResult> results) noexcept {
  ids_.clear();
  starts_.clear();
  if (spans != nullptr) spans->clear();
  if (!starts_.push_back(0)) return no_session_memory("texts", sizeof(uint32_t));
  size_t end = begin;
  // At least one text a pass; a text that would exceed the budget opens the next pass.
  while (end < texts.size()) {
    const size_t before = ids_.size();
    if (const Status s = encode(texts[end], options, spans, results[end]); !s.ok()) return of_text(s.error(), end);
    if (end != begin && ids_.size() > options_.tokens_per_pass) {
      if (!ids_.resize(before)) return no_session_memory("texts", before);
      break;
    }
    if (!starts_.push_back(static_cast<uint32_t>(ids_.size()))) return no_session_memory("texts", starts_.size() * 4);
    ++end;
  }
  return end;
}

Status Session::label_tokens(std::span<const std::string_view> texts, const ClassifyOptions& options,
                             std::span<TextResult> results, const TokenVisitor& visitor) noexcept {
  const size_t classes = model_->total_classes();
  if (!model_->labels_tokens()) {
    return make_error(Code::invalid_argument, Error::no_offset, "heads",
                      "the model labels texts, not tokens: classify its texts instead");
  }
  if (options.on_long == OnLong::chunk) {
    return make_error(Code::invalid_argument, Error::no_offset, "on_long",
                      "labels of tokens are those of one pass: give it a part of the text at a time");
  }
  if (results.size() < texts.size()) {
    return make_error(Code::buffer_too_small, Error::no_offset, "results", "%zu texts need as many results",
                      texts.size());
  }
  const size_t before = model_->tokenizer().prefix().size();
  const size_t after = model_->tokenizer().special_count() - before;
  for (size_t begin = 0; begin < texts.size();) {
    ONEPASS_TRY_ASSIGN(end, fill_pass(texts, begin, options, &spans_, results));
    const size_t floats = ids_.size() * classes;
    if (!token_logits_.resize_uninitialized(floats) || !token_scores_.resize_uninitialized(floats)) {
      return no_session_memory("texts", floats * 2 * sizeof(float));
    }
    ONEPASS_TRY(run_pass({ids_.span(), starts_.span(), begin}, token_logits_.span(), {}));
    for (size_t b = begin; b < end; ++b) {
      const size_t first = starts_[b - begin], count = starts_[b - begin + 1] - first;
      const TokenRows rows{.text = b,
                           .source = texts[b],
                           .ids = ids_.span().subspan(first, count),
                           .spans = spans_.span().subspan(first, count),
                           .begin = before,
                           .end = count - after,
                           .logits = token_logits_.span().subspan(first * classes, count * classes),
                           .scores = token_scores_.span().subspan(first * classes, count * classes)};
      results[b].confidence = 1;
      for (size_t t = 0; t < count; ++t) {
        const size_t at = (first + t) * classes;
        const float sure = all_scores(model_->heads(), token_logits_.data() + at, token_scores_.data() + at);
        if (t >= rows.begin && t < rows.end) results[b].confidence = std::min(results[b].confidence, sure);
      }
      ONEPASS_TRY(visitor.call(visitor.context, rows));
    }
    begin = end;
  }
  return {};
}

}  // namespace onepass
