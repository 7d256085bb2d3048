// The C ABI over Model and Session: option structs of any older size, statuses, and nothing else.
#include <onepass/onepass.h>

#include <cstring>

#include "engine/api/handles.h"
#include "engine/runtime/decide.h"

namespace onepass::api {

onepass_status report(const Error& from, onepass_error* to) noexcept {
  const auto status = static_cast<onepass_status>(from.code);
  if (to != nullptr) {
    onepass_error error{};
    error.status = status;
    error.offset = from.offset;
    static_assert(sizeof(error.where) >= sizeof(from.where) && sizeof(error.message) >= sizeof(from.message));
    std::memcpy(error.where, from.where, sizeof(from.where));
    std::memcpy(error.message, from.message, sizeof(from.message));
    fill(error, to);
  }
  return status;
}

onepass_status invalid(const char* what, const char* why, onepass_error* error) noexcept {
  return report(make_error(Code::invalid_argument, Error::no_offset, what, "%s", why), error);
}

onepass_status null_argument(const char* what, onepass_error* error) noexcept {
  return invalid(what, "must not be NULL", error);
}

onepass_status check_options(const void* given, size_t known, const char* name, onepass_error* error) noexcept {
  if (given == nullptr) return ONEPASS_OK;
  size_t size = 0;
  std::memcpy(&size, given, sizeof(size));
  constexpr size_t most = 4096;  // of any version
  if (size < sizeof(size) || size > most) {
    return invalid(name, "its struct_size is not that of a struct: initialise it with ONEPASS_INIT", error);
  }
  for (size_t i = known; i < size; ++i) {
    if (static_cast<const unsigned char*>(given)[i] == 0) continue;
    return report(make_error(Code::unsupported, Error::no_offset, name,
                             "byte %zu is set, and version " ONEPASS_VERSION
                             " has %zu: leave newer fields 0, or link a newer library",
                             i, known),
                  error);
  }
  return ONEPASS_OK;
}

const HeadView* find_head(const onepass_model* model, uint32_t head) noexcept {
  if (model == nullptr || head >= model->model.heads().size()) return nullptr;
  return &model->model.heads()[head];
}

uint32_t first_class(const onepass_model* model, uint32_t head) noexcept {
  size_t first = 0;
  for (uint32_t h = 0; h < head; ++h) first += model->model.heads()[h].labels.size();
  return static_cast<uint32_t>(first);
}

onepass_status classify_options(const onepass_classify_options* given, ClassifyOptions* to,
                                onepass_error* error) noexcept {
  if (const auto bad = check_options(given, "onepass_classify_options", error); bad != ONEPASS_OK) return bad;
  const auto options = read_options(given);
  const uint32_t on_long = number(options.on_long);
  if (on_long > ONEPASS_LONG_CHUNK) {
    return invalid("on_long", "must be ONEPASS_LONG_TRUNCATE, ONEPASS_LONG_ERROR or ONEPASS_LONG_CHUNK", error);
  }
  const uint32_t aggregate = number(options.aggregate);
  if (aggregate > ONEPASS_CHUNKS_MAX) {
    return invalid("aggregate", "must be ONEPASS_CHUNKS_MEAN or ONEPASS_CHUNKS_MAX", error);
  }
  constexpr OnLong kOnLong[] = {OnLong::truncate, OnLong::error, OnLong::chunk};
  to->on_long = kOnLong[on_long];
  to->max_tokens = options.max_tokens;
  if (options.overlap != 0) to->overlap = options.overlap == ONEPASS_NO_OVERLAP ? 0 : options.overlap;
  to->aggregate = aggregate == ONEPASS_CHUNKS_MAX ? Aggregate::max : Aggregate::mean;
  return ONEPASS_OK;
}

onepass_status take_texts(onepass_session* session, const onepass_string* texts, size_t count,
                          onepass_error* error) noexcept {
  if (!session->texts.resize(count) || !session->results.resize(count)) {
    return report(make_error(Code::out_of_memory, Error::no_offset, "texts",
                             "no memory for %zu texts; pass fewer at a time", count),
                  error);
  }
  for (size_t b = 0; b < count; ++b) {
    if (texts[b].data == nullptr && texts[b].size != 0) {
      return report(make_error(Code::invalid_argument, Error::no_offset, "texts", "text %zu is NULL with a size", b),
                    error);
    }
    session->texts[b] = texts[b].size == 0 ? std::string_view() : std::string_view(texts[b].data, texts[b].size);
  }
  return ONEPASS_OK;
}

onepass_result result_of(const TextResult& from) noexcept {
  return {from.tokens, from.truncated ? 1u : 0u, from.confidence, from.chunks, from.text_tokens, from.bytes_read};
}

}  // namespace onepass::api

namespace {

using namespace onepass::api;
using onepass::Code;
using onepass::Error;
using onepass::make_error;

}  // namespace

ONEPASS_API uint32_t onepass_abi_version(void) { return ONEPASS_ABI_VERSION; }
ONEPASS_API const char* onepass_version(void) { return ONEPASS_VERSION; }
ONEPASS_API const char* onepass_status_name(onepass_status status) {
  return status > UINT16_MAX ? "unknown" : onepass::code_name(static_cast<Code>(status));
}
ONEPASS_API const char* onepass_best_isa(void) { return onepass::kernels::isa_name(onepass::kernels::best_isa()); }
ONEPASS_API int onepass_isa_available(const char* name) {
  onepass::kernels::Isa isa{};
  return name != nullptr && onepass::kernels::isa_from_name(name, &isa) && onepass::kernels::isa_available(isa);
}

ONEPASS_API onepass_status onepass_model_get_info(const onepass_model* model, onepass_model_info* info) {
  if (model == nullptr || info == nullptr || !has_size(info)) return kInvalidArgument;
  const auto& file = model->model.file();
  const auto& meta = file.metadata();
  onepass_model_info value{};
  value.family = string(meta.family);
  value.model_id = string(meta.model_id);
  value.model_version = string(meta.model_version);
  value.licence = string(meta.licence);
  value.source_hash = string(meta.source_hash);
  value.quantisation = string(meta.quantisation);
  std::memcpy(value.root_hash, file.root_hash().data(), sizeof(value.root_hash));
  value.file_size = file.file_size();
  value.max_tokens = file.config().max_tokens;
  value.head_count = static_cast<uint32_t>(file.heads().size());
  value.class_count = file.total_classes();
  fill(value, info);
  return ONEPASS_OK;
}

ONEPASS_API onepass_status onepass_model_get_head(const onepass_model* model, uint32_t head, onepass_head_info* info) {
  const auto* h = find_head(model, head);
  if (h == nullptr || info == nullptr || !has_size(info)) return kInvalidArgument;
  onepass_head_info value{};
  value.name = string(h->name);
  value.kind = static_cast<onepass_head_kind>(h->kind);
  value.class_count = static_cast<uint32_t>(h->labels.size());
  value.first_class = first_class(model, head);
  value.temperature = h->temperature;
  value.range_low = h->range_low;
  value.range_high = h->range_high;
  fill(value, info);
  return ONEPASS_OK;
}

ONEPASS_API onepass_string onepass_model_label(const onepass_model* model, uint32_t head, uint32_t c) {
  const auto* h = find_head(model, head);
  return h == nullptr || c >= h->labels.size() ? onepass_string{"", 0} : string(h->labels[c]);
}

ONEPASS_API float onepass_model_threshold(const onepass_model* model, uint32_t head, uint32_t c) {
  const auto* h = find_head(model, head);
  return h == nullptr || c >= h->thresholds.size() ? 0.0f : h->thresholds[c];
}

ONEPASS_API onepass_status onepass_model_verify(const onepass_model* model, const char* isa_name,
                                                onepass_error* error) {
  if (model == nullptr) return null_argument("model", error);
  onepass::kernels::Isa isa{};
  onepass_status status = ONEPASS_OK;
  if (!parse_isa(isa_name, &isa, error, &status)) return status;
  if (const auto s = model->model.file().verify(); !s.ok()) return report(s.error(), error);
  if (const auto s = onepass::run_self_tests(model->model, isa); !s.ok()) return report(s.error(), error);
  return ONEPASS_OK;
}

ONEPASS_API const char* onepass_session_isa(const onepass_session* session) {
  return session == nullptr ? "" : onepass::kernels::isa_name(session->session.isa());
}

ONEPASS_API onepass_status onepass_classify(onepass_session* session, const onepass_string* texts, size_t count,
                                            const onepass_classify_options* given, onepass_result* results,
                                            float* scores, float* logits, onepass_error* error) {
  if (session == nullptr) return null_argument("session", error);
  onepass::ClassifyOptions options;
  if (const auto bad = classify_options(given, &options, error); bad != ONEPASS_OK) return bad;
  const auto decisions = read_options(given);
  onepass::Policy policy;
  if (decisions.policy != nullptr) {
    if (decisions.verdicts == nullptr) return null_argument("verdicts", error);
    if (const auto bad = read_policy(decisions.policy, &policy, error); bad != ONEPASS_OK) return bad;
  }
  if (count == 0) return ONEPASS_OK;
  if (texts == nullptr || results == nullptr || scores == nullptr) {
    return null_argument(texts == nullptr ? "texts" : results == nullptr ? "results" : "scores", error);
  }
  const size_t classes = session->session.model().total_classes();
  if (const auto bad = take_texts(session, texts, count, error); bad != ONEPASS_OK) return bad;
  if (logits == nullptr && !session->logits.resize(count * classes)) {
    return report(make_error(Code::out_of_memory, Error::no_offset, "texts",
                             "no memory for %zu texts; pass fewer at a time", count),
                  error);
  }
  Call call(session, count);
  const auto status = session->session.classify(
      session->texts.span(), options, session->results.span(),
      logits == nullptr ? session->logits.span() : std::span(logits, count * classes), {scores, count * classes});
  if (!status.ok()) return call.fail(status.error(), error);
  for (size_t b = 0; b < count; ++b) {
    const auto& r = session->results[b];
    call.add_tokens(r.tokens);
    if (decisions.policy != nullptr) {
      const auto verdict =
          onepass::decide(policy, session->session.model().heads(),
                          {session->texts[b], r.text_tokens, r.confidence, {scores + b * classes, classes}});
      decisions.verdicts[b] = verdict_of(verdict);
      call.add_route(verdict.route);
    }
    results[b] = result_of(r);
  }
  return ONEPASS_OK;
}

ONEPASS_API onepass_status onepass_classify_chunks(onepass_session* session, onepass_string text,
                                                   const onepass_classify_options* given, onepass_result* result,
                                                   float* scores, onepass_chunk* chunks, float* chunk_scores,
                                                   size_t capacity, size_t* count, onepass_error* error) {
  if (count == nullptr) return null_argument("count", error);
  *count = 0;
  if (session == nullptr) return null_argument("session", error);
  if (result == nullptr || scores == nullptr) return null_argument(result == nullptr ? "result" : "scores", error);
  if (chunks == nullptr && capacity != 0) return null_argument("chunks", error);
  if (text.data == nullptr && text.size != 0) return null_argument("text", error);
  onepass::ClassifyOptions options;
  if (const auto bad = classify_options(given, &options, error); bad != ONEPASS_OK) return bad;
  options.on_long = onepass::OnLong::chunk;
  const onepass::Model& model = session->session.model();
  const size_t classes = model.total_classes();
  if (!session->logits.resize(classes)) {
    return report(make_error(Code::out_of_memory, Error::no_offset, "text", "no memory for its logits"), error);
  }
  struct Seen {
    const onepass::Model& model;
    onepass_chunk* chunks;
    float* scores;
    size_t capacity, count;
  } seen{model, chunks, chunk_scores, capacity, 0};
  const onepass::ChunkObserver observer{
      [](void* context, size_t, const onepass::Chunk& chunk, std::span<const float> logits) {
        auto& s = *static_cast<Seen*>(context);
        const size_t i = s.count++;
        if (i >= s.capacity) return;
        s.chunks[i] = {chunk.begin, chunk.end, chunk.tokens, chunk.new_tokens};
        if (s.scores != nullptr) onepass::all_scores(s.model.heads(), logits.data(), s.scores + i * logits.size());
      },
      &seen};
  const std::string_view one = text.size == 0 ? std::string_view() : view(text);
  onepass::TextResult r;
  Call call(session, 1);
  const auto status =
      session->session.classify({&one, 1}, options, {&r, 1}, session->logits.span(), {scores, classes}, observer);
  if (!status.ok()) return call.fail(status.error(), error);
  call.add_tokens(r.tokens);
  *result = result_of(r);
  *count = seen.count;
  if (seen.count <= capacity) return ONEPASS_OK;
  return report(make_error(Code::buffer_too_small, Error::no_offset, "chunks", "the text has %zu chunks", seen.count),
                error);
}

ONEPASS_API int onepass_label_applies(const onepass_model* model, uint32_t head, uint32_t c, const float* scores) {
  const auto* h = find_head(model, head);
  if (h == nullptr || c >= h->labels.size() || scores == nullptr) return 0;
  return onepass::label_applies(*h, {scores + first_class(model, head), h->labels.size()}, c);
}

ONEPASS_API onepass_status onepass_run_ids(onepass_session* session, const uint32_t* ids, const uint32_t* starts,
                                           size_t count, float* logits, onepass_error* error) {
  if (session == nullptr) return null_argument("session", error);
  if (count == 0) return ONEPASS_OK;
  if (ids == nullptr || starts == nullptr || logits == nullptr) {
    return null_argument(ids == nullptr ? "ids" : starts == nullptr ? "starts" : "logits", error);
  }
  if (session->session.model().labels_tokens()) {
    return invalid("heads", "the model labels tokens: call onepass_label_tokens or onepass_find_entities", error);
  }
  Call call(session, count);
  const auto status = session->session.run_ids({ids, starts[count]}, {starts, count + 1},
                                               {logits, count * session->session.model().total_classes()});
  if (!status.ok()) return call.fail(status.error(), error);
  call.add_tokens(starts[count]);
  return ONEPASS_OK;
}

ONEPASS_API onepass_status onepass_scores(const onepass_model* model, const float* logits, float* scores,
                                          float* confidence) {
  if (model == nullptr || logits == nullptr || scores == nullptr) return kInvalidArgument;
  const float value = onepass::all_scores(model->model.heads(), logits, scores);
  if (confidence != nullptr) *confidence = value;
  return ONEPASS_OK;
}

ONEPASS_API onepass_status onepass_tokenize(onepass_session* session, onepass_string text,
                                            const onepass_classify_options* given, onepass_token* tokens,
                                            size_t capacity, size_t* count, onepass_error* error) {
  if (count == nullptr) return null_argument("count", error);
  *count = 0;
  if (session == nullptr) return null_argument("session", error);
  if (tokens == nullptr && capacity != 0) return null_argument("tokens", error);
  if (text.data == nullptr && text.size != 0) return null_argument("text", error);
  onepass::ClassifyOptions options;
  if (const auto bad = classify_options(given, &options, error); bad != ONEPASS_OK) return bad;
  if (options.on_long == onepass::OnLong::chunk) {
    return invalid("on_long", "tokens are those of one pass: tokenize a chunk of the text at a time", error);
  }
  auto encoded =
      session->session.tokenize(text.size == 0 ? std::string_view() : std::string_view(text.data, text.size), options);
  if (!encoded.ok()) return report(encoded.error(), error);
  const auto& all = encoded.value();
  *count = all.ids.size();
  if (all.ids.size() > capacity) {
    return report(
        make_error(Code::buffer_too_small, Error::no_offset, "tokens", "the text has %zu tokens", all.ids.size()),
        error);
  }
  if (tokens == nullptr) return ONEPASS_OK;  // no room was given and none is needed
  for (size_t t = 0; t < all.ids.size(); ++t) tokens[t] = {all.ids[t], all.spans[t].begin, all.spans[t].end};
  return ONEPASS_OK;
}

ONEPASS_API onepass_string onepass_piece(const onepass_model* model, uint32_t id) {
  return model == nullptr ? onepass_string{"", 0} : string(model->model.tokenizer().token(id));
}
