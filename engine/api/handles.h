// What the parts of the C ABI share: the handles, option structs of any older size, and errors on their way out.
#pragma once

#include <onepass/onepass.h>

#include <atomic>
#include <cstring>
#include <new>

#include "engine/runtime/model.h"
#include "engine/runtime/policy.h"
#include "engine/runtime/session.h"

#define ONEPASS_API extern "C" __attribute__((visibility("default")))

struct onepass_model {
  onepass::Model model;
  mutable std::atomic<uint32_t> owners{1};  // handles, sessions and slots; the last one frees it
};

struct onepass_session {
  onepass::Session session;
  const onepass_model* model;
  onepass_control control{};
  onepass::Power power = onepass::Power::normal;
  // Grow-only, so that a call allocates nothing once the largest batch has been seen.
  onepass::Array<std::string_view> texts{};
  onepass::Array<onepass::TextResult> results{};
  onepass::Array<float> logits{};
};

namespace onepass::api {

// Fills the caller's struct as far as the caller knows it; struct_size stays the caller's.
template <class T>
void fill(const T& value, T* to) noexcept {
  const size_t size = to->struct_size;
  if (size < sizeof(size)) return;
  std::memcpy(to, &value, size < sizeof(T) ? size : sizeof(T));
  to->struct_size = size;
}

// The status of an error, which it also copies to the caller's struct, where there is one.
onepass_status report(const Error& from, onepass_error* to) noexcept;
onepass_status invalid(const char* what, const char* why, onepass_error* error) noexcept;
onepass_status null_argument(const char* what, onepass_error* error) noexcept;

// False where a struct does not say its size.
template <class T>
bool has_size(const T* given) noexcept {
  return given == nullptr || given->struct_size >= sizeof(given->struct_size);
}

// ONEPASS_OK where options can be read: they say their size, and what a newer header has behind the fields known here
// is zero. Otherwise a caller would ask for something and never learn that it did not happen.
onepass_status check_options(const void* given, size_t known, const char* name, onepass_error* error) noexcept;
template <class T>
onepass_status check_options(const T* given, const char* name, onepass_error* error) noexcept {
  return check_options(given, sizeof(T), name, error);
}

// The caller's options in this build's struct: fields that an older caller lacks keep their zero. Requires
// check_options.
template <class T>
T read_options(const T* given) noexcept {
  T options{};
  if (given != nullptr) std::memcpy(&options, given, given->struct_size < sizeof(T) ? given->struct_size : sizeof(T));
  return options;
}

// An enumeration of the caller's as a number: it may hold one that the enumeration does not have.
template <class Enum>
uint32_t number(const Enum& value) noexcept {
  uint32_t result = 0;
  static_assert(sizeof(result) == sizeof(value));
  std::memcpy(&result, &value, sizeof(result));
  return result;
}

inline onepass_string string(std::string_view s) noexcept { return {s.data(), s.size()}; }
// Null stays null: an absent string is not an empty one.
inline std::string_view view(onepass_string s) noexcept {
  return s.data == nullptr ? std::string_view() : std::string_view(s.data, s.size);
}

// An object on the heap without operator new, which would need the C++ library.
template <class Handle, class... Values>
Handle* make_handle(Values&&... values) noexcept {
  void* memory = allocate_aligned(sizeof(Handle));
  return memory == nullptr ? nullptr : ::new (memory) Handle{std::forward<Values>(values)...};
}

template <class Handle>
void destroy_handle(Handle* handle) noexcept {
  if (handle == nullptr) return;
  handle->~Handle();
  free_aligned(handle);
}

// ONEPASS_OK where *to is filled.
onepass_status classify_options(const onepass_classify_options* given, ClassifyOptions* to,
                                onepass_error* error) noexcept;
// ONEPASS_OK where session->texts and session->results are filled.
onepass_status take_texts(onepass_session* session, const onepass_string* texts, size_t count,
                          onepass_error* error) noexcept;
onepass_result result_of(const TextResult& from) noexcept;

constexpr auto kInvalidArgument = static_cast<onepass_status>(Code::invalid_argument);

// One owner more; one less.
void share(const onepass_model* model) noexcept;
void let_go(const onepass_model* model) noexcept;

// False where there is no such level; *status is then what to return.
bool parse_isa(const char* name, kernels::Isa* isa, onepass_error* error, onepass_status* status) noexcept;
// ONEPASS_OK where *to is filled.
onepass_status session_options(const onepass_session_options* given, SessionOptions* to, onepass_error* error) noexcept;

// From where a call of a session begins to work until it returns: sets its deadline, and tells the app's metrics.
class Call {
 public:
  Call(onepass_session* session, size_t texts) noexcept;
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  void add_tokens(uint64_t tokens) noexcept { tokens_ += tokens; }
  void add_route(Route route) noexcept { ++routes_[static_cast<size_t>(route)]; }
  // The status of an error, as `report`.
  onepass_status fail(const Error& error, onepass_error* to) noexcept;

 private:
  onepass_session* session_;
  uint64_t begin_;
  uint64_t texts_;
  uint64_t tokens_ = 0;
  uint64_t routes_[route_count] = {};
  onepass_status status_ = ONEPASS_OK;
};

// Null where there is no such head.
const HeadView* find_head(const onepass_model* model, uint32_t head) noexcept;
// Where the head's classes begin among those of the model.
uint32_t first_class(const onepass_model* model, uint32_t head) noexcept;

// ONEPASS_OK where *to is filled; NULL is a policy without rules.
onepass_status read_policy(const onepass_policy* given, Policy* to, onepass_error* error) noexcept;
onepass_verdict verdict_of(const Verdict& verdict) noexcept;

}  // namespace onepass::api
