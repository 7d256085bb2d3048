#include "engine/runtime/divergence.h"

#include <cmath>

#include "engine/core/fp_environment.h"
#include "engine/runtime/decide.h"

namespace onepass {

Divergence divergence(const HeadView& head, std::span<const float> a, std::span<const float> b) noexcept {
  const FpEnvironment guard;
  Divergence out;
  double absolute = 0, squares = 0;
  uint32_t flips = 0;
  for (size_t c = 0; c < head.labels.size(); ++c) {
    const double d = static_cast<double>(a[c]) - static_cast<double>(b[c]);
    absolute += std::fabs(d);
    squares += d * d;
    flips += label_applies(head, a, c) != label_applies(head, b, c);
  }
  switch (head.kind) {
    case HeadKind::single_label:
    case HeadKind::token_label:
      out.total_variation = static_cast<float>(absolute / 2);
      out.label_flips = flips / 2;
      break;
    case HeadKind::multi_label:
      out.total_variation = static_cast<float>(absolute / static_cast<double>(head.labels.size()));
      out.label_flips = flips;
      break;
    case HeadKind::regression:
      out.distance = std::sqrt(static_cast<float>(squares));
      break;
  }
  return out;
}

}  // namespace onepass
