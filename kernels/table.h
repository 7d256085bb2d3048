// KernelTable: the kernels of one instruction-set level, chosen once and passed by reference.
#pragma once

#include "kernels/attention_f32.h"
#include "kernels/attention_i8.h"
#include "kernels/elementwise.h"
#include "kernels/embed.h"
#include "kernels/matmul_f32.h"
#include "kernels/matmul_i4.h"
#include "kernels/matmul_i4z.h"
#include "kernels/matmul_i8.h"

namespace onepass::kernels {

// What a level adds to the one that it stands on, whose kernels it uses where it has none of its own:
//   scalar      the reference: plain C++, any machine
//   avx2        scalar + AVX2, FMA, F16C         neon     scalar + Advanced SIMD (every arm64)
//   avxvnni     avx2 + AVX-VNNI                  dotprod  neon + SDOT
//   avx512      avx2 + AVX-512 F, BW, DQ, VL     i8mm     dotprod + SMMLA
//   avx512vnni  avx512 + AVX-512 VNNI
//   amx         avx512vnni + AMX tiles of int8
enum class Isa : uint8_t { scalar = 0, avx2, avxvnni, avx512, avx512vnni, amx, neon, dotprod, i8mm };
constexpr unsigned isa_count = 9;

struct KernelTable {
  Isa isa = Isa::scalar;
  MatmulI8Fn matmul_i8 = nullptr;
  MatmulI4Fn matmul_i4 = nullptr;
  MatmulI4ZFn matmul_i4z = nullptr;
  MatmulF32Fn matmul_f32 = nullptr;
  AttentionF32Fn attention_f32 = nullptr;
  AttentionI8Fn attention_i8 = nullptr;
  AddNormFn add_norm = nullptr;
  ActivateFn activate = nullptr;
  RmsNormFn rms_norm = nullptr;
  GateFn gate = nullptr;
  AddScaledFn add_scaled = nullptr;
  SoftcapFn softcap = nullptr;
  SoftmaxRowsFn softmax_rows = nullptr;
  RopeFn rope = nullptr;
  QuantizeRowsFn quantize_rows = nullptr;
  NormQuantizeFn norm_quantize = nullptr;
  EmbedRowsFn embed_rows = nullptr;
};

const char* isa_name(Isa isa) noexcept;
// The level of that name; false when there is none.
bool isa_from_name(const char* name, Isa* isa) noexcept;

// True when this build has the level, whatever the machine.
bool isa_built(Isa isa) noexcept;
// True when this build has the level and this machine, its operating system included, runs it.
bool isa_available(Isa isa) noexcept;
// The highest available level.
Isa best_isa() noexcept;
// The table of a level; null where isa_available is false. Every slot is callable, but those of operations that
// the build leaves out, which are null. Tables are constants.
const KernelTable* kernel_table(Isa isa) noexcept;

}  // namespace onepass::kernels
