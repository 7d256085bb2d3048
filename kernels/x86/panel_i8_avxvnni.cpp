#include "kernels/x86/tile_i8_avxvnni.h"

namespace onepass::kernels {

[[gnu::flatten]] void panel_i8_avxvnni(const PanelI8& part) noexcept { multiply_panel<AvxVnni>(part); }

}  // namespace onepass::kernels
