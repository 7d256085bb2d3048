// The C ABI's sessions: opening, what is said to them while they run, and what they tell of their calls.
#include "engine/api/handles.h"
#include "engine/core/parallel.h"
#include "engine/core/platform.h"

namespace onepass::api {

bool parse_isa(const char* name, kernels::Isa* isa, onepass_error* error, onepass_status* status) noexcept {
  *isa = kernels::best_isa();
  if (name == nullptr || kernels::isa_from_name(name, isa)) return true;
  *status = report(make_error(Code::invalid_argument, Error::no_offset, name,
                              "no such level; levels are scalar avx2 avxvnni avx512 avx512vnni amx neon dotprod i8mm"),
                   error);
  return false;
}

onepass_status session_options(const onepass_session_options* given, SessionOptions* to,
                               onepass_error* error) noexcept {
  if (const auto bad = check_options(given, "onepass_session_options", error); bad != ONEPASS_OK) return bad;
  const auto options = read_options(given);
  onepass_status status = ONEPASS_OK;
  if (!parse_isa(options.isa, &to->isa, error, &status)) return status;
  const unsigned threads = options.threads == 0 ? 1 : options.threads;
  if (threads > 1024) return invalid("threads", "must be at most 1,024", error);
  if (threads > 1) {
    to->executor = options.executor != nullptr ? Executor{options.executor, options.executor_context, threads}
                                               : openmp_executor(threads);
  }
  if (options.tokens_per_pass != 0) to->tokens_per_pass = options.tokens_per_pass;
  return ONEPASS_OK;
}

Call::Call(onepass_session* session, size_t texts) noexcept
    : session_(session), begin_(monotonic_nanoseconds()), texts_(texts) {
  const onepass_control& control = session->control;
  session->session.set_control(
      {.cancel = control.cancel,
       .deadline = control.timeout_ms == 0 ? 0 : begin_ + uint64_t{control.timeout_ms} * 1'000'000u,
       .yield = session->power != Power::normal},
      session->power);
}

Call::~Call() {
  const onepass_control& control = session_->control;
  if (control.metrics == nullptr) return;
  const Metadata& metadata = session_->session.model().file().metadata();
  onepass_metrics metrics{};
  metrics.struct_size = sizeof(metrics);
  metrics.status = status_;
  metrics.texts = texts_;
  metrics.tokens = tokens_;
  metrics.nanoseconds = monotonic_nanoseconds() - begin_;
  metrics.model_id = string(metadata.model_id);
  metrics.model_version = string(metadata.model_version);
  for (uint32_t r = 0; r < route_count; ++r) metrics.routes[r] = routes_[r];
  control.metrics(control.metrics_context, &metrics);
}

onepass_status Call::fail(const Error& error, onepass_error* to) noexcept {
  status_ = report(error, to);
  return status_;
}

}  // namespace onepass::api

using namespace onepass::api;
using onepass::Code;
using onepass::Error;

ONEPASS_API onepass_status onepass_session_open(const onepass_model* model, const onepass_session_options* given,
                                                onepass_session** session, onepass_error* error) {
  if (session == nullptr) return null_argument("session", error);
  *session = nullptr;
  if (model == nullptr) return null_argument("model", error);
  onepass::SessionOptions options;
  if (const auto bad = session_options(given, &options, error); bad != ONEPASS_OK) return bad;
  auto created = onepass::Session::create(model->model, options);
  if (!created.ok()) return report(created.error(), error);
  *session = make_handle<onepass_session>(std::move(created.value()), model);
  if (*session == nullptr) {
    return report(make_error(Code::out_of_memory, Error::no_offset, "session", "no memory for the handle"), error);
  }
  share(model);
  return ONEPASS_OK;
}

ONEPASS_API void onepass_session_close(onepass_session* session) {
  if (session == nullptr) return;
  const onepass_model* model = session->model;
  destroy_handle(session);
  let_go(model);
}

ONEPASS_API onepass_status onepass_session_control(onepass_session* session, const onepass_control* given,
                                                   onepass_error* error) {
  if (session == nullptr) return null_argument("session", error);
  if (const auto bad = check_options(given, "onepass_control", error); bad != ONEPASS_OK) return bad;
  const auto control = read_options(given);
  const uint32_t power = number(control.power);
  if (power >= onepass::power_count) {
    return invalid("power", "must be ONEPASS_POWER_NORMAL, ONEPASS_POWER_LOW or ONEPASS_POWER_CRITICAL", error);
  }
  session->control = control;
  session->power = static_cast<onepass::Power>(power);
  return ONEPASS_OK;
}

ONEPASS_API void onepass_cancel(uint32_t* flag, uint32_t value) {
  if (flag != nullptr) __atomic_store_n(flag, value, __ATOMIC_RELAXED);
}
