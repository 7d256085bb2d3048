#include "engine/runtime/entities.h"

#include <algorithm>

#include "engine/core/utf8.h"

namespace onepass {

namespace {

constexpr std::string_view kOutside = "O";

bool begins_entity(std::string_view label) noexcept { return label.starts_with("B-"); }

// The label without its "B-" or "I-".
std::string_view tag_of(std::string_view label) noexcept {
  return begins_entity(label) || label.starts_with("I-") ? part(label, 2, label.size()) : label;
}

std::string_view group_of(std::string_view label) noexcept {
  const size_t dash = label.find('-');
  return dash == std::string_view::npos ? label : part(label, dash + 1, label.size());
}

size_t characters(std::string_view text) noexcept {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); ++count) at += decode_utf8(text, at).length;
  return count;
}

uint32_t greatest(std::span<const float> values) noexcept {
  return static_cast<uint32_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

}  // namespace

EntityFinder::EntityFinder(const Model& model, size_t head, Aggregation aggregation) noexcept
    : model_(model), head_(model.heads()[head]), aggregation_(aggregation) {
  for (size_t h = 0; h < head; ++h) first_class_ += model.heads()[h].labels.size();
}

std::span<float> EntityFinder::scores_of(const TokenRows& rows, size_t token) const noexcept {
  return rows.scores.subspan(token * model_.total_classes() + first_class_, head_.labels.size());
}

bool EntityFinder::continues_word(const TokenRows& rows, size_t token) const noexcept {
  const TokenSpan span = rows.spans[token];
  const uint32_t id = rows.ids[token];
  if (model_.tokenizer().is_unknown(id)) return false;
  if (model_.tokenizer().marks_continuation()) {
    // The piece is longer than what it covers by its mark.
    return characters(model_.tokenizer().token(id)) != characters(onepass::part(rows.source, span.begin, span.end));
  }
  const auto space = [&](size_t at) { return at < rows.source.size() && rows.source[at] == ' '; };
  return span.begin > 0 && !space(span.begin - 1) && !space(span.begin);
}

EntityFinder::Part EntityFinder::part(const TokenRows& rows, size_t first, size_t end) const noexcept {
  std::span<float> scores = scores_of(rows, first);
  if (aggregation_ == Aggregation::max) {
    for (size_t t = first + 1; t < end; ++t) {
      const std::span<float> other = scores_of(rows, t);
      if (other[greatest(other)] > scores[greatest(scores)]) scores = other;
    }
  } else if (aggregation_ == Aggregation::average && end - first > 1) {
    const float count = static_cast<float>(end - first);
    for (size_t c = 0; c < scores.size(); ++c) {
      for (size_t t = first + 1; t < end; ++t) scores[c] += scores_of(rows, t)[c];
      scores[c] /= count;
    }
  }
  const uint32_t label = greatest(scores);
  return {label, scores[label], rows.spans[first].begin, rows.spans[end - 1].end};
}

void EntityFinder::flush(const EntitySink& sink) noexcept {
  const Group group = group_;
  group_ = {};
  if (group.parts == 0) return;
  const std::string_view label = head_.labels[group.label];
  const std::string_view name = aggregation_ == Aggregation::none ? label : group_of(label);
  if (name == kOutside) return;
  sink.call(sink.context, {name, group.label, group.sum / static_cast<float>(group.parts), group.begin, group.end});
}

void EntityFinder::add(const Part& part, const EntitySink& sink) noexcept {
  const std::string_view label = head_.labels[part.label];
  const bool goes_on = aggregation_ != Aggregation::none && group_.parts != 0 && !begins_entity(label) &&
                       tag_of(label) == tag_of(head_.labels[group_.label]);
  if (!goes_on) {
    flush(sink);
    group_.label = part.label;
    group_.begin = part.begin;
  }
  group_.end = part.end;
  group_.sum += part.score;
  ++group_.parts;
}

void EntityFinder::find(const TokenRows& rows, const EntitySink& sink) noexcept {
  group_ = {};
  const bool words =
      aggregation_ == Aggregation::first || aggregation_ == Aggregation::average || aggregation_ == Aggregation::max;
  for (size_t first = rows.begin; first < rows.end;) {
    size_t end = first + 1;
    while (words && end < rows.end && continues_word(rows, end)) ++end;
    add(part(rows, first, end), sink);
    first = end;
  }
  flush(sink);
}

}  // namespace onepass
