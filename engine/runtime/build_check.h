// Whether this build of the library runs a model: what it leaves out must not be needed.
#pragma once

#include "engine/core/result.h"
#include "formats/onepass/model_file.h"

namespace onepass {

// left_out where the architecture or the type of a weight is not in ONEPASS_ARCHITECTURES or ONEPASS_WEIGHTS.
Status check_build(const ModelFile& file) noexcept;

}  // namespace onepass
