// Errors that more than one part of the session gives.
#pragma once

#include <cstdio>
#include <cstring>

#include "engine/core/result.h"

namespace onepass {

inline Error no_session_memory(const char* what, size_t bytes) noexcept {
  return make_error(Code::out_of_memory, Error::no_offset, what,
                    "no memory for %zu bytes; use shorter texts or smaller batches", bytes);
}

// Names the text of a batch that an error is about.
inline Error of_text(Error error, size_t text) noexcept {
  if (std::strcmp(error.where, "text") == 0) std::snprintf(error.where, sizeof(error.where), "text %zu", text);
  return error;
}

}  // namespace onepass
