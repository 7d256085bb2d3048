#include "kernels/arm/tile_i8_i8mm.h"

namespace onepass::kernels {

[[gnu::flatten]] void panel_i8_i8mm(const PanelI8& part) noexcept { multiply_panel<I8mm>(part); }

}  // namespace onepass::kernels
