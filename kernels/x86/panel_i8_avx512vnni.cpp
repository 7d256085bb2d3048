#include "kernels/x86/tile_i8_512.h"

namespace onepass::kernels {

[[gnu::flatten]] void panel_i8_avx512vnni(const PanelI8& part) noexcept { multiply_panel<Avx512Vnni>(part); }

}  // namespace onepass::kernels
