// KernelTable: the kernels of one instruction-set level, chosen once and passed by reference.
#pragma once

#include "kernels/attention_f32.h"
#include "kernels/elementwise.h"
#include "kernels/embed.h"
#include "kernels/matmul_f32.h"
#include "kernels/matmul_i8.h"

namespace onepass::kernels {

// A level includes the ones before it on its architecture; `scalar` is the reference.
enum class Isa : uint8_t { scalar = 0, avx2, avxvnni, avx512, avx512vnni, neon, dotprod, i8mm };
constexpr unsigned isa_count = 8;

struct KernelTable {
  Isa isa = Isa::scalar;
  MatmulI8Fn matmul_i8 = nullptr;
  MatmulF32Fn matmul_f32 = nullptr;
  AttentionF32Fn attention_f32 = nullptr;
  AddNormFn add_norm = nullptr;
  ActivateFn activate = nullptr;
  QuantizeRowsFn quantize_rows = nullptr;
  EmbedRowsFn embed_rows = nullptr;
};

const char* isa_name(Isa isa) noexcept;
// The level of that name; false when there is none.
bool isa_from_name(const char* name, Isa* isa) noexcept;

// True when this build has the level and this machine, its operating system included, runs it.
bool isa_available(Isa isa) noexcept;
// The highest available level.
Isa best_isa() noexcept;
// The table of a level; null where isa_available is false. A slot that a level does not improve
// holds the kernel of the level below, so every slot is callable.
const KernelTable* kernel_table(Isa isa) noexcept;

}  // namespace onepass::kernels
