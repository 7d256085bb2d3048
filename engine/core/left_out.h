// The error of what a build may leave out (tools/cmake/OnepassParts.cmake).
#pragma once

#include "engine/core/result.h"

namespace onepass {

// `option` is the CMake option, `part` the entry that its list lacks.
inline Error left_out(std::string_view where, const char* what, const char* option, const char* part) noexcept {
  return make_error(Code::left_out, Error::no_offset, where,
                    "this build of the library leaves out %s: build it with %s among %s", what, part, option);
}

}  // namespace onepass
