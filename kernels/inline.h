// ONEPASS_INLINE: for every helper of an instruction-set source. Such a source must emit nothing but its kernels: an
// inline function kept by the linker could be one that other machines cannot run.
#pragma once

#define ONEPASS_INLINE [[gnu::always_inline]] inline
