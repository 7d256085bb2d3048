#include "kernels/arm/tile_i8_dotprod.h"

namespace onepass::kernels {

[[gnu::flatten]] void panel_i8_dotprod(const PanelI8& part) noexcept { multiply_panel<Dotprod>(part); }

}  // namespace onepass::kernels
