// The C ABI over Model and Session: option structs of any older size, statuses, and nothing else.
#include <onepass/onepass.h>

#include <cstring>
#include <new>

#include "engine/core/parallel.h"
#include "engine/runtime/decide.h"
#include "engine/runtime/entities.h"
#include "engine/runtime/model.h"
#include "engine/runtime/session.h"

#define ONEPASS_API extern "C" __attribute__((visibility("default")))

struct onepass_model {
  onepass::Model model;
};

struct onepass_session {
  onepass::Session session;
  // Grow-only, so that a call allocates nothing once the largest batch has been seen.
  onepass::Array<std::string_view> texts{};
  onepass::Array<onepass::TextResult> results{};
  onepass::Array<float> logits{};
};

namespace {

using onepass::Code;
using onepass::Error;
using onepass::make_error;

// Fills the caller's struct as far as the caller knows it; struct_size stays the caller's.
template <class T>
void fill(const T& value, T* to) {
  const size_t size = to->struct_size;
  if (size < sizeof(size)) return;
  std::memcpy(to, &value, size < sizeof(T) ? size : sizeof(T));
  to->struct_size = size;
}

onepass_status report(const Error& from, onepass_error* to) {
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

onepass_status invalid(const char* what, const char* why, onepass_error* error) {
  return report(make_error(Code::invalid_argument, Error::no_offset, what, "%s", why), error);
}

onepass_status null_argument(const char* what, onepass_error* error) {
  return invalid(what, "must not be NULL", error);
}

// False where a struct does not say its size: its fields would be ignored in silence.
template <class T>
bool has_size(const T* given) {
  return given == nullptr || given->struct_size >= sizeof(given->struct_size);
}

onepass_status no_size(const char* what, onepass_error* error) {
  return invalid(what, "its struct_size is 0: initialise the struct with ONEPASS_INIT", error);
}

// The caller's options in this build's struct: fields that an older caller lacks keep their zero. Requires has_size.
template <class T>
T read_options(const T* given) {
  T options{};
  if (given != nullptr) std::memcpy(&options, given, given->struct_size < sizeof(T) ? given->struct_size : sizeof(T));
  return options;
}

onepass_string string(std::string_view s) { return {s.data(), s.size()}; }

// An object on the heap without operator new, which would need the C++ library.
template <class Handle, class Value>
Handle* make_handle(Value value) {
  void* memory = onepass::allocate_aligned(sizeof(Handle));
  return memory == nullptr ? nullptr : ::new (memory) Handle{std::move(value)};
}

constexpr auto kInvalidArgument = static_cast<onepass_status>(Code::invalid_argument);

template <class Handle>
void destroy_handle(Handle* handle) {
  if (handle == nullptr) return;
  handle->~Handle();
  onepass::free_aligned(handle);
}

onepass_status finish_open(onepass::Result<onepass::Model> opened, const onepass_model_options& options,
                           const char* name, onepass_model** model, onepass_error* error) {
  if (!opened.ok()) {
    return report(opened.error(), error);
  }
  const auto& hash = opened.value().file().root_hash();
  if (options.expected_hash != nullptr && std::memcmp(options.expected_hash, hash.data(), hash.size()) != 0) {
    return report(make_error(Code::hash_mismatch, 32, name, "this is another model than the one expected"), error);
  }
  *model = make_handle<onepass_model>(std::move(opened.value()));
  if (*model == nullptr) {
    return report(make_error(Code::out_of_memory, Error::no_offset, name, "no memory for the model's handle"), error);
  }
  return ONEPASS_OK;
}

onepass::OpenOptions open_options(const onepass_model_options& options) {
  return {options.copy != 0 ? onepass::LoadMode::copy : onepass::LoadMode::map, options.skip_verify == 0};
}

bool parse_isa(const char* name, onepass::kernels::Isa* isa, onepass_error* error, onepass_status* status) {
  *isa = onepass::kernels::best_isa();
  if (name == nullptr || onepass::kernels::isa_from_name(name, isa)) return true;
  *status = report(make_error(Code::invalid_argument, Error::no_offset, name,
                              "no such level; levels are scalar avx2 avxvnni avx512 avx512vnni amx neon dotprod i8mm"),
                   error);
  return false;
}

// The status is ONEPASS_OK where *to is filled.
onepass_status classify_options(const onepass_classify_options* given, onepass::ClassifyOptions* to,
                                onepass_error* error) {
  if (!has_size(given)) return no_size("onepass_classify_options", error);
  const auto options = read_options(given);
  // Read as a number: the caller may have stored one that the enumeration does not have.
  uint32_t on_long = 0;
  static_assert(sizeof(on_long) == sizeof(options.on_long));
  std::memcpy(&on_long, &options.on_long, sizeof(on_long));
  if (on_long > ONEPASS_LONG_ERROR) {
    return invalid("on_long", "must be ONEPASS_LONG_TRUNCATE or ONEPASS_LONG_ERROR", error);
  }
  *to = {on_long == ONEPASS_LONG_ERROR ? onepass::OnLong::error : onepass::OnLong::truncate, options.max_tokens};
  return ONEPASS_OK;
}

// ONEPASS_OK where session->texts and session->results are filled.
onepass_status take_texts(onepass_session* session, const onepass_string* texts, size_t count, onepass_error* error) {
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

const onepass::HeadView* find_head(const onepass_model* model, uint32_t head) {
  if (model == nullptr || head >= model->model.heads().size()) return nullptr;
  return &model->model.heads()[head];
}

uint32_t first_class(const onepass_model* model, uint32_t head) {
  size_t first = 0;
  for (uint32_t h = 0; h < head; ++h) first += model->model.heads()[h].labels.size();
  return static_cast<uint32_t>(first);
}

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

ONEPASS_API onepass_status onepass_model_open(const char* path, const onepass_model_options* given,
                                              onepass_model** model, onepass_error* error) {
  if (model == nullptr) return null_argument("model", error);
  *model = nullptr;
  if (path == nullptr) return null_argument("path", error);
  if (!has_size(given)) return no_size("onepass_model_options", error);
  const auto options = read_options(given);
  return finish_open(onepass::Model::open(path, open_options(options)), options, path, model, error);
}

ONEPASS_API onepass_status onepass_model_open_memory(const void* data, size_t size, const onepass_model_options* given,
                                                     onepass_model** model, onepass_error* error) {
  if (model == nullptr) return null_argument("model", error);
  *model = nullptr;
  if (data == nullptr) return null_argument("data", error);
  if (!has_size(given)) return no_size("onepass_model_options", error);
  const auto options = read_options(given);
  return finish_open(onepass::Model::from_memory({static_cast<const uint8_t*>(data), size}, open_options(options)),
                     options, "memory", model, error);
}

ONEPASS_API void onepass_model_close(onepass_model* model) { destroy_handle(model); }

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

ONEPASS_API onepass_status onepass_session_open(const onepass_model* model, const onepass_session_options* given,
                                                onepass_session** session, onepass_error* error) {
  if (session == nullptr) return null_argument("session", error);
  *session = nullptr;
  if (model == nullptr) return null_argument("model", error);
  if (!has_size(given)) return no_size("onepass_session_options", error);
  const auto options = read_options(given);
  onepass::SessionOptions use;
  onepass_status status = ONEPASS_OK;
  if (!parse_isa(options.isa, &use.isa, error, &status)) return status;
  const unsigned threads = options.threads == 0 ? 1 : options.threads;
  if (threads > 1024) return invalid("threads", "must be at most 1,024", error);
  if (threads > 1) {
    use.executor = options.executor != nullptr ? onepass::Executor{options.executor, options.executor_context, threads}
                                               : onepass::openmp_executor(threads);
  }
  if (options.tokens_per_pass != 0) use.tokens_per_pass = options.tokens_per_pass;
  auto created = onepass::Session::create(model->model, use);
  if (!created.ok()) return report(created.error(), error);
  *session = make_handle<onepass_session>(std::move(created.value()));
  if (*session == nullptr) {
    return report(make_error(Code::out_of_memory, Error::no_offset, "session", "no memory for the handle"), error);
  }
  return ONEPASS_OK;
}

ONEPASS_API void onepass_session_close(onepass_session* session) { destroy_handle(session); }

ONEPASS_API const char* onepass_session_isa(const onepass_session* session) {
  return session == nullptr ? "" : onepass::kernels::isa_name(session->session.isa());
}

ONEPASS_API onepass_status onepass_classify(onepass_session* session, const onepass_string* texts, size_t count,
                                            const onepass_classify_options* given, onepass_result* results,
                                            float* scores, float* logits, onepass_error* error) {
  if (session == nullptr) return null_argument("session", error);
  onepass::ClassifyOptions options;
  if (const auto bad = classify_options(given, &options, error); bad != ONEPASS_OK) return bad;
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
  const auto status = session->session.classify(
      session->texts.span(), options, session->results.span(),
      logits == nullptr ? session->logits.span() : std::span(logits, count * classes), {scores, count * classes});
  if (!status.ok()) return report(status.error(), error);
  for (size_t b = 0; b < count; ++b) {
    const auto& r = session->results[b];
    results[b] = {r.tokens, r.truncated ? 1u : 0u, r.confidence};
  }
  return ONEPASS_OK;
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
  const auto status = session->session.run_ids({ids, starts[count]}, {starts, count + 1},
                                               {logits, count * session->session.model().total_classes()});
  return status.ok() ? ONEPASS_OK : report(status.error(), error);
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

namespace {

onepass_result result_of(const onepass::TextResult& from) {
  onepass_result to{};
  to.tokens = from.tokens;
  to.truncated = from.truncated ? 1u : 0u;
  to.confidence = from.confidence;
  return to;
}

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
  const auto status =
      session->session.label_tokens(session->texts.span(), options, session->results.span(), {TokenCopy::call, &copy});
  *count = copy.count;
  if (!status.ok()) return report(status.error(), error);
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
  if (!has_size(given)) return no_size("onepass_entity_options", error);
  const auto options = read_options(given);
  onepass_classify_options of_text = ONEPASS_INIT(onepass_classify_options);
  std::memcpy(&of_text.on_long, &options.on_long, sizeof(of_text.on_long));
  of_text.max_tokens = options.max_tokens;
  onepass::ClassifyOptions use;
  if (const auto bad = classify_options(&of_text, &use, error); bad != ONEPASS_OK) return bad;
  uint32_t aggregation = 0;
  static_assert(sizeof(aggregation) == sizeof(options.aggregation));
  std::memcpy(&aggregation, &options.aggregation, sizeof(aggregation));
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
  const auto status =
      session->session.label_tokens(session->texts.span(), use, session->results.span(), {EntityCopy::call, &copy});
  if (!status.ok()) return report(status.error(), error);
  for (size_t b = 0; results != nullptr && b < count; ++b) results[b] = result_of(session->results[b]);
  if (copy.count > capacity) {
    return report(
        make_error(Code::buffer_too_small, Error::no_offset, "entities", "the texts have %zu entities", copy.count),
        error);
  }
  return ONEPASS_OK;
}
