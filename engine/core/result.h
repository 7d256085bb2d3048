// Errors as values: a code, the place, and what to do. No allocation, no exceptions.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

namespace onepass {

// Stable numbers: they are part of the C ABI (onepass_status) and only ever appended to.
enum class Code : uint16_t {
  ok = 0,
  // The caller or the machine.
  invalid_argument = 1,
  out_of_memory = 2,
  io_error = 3,
  unsupported = 4,      // well-formed, but nothing here can run it
  isa_unavailable = 5,  // the machine lacks the instruction set asked for
  buffer_too_small = 6,
  text_too_long = 7,
  cancelled = 8,
  non_finite_result = 9,
  deadline_exceeded = 10,
  left_out = 11,  // this build of the library lacks it; another would run it
  // The structure of a file.
  truncated = 20,  // the file ends before what it declares
  bad_magic = 21,
  bad_version = 22,
  bad_endian = 23,
  unknown_flags = 24,
  size_mismatch = 25,  // declared size != actual size
  bad_section = 26,    // section table unsorted, overlapping, unknown or missing
  misaligned = 27,
  nonzero_padding = 28,
  trailing_bytes = 29,
  hash_mismatch = 30,
  overflow = 31,        // an integer of the file overflows when combined
  limit_exceeded = 32,  // a count or size above the documented cap
  // The content of a file.
  duplicate_name = 40,
  bad_name = 41,
  bad_utf8 = 42,
  bad_syntax = 43,  // not the grammar of the format (JSON, numbers)
  bad_type = 44,    // a value of another type than the key requires
  missing_key = 45,
  unknown_key = 46,
  unknown_value = 47,  // an enumeration value outside the documented ones
  bad_value = 48,      // a number or string outside its documented range
  too_deep = 49,
  bad_dtype = 50,
  bad_shape = 51,
  missing_tensor = 52,
  extra_tensor = 53,
  non_finite = 54,
  bad_vocabulary = 55,
  not_canonical = 56,  // a second encoding of the same content
  self_test_failed = 57,
};

// The name of a code as written in docs and tests, e.g. "hash_mismatch".
const char* code_name(Code code) noexcept;

struct Error {
  Code code = Code::ok;
  uint64_t offset = no_offset;  // byte offset in the input, where one is known
  char where[96] = {};          // file, section, tensor or key name; NUL-terminated UTF-8
  char message[256] = {};       // why, and what to do; NUL-terminated UTF-8

  static constexpr uint64_t no_offset = ~uint64_t{0};
};

// For MinGW `printf` is that of Windows' own C library, which the headers of C++ replace.
#if defined(__MINGW32__)
#define ONEPASS_PRINTF gnu_printf
#else
#define ONEPASS_PRINTF printf
#endif

// Builds an Error; `format` is printf's. Text that does not fit is cut at a character boundary.
[[gnu::format(ONEPASS_PRINTF, 4, 5)]] Error make_error(Code code, uint64_t offset, std::string_view where,
                                                       const char* format, ...) noexcept;

// A value or an Error. Like std::expected (C++23), with what the library needs of it.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) noexcept : ok_(true) { ::new (static_cast<void*>(&value_)) T(std::move(value)); }
  Result(const Error& error) noexcept : ok_(false) { ::new (static_cast<void*>(&error_)) Error(error); }
  Result(Result&& other) noexcept : ok_(other.ok_) {
    if (ok_) {
      ::new (static_cast<void*>(&value_)) T(std::move(other.value_));
    } else {
      ::new (static_cast<void*>(&error_)) Error(other.error_);
    }
  }
  Result(const Result&) = delete;
  Result& operator=(const Result&) = delete;
  Result& operator=(Result&&) = delete;
  ~Result() {
    if (ok_) value_.~T();
  }

  bool ok() const noexcept { return ok_; }
  explicit operator bool() const noexcept { return ok_; }
  // Requires ok().
  T& value() & noexcept { return value_; }
  const T& value() const& noexcept { return value_; }
  T&& value() && noexcept { return std::move(value_); }
  T& operator*() & noexcept { return value_; }
  const T& operator*() const& noexcept { return value_; }
  T* operator->() noexcept { return &value_; }
  const T* operator->() const noexcept { return &value_; }
  // Requires !ok().
  const Error& error() const noexcept { return error_; }
  Code code() const noexcept { return ok_ ? Code::ok : error_.code; }

 private:
  bool ok_;
  union {
    T value_;
    Error error_;
  };
};

// Result without a value.
class [[nodiscard]] Status {
 public:
  Status() noexcept = default;
  Status(const Error& error) noexcept : error_(error) {}
  bool ok() const noexcept { return error_.code == Code::ok; }
  explicit operator bool() const noexcept { return ok(); }
  const Error& error() const noexcept { return error_; }
  Code code() const noexcept { return error_.code; }

 private:
  Error error_;
};

}  // namespace onepass

// Returns the error of `expr` (a Status or Result) from the enclosing function, if it has one.
#define ONEPASS_TRY(expr)                               \
  do {                                                  \
    if (auto try_status_ = (expr); !try_status_.ok()) { \
      return try_status_.error();                       \
    }                                                   \
  } while (false)

// Declares `name` (an lvalue reference to the value of a Result) or returns its error.
#define ONEPASS_TRY_ASSIGN(name, expr) \
  auto name##_result = (expr);         \
  if (!name##_result.ok()) {           \
    return name##_result.error();      \
  }                                    \
  auto& name = name##_result.value()
