// The part of Jinja 2 that chat templates are written in (https://jinja.palletsprojects.com/templates/), as
// transformers sets it up: trim_blocks, lstrip_blocks, loop controls, no autoescape. What is outside of it is refused
// by name. A template comes with a checkpoint, so it is not trusted: steps, depth and the length of every text are
// bounded.
#pragma once

#include <string>
#include <string_view>

#include "formats/json/json.h"

namespace onepass::chat {

constexpr size_t kMaxTemplateBytes = size_t{1} << 20;  // of a template, and of every text that it makes
constexpr size_t kMaxSteps = 100'000;                  // expressions evaluated
constexpr int kMaxDepth = 100;                         // of nested expressions, blocks and calls

// The text that `source` makes of `variables`, an object. Errors, with `where` and the line in the message: bad_syntax
// (no template), unsupported (a filter, test, function or statement that is not among those here), bad_value (an
// operation that these values do not have, or the template's own raise_exception), limit_exceeded, too_deep.
Result<std::string> render(std::string_view source, const Json& variables, std::string_view where);

}  // namespace onepass::chat
