#include "models/bert.h"
#include "models/family.h"

namespace onepass::models {

namespace {

constexpr const Family* kFamilies[] = {
    &bert,
};

}  // namespace

std::span<const Family* const> families() noexcept { return kFamilies; }

FoundClass find_class(std::string_view architecture) noexcept {
  for (const Family* family : kFamilies) {
    for (const SourceClass& source : family->classes) {
      if (architecture == source.name) return {family, &source};
    }
  }
  return {};
}

}  // namespace onepass::models
