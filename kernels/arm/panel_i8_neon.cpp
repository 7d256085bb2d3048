#include "kernels/arm/tile_i8_neon.h"

namespace onepass::kernels {

[[gnu::flatten]] void panel_i8_neon(const PanelI8& part) noexcept { multiply_panel<Neon>(part); }

}  // namespace onepass::kernels
