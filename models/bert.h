#pragma once

#include "models/family.h"

namespace onepass::models {

extern const Family bert;

}  // namespace onepass::models
