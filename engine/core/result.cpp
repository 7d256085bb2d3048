#include "engine/core/result.h"

#include <cstdio>
#include <cstring>

namespace onepass {

const char* code_name(Code code) noexcept {
  switch (code) {
#define ONEPASS_CODE(name) \
  case Code::name:         \
    return #name;
    ONEPASS_CODE(ok)
    ONEPASS_CODE(invalid_argument)
    ONEPASS_CODE(out_of_memory)
    ONEPASS_CODE(io_error)
    ONEPASS_CODE(unsupported)
    ONEPASS_CODE(isa_unavailable)
    ONEPASS_CODE(buffer_too_small)
    ONEPASS_CODE(text_too_long)
    ONEPASS_CODE(cancelled)
    ONEPASS_CODE(non_finite_result)
    ONEPASS_CODE(deadline_exceeded)
    ONEPASS_CODE(left_out)
    ONEPASS_CODE(truncated)
    ONEPASS_CODE(bad_magic)
    ONEPASS_CODE(bad_version)
    ONEPASS_CODE(bad_endian)
    ONEPASS_CODE(unknown_flags)
    ONEPASS_CODE(size_mismatch)
    ONEPASS_CODE(bad_section)
    ONEPASS_CODE(misaligned)
    ONEPASS_CODE(nonzero_padding)
    ONEPASS_CODE(trailing_bytes)
    ONEPASS_CODE(hash_mismatch)
    ONEPASS_CODE(overflow)
    ONEPASS_CODE(limit_exceeded)
    ONEPASS_CODE(duplicate_name)
    ONEPASS_CODE(bad_name)
    ONEPASS_CODE(bad_utf8)
    ONEPASS_CODE(bad_syntax)
    ONEPASS_CODE(bad_type)
    ONEPASS_CODE(missing_key)
    ONEPASS_CODE(unknown_key)
    ONEPASS_CODE(unknown_value)
    ONEPASS_CODE(bad_value)
    ONEPASS_CODE(too_deep)
    ONEPASS_CODE(bad_dtype)
    ONEPASS_CODE(bad_shape)
    ONEPASS_CODE(missing_tensor)
    ONEPASS_CODE(extra_tensor)
    ONEPASS_CODE(non_finite)
    ONEPASS_CODE(bad_vocabulary)
    ONEPASS_CODE(not_canonical)
    ONEPASS_CODE(self_test_failed)
#undef ONEPASS_CODE
  }
  return "unknown";
}

namespace {

// Ends `text` (capacity bytes, NUL-terminated) before a UTF-8 sequence that was cut in two, and
// replaces control characters, so that a hostile name cannot steer the terminal it is printed on.
void make_printable(char* text) {
  size_t length = std::strlen(text);
  size_t start = length;
  while (start > 0 && length - start < 4 && (static_cast<unsigned char>(text[start - 1]) & 0xC0) == 0x80) --start;
  if (start > 0) {
    const auto lead = static_cast<unsigned char>(text[start - 1]);
    const size_t need = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (need > length - start) text[start - 1] = '\0';
  }
  for (char* c = text; *c != '\0'; ++c) {
    if (static_cast<unsigned char>(*c) < 0x20 || *c == 0x7F) *c = '?';
  }
}

}  // namespace

Error make_error(Code code, uint64_t offset, std::string_view where, const char* format, ...) noexcept {
  Error error;
  error.code = code;
  error.offset = offset;
  const size_t n = where.size() < sizeof(error.where) - 1 ? where.size() : sizeof(error.where) - 1;
  std::memcpy(error.where, where.data(), n);
  error.where[n] = '\0';
  make_printable(error.where);
  va_list args;
  va_start(args, format);
  std::vsnprintf(error.message, sizeof(error.message), format, args);
  va_end(args);
  make_printable(error.message);
  return error;
}

}  // namespace onepass
