#include "bench/support/peak.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace onepass::bench {

namespace {

using kernels::Isa;

constexpr size_t kRounds = 2000;  // 5 to 40 us: short beside a slice of interleave()

// Keeps a register's value alive without storing it. A macro: a function that is compiled for another level than its
// caller cannot take a wide register.
#if defined(__x86_64__)
#define ONEPASS_KEEP(value) asm volatile("" : "+v"(value))
#endif

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

constexpr PeakLoop loop(void (*run)(), double operations_an_instruction, const char* instructions) {
  return {run, operations_an_instruction * 12 * static_cast<double>(kRounds), instructions};
}

__attribute__((target("avx512f"))) uint64_t read_avx512(const uint8_t* p, size_t n) {
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  for (size_t i = 0; i < n; i += 256) {
    a = _mm512_xor_si512(a, _mm512_loadu_si512(p + i));
    b = _mm512_xor_si512(b, _mm512_loadu_si512(p + i + 64));
    c = _mm512_xor_si512(c, _mm512_loadu_si512(p + i + 128));
    d = _mm512_xor_si512(d, _mm512_loadu_si512(p + i + 192));
  }
  alignas(64) uint64_t lanes[8];
  _mm512_store_si512(lanes, _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d)));
  uint64_t x = 0;
  for (const uint64_t lane : lanes) x ^= lane;
  return x;
}

__attribute__((target("avx2"))) uint64_t read_avx2(const uint8_t* p, size_t n) {
  __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
  for (size_t i = 0; i < n; i += 256) {
    for (size_t j = 0; j < 256; j += 128) {
      const auto* q = reinterpret_cast<const __m256i*>(p + i + j);
      a = _mm256_xor_si256(a, _mm256_loadu_si256(q));
      b = _mm256_xor_si256(b, _mm256_loadu_si256(q + 1));
      c = _mm256_xor_si256(c, _mm256_loadu_si256(q + 2));
      d = _mm256_xor_si256(d, _mm256_loadu_si256(q + 3));
    }
  }
  alignas(32) uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes),
                     _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d)));
  return lanes[0] ^ lanes[1] ^ lanes[2] ^ lanes[3];
}

#endif

uint64_t read_plain(const uint8_t* p, size_t n) {
  uint64_t x[4] = {};
  for (size_t i = 0; i + 32 <= n; i += 32) {
    uint64_t v[4];
    std::memcpy(v, p + i, 32);
    for (size_t j = 0; j < 4; ++j) x[j] ^= v[j];
  }
  uint64_t tail = 0;
  std::memcpy(&tail, p + n / 32 * 32, std::min<size_t>(n % 32, 8));
  for (size_t i = n / 32 * 32 + 8; i < n; ++i) tail ^= uint64_t{p[i]} << (i % 8 * 8);
  return x[0] ^ x[1] ^ x[2] ^ x[3] ^ tail;
}

// `wide` reads whole blocks of 256 bytes.
[[maybe_unused]] uint64_t read_with(ReadFn wide, const uint8_t* p, size_t n) {
  const size_t blocks = n / 256 * 256;
  return wide(p, blocks) ^ read_plain(p + blocks, n - blocks);
}

}  // namespace

PeakLoop peak_loop(Isa isa, Arithmetic arithmetic) {
  if (!kernels::isa_available(isa) || arithmetic == Arithmetic::none) return {};
#if defined(__x86_64__)
  const bool int8 = arithmetic == Arithmetic::int8;
  const PeakLoop f256 = loop(loop_avx2_f32, 16, "vfmadd 256-bit"), f512 = loop(loop_avx512_f32, 32, "vfmadd 512-bit");
  switch (isa) {
    case Isa::avx2:
      return int8 ? loop(loop_avx2_int8, 64, "vpmaddubsw, vpmaddwd, vpaddd 256-bit") : f256;
    case Isa::avxvnni:
      return int8 ? loop(loop_avxvnni_int8, 64, "vpdpbusd 256-bit") : f256;
    case Isa::avx512:
      return int8 ? loop(loop_avx512_int8, 128, "vpmaddubsw, vpmaddwd, vpaddd 512-bit") : f512;
    case Isa::avx512vnni:
      return int8 ? loop(loop_avx512vnni_int8, 128, "vpdpbusd 512-bit") : f512;
    case Isa::amx:
      // Six instructions a round, each as long as 16 of the twelve that the count is made for.
      return int8 ? loop(loop_amx_int8, 16 * 16 * 64 * 2 / 2.0, "tdpbsud") : f512;
    default:
      break;
  }
#endif
  return {};
}

ReadFn reader() {
#if defined(__x86_64__)
  if (kernels::isa_available(Isa::avx512))
    return [](const uint8_t* p, size_t n) { return read_with(read_avx512, p, n); };
  if (kernels::isa_available(Isa::avx2)) return [](const uint8_t* p, size_t n) { return read_with(read_avx2, p, n); };
#endif
  return read_plain;
}

}  // namespace onepass::bench
