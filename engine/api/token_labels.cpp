// The C ABI of models that label tokens.
#include <onepass/onepass.h>

#include <cstring>

#include "engine/api/handles.h"
#include "engine/runtime/entities.h"

namespace {

using namespace onepass::api;
using onepass::Code;
using onepass::Error;
using onepass::make_error;

// Copies the labels of one text's tokens to the caller, where they fit.
struct TokenCopy {
  onepass_token* tokens;
  float *scores, *logits;
  size_t capacity;
  size_t count = 0;

  static onepass::Status call(void* context, const onepass::TokenRows& rows) noexcept {
    TokenCopy& self = *static_cast<TokenCopy*>(context);
    self.count = rows.ids.size();
    if (self.count > self.capacity) {
      return make_error(Code::buffer_too_small, Error::no_offset, "tokens", "the text has %zu tokens", self.count);
    }
    for (size_t t = 0; self.tokens != nullptr && t < self.count; ++t) {
      self.tokens[t] = {rows.ids[t], rows.spans[t].begin, rows.spans[t].end};
    }
    if (self.scores != nullptr) std::memcpy(self.scores, rows.scores.data(), rows.scores.size_bytes());
    if (self.logits != nullptr) std::memcpy(self.logits, rows.logits.data(), rows.logits.size_bytes());
    return {};
  }
};

// Copies entities to the caller as far as they fit, and counts them all.
struct EntityCopy {
  onepass::EntityFinder finder;
  onepass_entity* entities;
  size_t capacity;
  size_t* starts;
  size_t count = 0;

  static onepass::Status call(void* context, const onepass::TokenRows& rows) noexcept {
    EntityCopy& self = *static_cast<EntityCopy*>(context);
    self.finder.find(rows, {add, context});
    self.starts[rows.text + 1] = self.count;
    return {};
  }
  static void add(void* context, const onepass::Entity& e) noexcept {
    EntityCopy& self = *static_cast<EntityCopy*>(context);
    if (self.count < self.capacity) self.entities[self.count] = {string(e.group), e.label, e.score, e.begin, e.end};
    ++self.count;
  }
};

}  // namespace

ONEPASS_API onepass_status onepass_label_tokens(onepass_session* session, onepass_string text,
                                                const onepass_classify_options* given, onepass_result* result,
                                                onepass_token* tokens, float* scores, float* logits, size_t capacity,
                                                size_t* count, onepass_error* error) {
  if (count == nullptr) return null_argument("count", error);
  *count = 0;
  if (session == nullptr) return null_argument("session", error);
  onepass::ClassifyOptions options;
  if (const auto bad = classify_options(given, &options, error); bad != ONEPASS_OK) return bad;
  if (const auto bad = take_texts(session, &text, 1, error); bad != ONEPASS_OK) return bad;
  TokenCopy copy{tokens, scores, logits, capacity};
  Call call(session, 1);
  const auto status =
      session->session.label_tokens(session->texts.span(), options, session->results.span(), {TokenCopy::call, &copy});
  *count = copy.count;
  if (!status.ok()) return call.fail(status.error(), error);
  call.add_tokens(session->results[0].tokens);
  if (result != nullptr) *result = result_of(session->results[0]);
  return ONEPASS_OK;
}

ONEPASS_API onepass_status onepass_find_entities(onepass_session* session, const onepass_string* texts, size_t count,
                                                 const onepass_entity_options* given, onepass_result* results,
                                                 onepass_entity* entities, size_t capacity, size_t* starts,
                                                 onepass_error* error) {
  if (starts == nullptr) return null_argument("starts", error);
  starts[0] = 0;
  if (session == nullptr) return null_argument("session", error);
  if (const auto bad = check_options(given, "onepass_entity_options", error); bad != ONEPASS_OK) return bad;
  const auto options = read_options(given);
  onepass_classify_options of_text = ONEPASS_INIT(onepass_classify_options);
  std::memcpy(&of_text.on_long, &options.on_long, sizeof(of_text.on_long));
  of_text.max_tokens = options.max_tokens;
  onepass::ClassifyOptions use;
  if (const auto bad = classify_options(&of_text, &use, error); bad != ONEPASS_OK) return bad;
  const uint32_t aggregation = number(options.aggregation);
  if (aggregation >= onepass::aggregation_count) {
    return invalid("aggregation", "must be one of onepass_aggregation", error);
  }
  const onepass::Model& model = session->session.model();
  if (options.head >= model.heads().size()) return invalid("head", "the model has fewer heads", error);
  if (count == 0) return ONEPASS_OK;
  if (texts == nullptr) return null_argument("texts", error);
  if (entities == nullptr && capacity != 0) return null_argument("entities", error);
  if (const auto bad = take_texts(session, texts, count, error); bad != ONEPASS_OK) return bad;
  EntityCopy copy{onepass::EntityFinder(model, options.head, static_cast<onepass::Aggregation>(aggregation)), entities,
                  capacity, starts};
  Call call(session, count);
  const auto status =
      session->session.label_tokens(session->texts.span(), use, session->results.span(), {EntityCopy::call, &copy});
  if (!status.ok()) return call.fail(status.error(), error);
  for (size_t b = 0; b < count; ++b) call.add_tokens(session->results[b].tokens);
  for (size_t b = 0; results != nullptr && b < count; ++b) results[b] = result_of(session->results[b]);
  if (copy.count > capacity) {
    return report(
        make_error(Code::buffer_too_small, Error::no_offset, "entities", "the texts have %zu entities", copy.count),
        error);
  }
  return ONEPASS_OK;
}
