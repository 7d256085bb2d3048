#include <string.h>

#include "kernels/kernels.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__aarch64__) && defined(_WIN32)
#include <windows.h>
#endif

namespace onepass::kernels {
namespace {

constexpr unsigned index_of(Isa isa) { return static_cast<unsigned>(isa); }
constexpr unsigned bit(Isa isa) { return 1u << index_of(isa); }

constexpr const char* names[isa_count] = {"scalar", "avx2", "avxvnni", "avx512", "avx512vnni",
                                          "amx",    "neon", "dotprod", "i8mm"};

// The level that a level stands on.
constexpr Isa below(Isa isa) {
  switch (isa) {
    case Isa::avxvnni:
    case Isa::avx512:
      return Isa::avx2;
    case Isa::avx512vnni:
      return Isa::avx512;
    case Isa::amx:
      return Isa::avx512vnni;
    case Isa::dotprod:
      return Isa::neon;
    case Isa::i8mm:
      return Isa::dotprod;
    case Isa::scalar:
    case Isa::avx2:
    case Isa::neon:
      break;
  }
  return Isa::scalar;
}

// The kernels that each level has of its own; null elsewhere.
struct OwnKernels {
#define ONEPASS_OP(op, Args) void (*op[isa_count])(const Args&) noexcept = {};
#include "kernels/kernel_list.inc"
};

constexpr OwnKernels own_kernels() {
  OwnKernels own;
#define ONEPASS_KERNEL(op, Args, isa) own.op[index_of(Isa::isa)] = op##_##isa;
#include "kernels/kernel_list.inc"
  return own;
}

constexpr KernelTable table_of(Isa isa) {
  const OwnKernels own = own_kernels();
  KernelTable table;
  table.isa = isa;
#define ONEPASS_OP(op, Args) \
  for (Isa level = isa; table.op == nullptr; level = below(level)) table.op = own.op[index_of(level)];
#include "kernels/kernel_list.inc"
  return table;
}

constexpr KernelTable tables[isa_count] = {
    table_of(Isa::scalar), table_of(Isa::avx2),       table_of(Isa::avxvnni),
    table_of(Isa::avx512), table_of(Isa::avx512vnni), table_of(Isa::amx),
    table_of(Isa::neon),   table_of(Isa::dotprod),    table_of(Isa::i8mm),
};

// The levels of this build (ONEPASS_LEVELS in CMake). It may hold kernels of others, on which these stand.
#if defined(ONEPASS_OFFERED_LEVELS)
constexpr unsigned offered_levels = ONEPASS_OFFERED_LEVELS;
#else
constexpr unsigned offered_levels = (1u << isa_count) - 1;
#endif

// One bit per level that the processor has and whose registers the operating system saves.
#if defined(__x86_64__) || defined(_M_X64)

// Linux keeps the tile registers of those processes only that have asked for them once, and refuses where an
// alternative signal stack is too small to hold them. In assembly, so that the archive asks for no general way into
// the kernel.
bool tiles_permitted() {
#if defined(__linux__) && defined(__x86_64__) && !defined(__ILP32__)
  constexpr long arch_prctl = 158, request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XTILEDATA
  long result = arch_prctl;
  __asm__ volatile("syscall" : "+a"(result) : "D"(request_permission), "S"(tile_data) : "rcx", "r11", "memory");
  return result == 0;
#else
  return false;
#endif
}

unsigned available_levels() {
  unsigned levels = bit(Isa::scalar);
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid_count(1, 0, &eax, &ebx, &ecx, &edx)) return levels;
  constexpr unsigned fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
  constexpr unsigned needed = fma | osxsave | avx | f16c;
  if ((ecx & needed) != needed) return levels;

  unsigned xcr0 = 0, xcr0_high = 0;
  __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(xcr0_high) : "c"(0));
  constexpr unsigned ymm_state = 0x06, zmm_state = 0xe6;  // SSE and AVX; with opmask, ZMM0-15 and ZMM16-31
  if ((xcr0 & ymm_state) != ymm_state) return levels;

  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return levels;
  const unsigned max_subleaf = eax, features_b = ebx, features_c = ecx, features_d = edx;
  constexpr unsigned avx2 = 1u << 5;
  if ((features_b & avx2) == 0) return levels;
  levels |= bit(Isa::avx2);

  constexpr unsigned avxvnni = 1u << 4;
  if (max_subleaf >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & avxvnni) != 0) {
    levels |= bit(Isa::avxvnni);
  }

  constexpr unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
  if ((xcr0 & zmm_state) != zmm_state || (features_b & avx512) != avx512) return levels;
  levels |= bit(Isa::avx512);
  constexpr unsigned avx512vnni = 1u << 11;
  if ((features_c & avx512vnni) == 0) return levels;
  levels |= bit(Isa::avx512vnni);

  constexpr unsigned tile_state = 3u << 17, amx = 1u << 24 | 1u << 25;  // TILECFG, TILEDATA; AMX-TILE, AMX-INT8
  if ((xcr0 & tile_state) == tile_state && (features_d & amx) == amx && tiles_permitted()) levels |= bit(Isa::amx);
  return levels;
}

#elif defined(__aarch64__) || defined(_M_ARM64)

unsigned available_levels() {
  unsigned levels = bit(Isa::scalar) | bit(Isa::neon);
  bool dotprod = false, i8mm = false;
#if defined(__linux__)
  constexpr unsigned long hwcap_asimddp = 1ul << 20, hwcap2_i8mm = 1ul << 13;
  dotprod = (getauxval(AT_HWCAP) & hwcap_asimddp) != 0;
  i8mm = (getauxval(AT_HWCAP2) & hwcap2_i8mm) != 0;
#elif defined(__APPLE__)
  int value = 0;
  size_t size = sizeof value;
  dotprod = sysctlbyname("hw.optional.arm.FEAT_DotProd", &value, &size, nullptr, 0) == 0 && value != 0;
  value = 0;
  size = sizeof value;
  i8mm = sysctlbyname("hw.optional.arm.FEAT_I8MM", &value, &size, nullptr, 0) == 0 && value != 0;
#elif defined(_WIN32)
  constexpr unsigned long v82_dot_product = 43;  // PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE
  dotprod = IsProcessorFeaturePresent(v82_dot_product) != 0;
#endif
  if (dotprod) levels |= bit(Isa::dotprod);
  if (dotprod && i8mm) levels |= bit(Isa::i8mm);
  return levels;
}

#else

unsigned available_levels() { return bit(Isa::scalar); }

#endif

}  // namespace

const char* isa_name(Isa isa) noexcept { return index_of(isa) < isa_count ? names[index_of(isa)] : "unknown"; }

bool isa_from_name(const char* name, Isa* isa) noexcept {
  for (unsigned i = 0; i < isa_count; ++i) {
    if (strcmp(name, names[i]) == 0) {
      *isa = static_cast<Isa>(i);
      return true;
    }
  }
  return false;
}

bool isa_built(Isa isa) noexcept { return index_of(isa) < isa_count && (offered_levels & bit(isa)) != 0; }

bool isa_available(Isa isa) noexcept { return isa_built(isa) && (available_levels() & bit(isa)) != 0; }

Isa best_isa() noexcept {
  const unsigned levels = available_levels() & offered_levels;
  unsigned best = isa_count - 1;
  while ((levels >> best & 1u) == 0) --best;
  return static_cast<Isa>(best);
}

const KernelTable* kernel_table(Isa isa) noexcept { return isa_available(isa) ? &tables[index_of(isa)] : nullptr; }

}  // namespace onepass::kernels
