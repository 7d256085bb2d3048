#include "bench/support/peak.h"

#include <cstdint>

#include "bench/support/timing.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace onepass::bench {

namespace {

using kernels::Isa;

constexpr size_t kRounds = 20000;

// Keeps a register's value alive without storing it. A macro: a function that is compiled for another level than its
// caller cannot take a wide register.
#if defined(__x86_64__)
#define ONEPASS_KEEP(value) asm volatile("" : "+v"(value))
#endif

double gops(double operations, double seconds) { return operations / seconds / 1e9; }

#if defined(__x86_64__)

// Twelve independent accumulators cover the latency of every instruction here.
#define ONEPASS_TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

__attribute__((target("avx2"))) void loop_avx2_int8() {
  __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2), one = _mm256_set1_epi16(1);
#define X(i) __m256i c##i = _mm256_setzero_si256();
  ONEPASS_TWELVE(X)
#undef X
  for (size_t r = 0; r < kRounds; ++r) {
    ONEPASS_KEEP(a);
#define X(i)                                                                         \
  c##i = _mm256_add_epi32(c##i, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), one)); \
  ONEPASS_KEEP(c##i);                                                                \
  ONEPASS_KEEP(b);
    ONEPASS_TWELVE(X)
#undef X
  }
}

__attribute__((target("avx2,fma"))) void loop_avx2_f32() {
  __m256 a = _mm256_set1_ps(1), b = _mm256_set1_ps(2);
#define X(i) __m256 c##i = _mm256_setzero_ps();
  ONEPASS_TWELVE(X)
#undef X
  for (size_t r = 0; r < kRounds; ++r) {
#define X(i)                          \
  c##i = _mm256_fmadd_ps(a, b, c##i); \
  ONEPASS_KEEP(c##i);
    ONEPASS_TWELVE(X)
#undef X
  }
}

__attribute__((target("avx2,avxvnni"))) void loop_avxvnni_int8() {
  __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2);
#define X(i) __m256i c##i = _mm256_setzero_si256();
  ONEPASS_TWELVE(X)
#undef X
  for (size_t r = 0; r < kRounds; ++r) {
#define X(i)                                  \
  c##i = _mm256_dpbusd_avx_epi32(c##i, a, b); \
  ONEPASS_KEEP(c##i);
    ONEPASS_TWELVE(X)
#undef X
  }
}

__attribute__((target("avx512f,avx512bw"))) void loop_avx512_int8() {
  __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2), one = _mm512_set1_epi16(1);
#define X(i) __m512i c##i = _mm512_setzero_si512();
  ONEPASS_TWELVE(X)
#undef X
  for (size_t r = 0; r < kRounds; ++r) {
    ONEPASS_KEEP(a);
#define X(i)                                                                         \
  c##i = _mm512_add_epi32(c##i, _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), one)); \
  ONEPASS_KEEP(c##i);                                                                \
  ONEPASS_KEEP(b);
    ONEPASS_TWELVE(X)
#undef X
  }
}

__attribute__((target("avx512f"))) void loop_avx512_f32() {
  __m512 a = _mm512_set1_ps(1), b = _mm512_set1_ps(2);
#define X(i) __m512 c##i = _mm512_setzero_ps();
  ONEPASS_TWELVE(X)
#undef X
  for (size_t r = 0; r < kRounds; ++r) {
#define X(i)                          \
  c##i = _mm512_fmadd_ps(a, b, c##i); \
  ONEPASS_KEEP(c##i);
    ONEPASS_TWELVE(X)
#undef X
  }
}

__attribute__((target("avx512f,avx512vnni"))) void loop_avx512vnni_int8() {
  __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2);
#define X(i) __m512i c##i = _mm512_setzero_si512();
  ONEPASS_TWELVE(X)
#undef X
  for (size_t r = 0; r < kRounds; ++r) {
#define X(i)                              \
  c##i = _mm512_dpbusd_epi32(c##i, a, b); \
  ONEPASS_KEEP(c##i);
    ONEPASS_TWELVE(X)
#undef X
  }
}

// Six sums over two operands fill the tile registers; each instruction is 16 x 16 x 64 multiplications and additions.
__attribute__((target("amx-tile,amx-int8"))) void loop_amx_int8() {
  alignas(64) struct {
    uint8_t palette = 1, reserved[15] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  asm volatile("" ::: "memory");  // g++ 12 believes that the next line reads eight bytes of the configuration
  _tile_loadconfig(&config);
  for (size_t r = 0; r < kRounds; ++r) {
    _tile_dpbsud(0, 6, 7);
    _tile_dpbsud(1, 6, 7);
    _tile_dpbsud(2, 6, 7);
    _tile_dpbsud(3, 6, 7);
    _tile_dpbsud(4, 6, 7);
    _tile_dpbsud(5, 6, 7);
  }
  _tile_release();
}
#undef ONEPASS_TWELVE

double run(void (*loop)(), double operations_an_instruction) {
  return gops(operations_an_instruction * 12 * kRounds, measure(loop, 0.1).min);
}

#endif

}  // namespace

double peak_gops(Isa isa, Arithmetic arithmetic) {
#if defined(__x86_64__)
  const bool int8 = arithmetic == Arithmetic::int8;
  switch (isa) {
    case Isa::avx2:
      return int8 ? run(loop_avx2_int8, 64) : run(loop_avx2_f32, 16);
    case Isa::avxvnni:
      return int8 ? run(loop_avxvnni_int8, 64) : run(loop_avx2_f32, 16);
    case Isa::avx512:
      return int8 ? run(loop_avx512_int8, 128) : run(loop_avx512_f32, 32);
    case Isa::avx512vnni:
      return int8 ? run(loop_avx512vnni_int8, 128) : run(loop_avx512_f32, 32);
    case Isa::amx:
      return int8 ? run(loop_amx_int8, 16 * 16 * 64 * 2 / 2.0) : run(loop_avx512_f32, 32);
    default:
      break;
  }
#else
  (void)isa;
  (void)arithmetic;
#endif
  return 0;
}

}  // namespace onepass::bench
