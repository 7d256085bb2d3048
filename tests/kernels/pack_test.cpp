#include "kernels/pack/pack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "kernels/ref/math_ref.h"
#include "tests/kernels/compare.h"
#include "tests/support/guarded.h"

namespace onepass::test {
namespace {

using namespace kernels;

constexpr Layout kLayouts[] = {Layout::f32_rows,     Layout::f16_rows,     Layout::i8_rows,     Layout::f32_n16,
                               Layout::f16_n16,      Layout::i8_n32k4,     Layout::bf16_n16,    Layout::bf16_rows,
                               Layout::i4g32_rows,   Layout::i4g32_n32k4,  Layout::i4g64_n32k4, Layout::i4mg32_n32k4,
                               Layout::i4mg64_n32k4, Layout::i4zg32_n32k4, Layout::i4zg64_n32k4};

// Whether groups have f16 scales.
bool has_half_scales(Layout layout) { return dtype_of(layout) == Dtype::i4 && !has_steps(layout); }

// Packing and unpacking stay inside their buffers, are as exact as the type, and do not depend on what was there.
TEST(Pack, RoundTripOfEveryLayoutAndShape) {
  for (const Layout layout : kLayouts) {
    for (const size_t n : std::initializer_list<size_t>{1, 15, 16, 17, 31, 32, 33, 70}) {
      for (const size_t k : std::initializer_list<size_t>{1, 3, 4, 5, 64, 67}) {
        Random random(n * 100 + k);
        Guarded<float> w(n * k, Flush::back), restored(n * k, Flush::back);
        for (float& v : w) v = random.uniform(-3.0f, 3.0f);
        Guarded<uint8_t> packed(packed_bytes(layout, n, k), Flush::front), again(packed.size(), Flush::back);
        std::memset(again.data(), 0x5a, again.size());
        ASSERT_TRUE(pack(layout, w.data(), n, k, packed.data()).ok());
        ASSERT_TRUE(pack(layout, w.data(), n, k, again.data()).ok());
        ASSERT_EQ(std::memcmp(packed.data(), again.data(), packed.size()), 0) << "padding depends on the buffer";
        ASSERT_TRUE(unpack(layout, packed.data(), n, k, restored.data()));
        ASSERT_TRUE(packed.intact() && again.intact() && restored.intact());
        for (size_t i = 0; i < n; ++i) {
          float absmax = 0.0f;
          for (size_t j = 0; j < k; ++j) absmax = std::fmax(absmax, std::fabs(w[i * k + j]));
          for (size_t j = 0; j < k; ++j) {
            const float value = w[i * k + j];
            double bound = 0.0;
            if (dtype_of(layout) == Dtype::f16) bound = std::fabs(value) * 0x1p-11 + 0x1p-25;
            if (dtype_of(layout) == Dtype::bf16) bound = std::fabs(value) * 0x1p-8;
            if (dtype_of(layout) == Dtype::i8) bound = absmax / 254.0 * 1.00001;
            // Half a step, or what a better scale clips.
            if (dtype_of(layout) == Dtype::i4) bound = absmax * 0.2;
            ASSERT_TRUE(within(restored[i * k + j], value, bound)) << i << "," << j;
          }
        }
      }
    }
  }
}

TEST(Pack, Int8ScalesAndCodes) {
  const float w[] = {-1.27f, 0.635f, 0.0f, 0.0f, 0.0f, 0.0f, 1e-31f, 0.0f, 0.0f};
  alignas(64) uint8_t panel[packed_bytes(Layout::i8_n32k4, 3, 3)];
  ASSERT_TRUE(pack_matmul(Layout::i8_n32k4, w, 3, 3, panel).ok());
  EXPECT_EQ(panel[0], 1);    // -127 + 128
  EXPECT_EQ(panel[1], 192);  // 63.5 to even: 64 + 128
  EXPECT_EQ(panel[2], 128);
  EXPECT_EQ(panel[3], 128);  // padding along K
  for (size_t i = 4; i < 128; ++i) EXPECT_EQ(panel[i], 128) << i;
  float scale[32];
  std::memcpy(scale, panel + scale_offset(Layout::i8_n32k4, 3, 3), sizeof scale);
  EXPECT_EQ(scale[0], 1.27f / 127.0f);
  for (size_t i = 1; i < 32; ++i) EXPECT_EQ(scale[i], 1.0f) << i;  // zero, tiny and absent channels

  alignas(64) uint8_t rows[packed_bytes(Layout::i8_rows, 3, 3)];
  ASSERT_TRUE(pack_rows(Layout::i8_rows, w, 3, 3, rows).ok());
  EXPECT_EQ(static_cast<int8_t>(rows[0]), -127);
  for (size_t i = 9; i < 64; ++i) EXPECT_EQ(rows[i], 0) << i;
}

// Codes, scales and minima that exist already come back as they were, and padding has value 0.
TEST(Pack, Int4PartsRoundTrip) {
  for (const Layout layout : kLayouts) {
    if (!has_half_scales(layout)) {
      EXPECT_EQ(pack_i4(layout, {}, 1, 1, nullptr).status, PackStatus::bad_layout);
      EXPECT_FALSE(unpack_i4(layout, nullptr, 1, 1, nullptr, nullptr, nullptr));
      continue;
    }
    for (const size_t n : std::initializer_list<size_t>{1, 31, 32, 33}) {
      for (const size_t k : std::initializer_list<size_t>{1, 31, 32, 33, 64, 65, 100, 129, 192}) {
        Random random(n * 1000 + k);
        const size_t groups = i4_groups(layout, k);
        std::vector<uint8_t> nibbles(n * k), nibbles_back(n * k, 99);
        std::vector<uint16_t> scales(n * groups), minima(n * groups), scales_back(n * groups), minima_back(n * groups);
        for (uint8_t& x : nibbles) x = static_cast<uint8_t>(random.below(16));
        for (uint16_t& x : scales) x = f16_from_f32(random.uniform(-1.0f, 1.0f));
        for (uint16_t& x : minima) x = f16_from_f32(random.uniform(-1.0f, 1.0f));
        Guarded<uint8_t> packed(packed_bytes(layout, n, k), Flush::back);
        ASSERT_TRUE(pack_i4(layout, {nibbles.data(), scales.data(), minima.data()}, n, k, packed.data()).ok());
        ASSERT_TRUE(
            unpack_i4(layout, packed.data(), n, k, nibbles_back.data(), scales_back.data(), minima_back.data()));
        ASSERT_TRUE(packed.intact());
        ASSERT_EQ(nibbles, nibbles_back);
        ASSERT_EQ(scales, scales_back);
        if (has_minimum(layout)) {
          ASSERT_EQ(minima, minima_back);
        }
        std::vector<float> values(n * k);
        ASSERT_TRUE(unpack(layout, packed.data(), n, k, values.data()));
        for (size_t i = 0; i < n * k; ++i) {
          const size_t group = i / k * groups + i % k / group_size(layout);
          const double scale = ref::f32_from_f16(scales[group]), least = ref::f32_from_f16(minima[group]);
          const double exact = has_minimum(layout) ? nibbles[i] * scale + least : (nibbles[i] - 8) * scale;
          ASSERT_EQ(values[i], static_cast<float>(exact)) << layout_name(layout) << " " << i;
        }
      }
    }
  }
}

// The bytes of docs/layouts.md.
TEST(Pack, Int4Bytes) {
  std::vector<uint8_t> nibbles(70);
  for (size_t i = 0; i < 70; ++i) nibbles[i] = static_cast<uint8_t>(i % 13 + 1);
  const uint16_t scales[] = {0x3c00, 0x4000, 0x4200}, minima[] = {0x3800, 0xb800, 0x3400};
  for (const Layout layout : {Layout::i4g32_n32k4, Layout::i4mg32_n32k4}) {
    const bool minimum = has_minimum(layout);
    const size_t pair = minimum ? 1280 : 1152;
    ASSERT_EQ(packed_bytes(layout, 1, 70), 2 * pair);
    std::vector<uint8_t> out(2 * pair);
    ASSERT_TRUE(pack_i4(layout, {nibbles.data(), scales, minima}, 1, 70, out.data()).ok());
    const unsigned zero = minimum ? 0 : 8;
    for (size_t p = 0; p < 2; ++p) {
      for (size_t at = 0; at < 1024; ++at) {
        const size_t input = p * 64 + at / 128 * 4 + at % 4;
        const bool ours = at % 128 < 4;
        const unsigned low = ours && input < 70 ? nibbles[input] : zero;
        const unsigned high = ours && input + 32 < 70 ? nibbles[input + 32] : zero;
        ASSERT_EQ(out[p * pair + at], low | high << 4) << p << "," << at;
      }
      for (size_t at = 1024; at < pair; at += 2) {
        const size_t group = p * 2 + (at - 1024) % 128 / 64;
        const bool ours = (at - 1024) % 64 == 0 && group < 3;
        const unsigned expected = !ours ? 0 : at < 1152 ? scales[group] : minima[group];
        ASSERT_EQ(out[p * pair + at] | out[p * pair + at + 1] << 8, static_cast<int>(expected)) << p << "," << at;
      }
    }
  }
  std::vector<uint8_t> row(i4_row_bytes(70));
  ASSERT_EQ(row.size(), 54u);
  ASSERT_TRUE(pack_i4(Layout::i4g32_rows, {nibbles.data(), scales, nullptr}, 1, 70, row.data()).ok());
  EXPECT_EQ(row[0], nibbles[0] | nibbles[16] << 4);
  EXPECT_EQ(row[31], nibbles[47] | nibbles[63] << 4);
  EXPECT_EQ(row[32], nibbles[64] | 8 << 4);
  EXPECT_EQ(row[38], 0x88);
  EXPECT_EQ(row[48] | row[49] << 8, scales[0]);
  EXPECT_EQ(row[52] | row[53] << 8, scales[2]);
}

// Weights that lie on a grid are found again, and the search never loses to plain rounding.
TEST(Pack, Int4SearchIsAtLeastAsGoodAsRounding) {
  Random random(5);
  for (size_t trial = 0; trial < 200; ++trial) {
    float w[64], restored[64];
    double worst = 0;
    for (float& x : w) x = random.uniform(-1.0f, 1.0f) * random.uniform(0.0f, 1.0f);
    for (const Layout layout : {Layout::i4g64_n32k4, Layout::i4mg64_n32k4}) {
      alignas(64) uint8_t out[packed_bytes(Layout::i4mg64_n32k4, 1, 64)];
      ASSERT_TRUE(pack_matmul(layout, w, 1, 64, out).ok());
      ASSERT_TRUE(unpack(layout, out, 1, 64, restored));
      double error = 0, plain = 0;
      const auto [low, high] = std::minmax_element(w, w + 64);
      const float absmax = std::fmax(std::fabs(*low), std::fabs(*high));
      const double step = has_minimum(layout) ? (*high - *low) / 15.0 : absmax / 8.0;
      const double zero = has_minimum(layout) ? *low : -absmax;
      for (size_t i = 0; i < 64; ++i) {
        const double rounded = std::fmin(std::nearbyint((w[i] - zero) / step), 15.0) * step + zero;
        plain += (rounded - w[i]) * (rounded - w[i]);
        error += (static_cast<double>(restored[i]) - w[i]) * (static_cast<double>(restored[i]) - w[i]);
      }
      worst = std::fmax(worst, error / plain);
    }
    ASSERT_LT(worst, 1.01) << trial;
  }
}

// The bytes of docs/layouts.md: a code 55 = (15 - 4) * 5 and others, of channels and inputs at the ends.
TEST(Pack, Int4StepBytes) {
  const size_t n = 33, k = 70;
  for (const Layout layout : {Layout::i4zg32_n32k4, Layout::i4zg64_n32k4}) {
    const size_t group = group_size(layout), pair = group * 32 + 64, panel = (k + 2 * group - 1) / (2 * group) * pair;
    ASSERT_EQ(packed_bytes(layout, n, k), 2 * panel + 64 * 4);
    std::vector<uint8_t> bytes(2 * panel + 64 * 4);
    auto* scales = reinterpret_cast<float*>(bytes.data() + scale_offset(layout, n, k));
    scales[0] = 0.5f;
    scales[32] = 2.0f;
    // Channel 0, input 33: in groups of 32 the second of the odd group of pair 0; in groups of 64 of the even group.
    bytes[group == 32 ? 1 : 8 * 128 + 1] = group == 32 ? 0xf0 : 0x0f;
    bytes[group * 32 + (group == 32 ? 32 : 0)] = 5;  // step 5, zero 4
    // Channel 32, input 69: the sixth of the even group of pair 1, or of the odd group of pair 0.
    bytes[panel + (group == 32 ? pair : 0) + 128 + 1] = group == 32 ? 0x02 : 0x20;
    bytes[panel + (group == 32 ? pair : 0) + group * 32 + (group == 32 ? 0 : 32)] = 11 | 7 << 4;  // step 11, zero 11
    std::vector<float> w(n * k);
    ASSERT_TRUE(unpack(layout, bytes.data(), n, k, w.data()));
    EXPECT_EQ(w[33], 55 * 0.5f);
    EXPECT_EQ(w[32 * k + 69], (2 - 11) * 11 * 2.0f);
    EXPECT_EQ(w[5 * k + 33], 0.0f);
    // Any byte of factors is a step of at most 11 and a zero of 4 to 11.
    bytes[group * 32 + (group == 32 ? 32 : 0)] = 0x8f;
    ASSERT_TRUE(unpack(layout, bytes.data(), n, k, w.data()));
    EXPECT_EQ(w[33], 11 * 11 * 0.5f);
  }
}

// Weights that lie on a grid are found again, and the error is that of groups with scales of their own: at most
// somewhat above plain rounding of each group with its exact range.
TEST(Pack, Int4StepSearch) {
  Random random(6);
  double error = 0, plain = 0;
  for (size_t trial = 0; trial < 100; ++trial) {
    constexpr size_t k = 256;
    float w[k], restored[k];
    for (size_t i = 0; i < k; ++i) {
      // Groups of 64 whose largest weights differ by a factor of up to three.
      const float size = static_cast<float>(1 + (trial + i / 64) % 3);
      w[i] = size * random.uniform(-1.0f, 1.0f) * random.uniform(0.0f, 1.0f);
    }
    alignas(64) uint8_t out[packed_bytes(Layout::i4zg64_n32k4, 1, k)];
    ASSERT_TRUE(pack_matmul(Layout::i4zg64_n32k4, w, 1, k, out).ok());
    ASSERT_TRUE(unpack(Layout::i4zg64_n32k4, out, 1, k, restored));
    for (size_t begin = 0; begin < k; begin += 64) {
      const auto [low, high] = std::minmax_element(w + begin, w + begin + 64);
      const double step = std::fmax(std::fabs(*low), std::fabs(*high)) / 8.0;
      for (size_t i = begin; i < begin + 64; ++i) {
        const double rounded = std::fmin(std::fmax(std::nearbyint(w[i] / step), -8.0), 7.0) * step;
        plain += (rounded - w[i]) * (rounded - w[i]);
        error += (static_cast<double>(restored[i]) - w[i]) * (static_cast<double>(restored[i]) - w[i]);
      }
    }
  }
  EXPECT_LT(error, plain);
  EXPECT_GT(error, plain * 0.5);

  float grid[64], back[64];
  for (size_t i = 0; i < 64; ++i) grid[i] = static_cast<float>(static_cast<int>(i % 16) - 7) * 6.0f * 0.25f;
  alignas(64) uint8_t out[packed_bytes(Layout::i4zg32_n32k4, 1, 64)];
  ASSERT_TRUE(pack_matmul(Layout::i4zg32_n32k4, grid, 1, 64, out).ok());
  ASSERT_TRUE(unpack(Layout::i4zg32_n32k4, out, 1, 64, back));
  for (size_t i = 0; i < 64; ++i) EXPECT_NEAR(back[i], grid[i], 1e-5f) << i;
}

TEST(Pack, ReportsWhatItCannotStore) {
  std::vector<float> w(6 * 5, 1.0f);
  alignas(64) uint8_t out[4096];
  for (const Layout layout : kLayouts) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      w[17] = -bad;
      const PackResult result = pack(layout, w.data(), 6, 5, out);
      EXPECT_EQ(result.status, PackStatus::non_finite);
      EXPECT_EQ(result.index, 17u);
    }
    w[17] = -65520.0f;  // the least magnitude that rounds to infinity in f16
    const PackResult result = pack(layout, w.data(), 6, 5, out);
    EXPECT_EQ(result.status, dtype_of(layout) == Dtype::f16 ? PackStatus::f16_overflow : PackStatus::ok);
    EXPECT_EQ(result.index, result.ok() ? 0u : 17u);
    if (has_half_scales(layout)) {
      w[17] = 4e6f;  // no f16 scale reaches it
      EXPECT_EQ(pack(layout, w.data(), 6, 5, out).status, PackStatus::f16_overflow);
      EXPECT_EQ(pack(layout, w.data(), 6, 5, out).index, 17u);
    }
    w[17] = std::nextafter(65520.0f, 0.0f);
    EXPECT_TRUE(pack(layout, w.data(), 6, 5, out).ok());
    w[17] = 1.0f;
  }
  EXPECT_EQ(pack_matmul(Layout::f32_rows, w.data(), 6, 5, out).status, PackStatus::bad_layout);
  EXPECT_EQ(pack_rows(Layout::f32_n16, w.data(), 6, 5, out).status, PackStatus::bad_layout);
  EXPECT_EQ(pack(Layout::none, w.data(), 6, 5, out).status, PackStatus::bad_layout);
  EXPECT_FALSE(unpack(Layout::none, out, 6, 5, w.data()));
}

// Every half widens to the value that its definition gives, and narrows back to itself.
TEST(F16, EveryHalf) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = ref::f32_from_f16(half);
    const int sign = (bits & 0x8000u) != 0 ? -1 : 1;
    const int exponent = static_cast<int>(bits >> 10 & 31u), fraction = static_cast<int>(bits & 1023u);
    if (exponent == 31 && fraction != 0) {
      EXPECT_TRUE(std::isnan(value)) << bits;
      EXPECT_EQ(f16_from_f32(value), half | 0x200u) << bits;
      continue;
    }
    const double expected = exponent == 31  ? sign * std::numeric_limits<double>::infinity()
                            : exponent == 0 ? sign * std::ldexp(fraction, -24)
                                            : sign * std::ldexp(1024 + fraction, exponent - 25);
    EXPECT_TRUE(static_cast<double>(value) == expected && std::signbit(value) == (sign < 0)) << bits;
    EXPECT_EQ(f16_from_f32(value), half) << bits;
  }
}

TEST(Bf16, EveryValueAndTheMiddles) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = ref::f32_from_bf16(half);
    ASSERT_EQ(std::bit_cast<uint32_t>(value), bits << 16);
    if (std::isnan(value)) {
      ASSERT_EQ(bf16_from_f32(value), half | 0x40u) << bits;
      continue;
    }
    ASSERT_EQ(bf16_from_f32(value), half) << bits;
    if ((bits & 0x7fffu) >= 0x7f80u) continue;
    const auto middle = std::bit_cast<float>(bits << 16 | 0x8000u), below = std::bit_cast<float>(bits << 16 | 0x7fffu),
               above = std::bit_cast<float>(bits << 16 | 0x8001u);
    ASSERT_EQ(bf16_from_f32(middle), half + (bits & 1u)) << bits;
    ASSERT_EQ(bf16_from_f32(below), half) << bits;
    ASSERT_EQ(bf16_from_f32(above), half + 1u) << bits;
  }
  uint8_t out[64];
  const float largest = std::numeric_limits<float>::max();
  EXPECT_EQ(pack_rows(Layout::bf16_rows, &largest, 1, 1, out).status, PackStatus::f16_overflow);
  EXPECT_EQ(pack_matmul(Layout::bf16_n16, &largest, 1, 1, out).status, PackStatus::f16_overflow);
}

// Between two neighbouring halves: below the middle down, above it up, in the middle to the even one.
TEST(F16, RoundsHalfToEven) {
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const auto low = static_cast<uint16_t>(bits), high = static_cast<uint16_t>(bits + 1);
    const float middle = (ref::f32_from_f16(low) + ref::f32_from_f16(high)) / 2.0f;  // exact
    ASSERT_EQ(f16_from_f32(middle), (bits & 1u) == 0 ? low : high) << bits;
    ASSERT_EQ(f16_from_f32(std::nextafter(middle, 0.0f)), low) << bits;
    ASSERT_EQ(f16_from_f32(std::nextafter(middle, 1e9f)), high) << bits;
    ASSERT_EQ(f16_from_f32(-middle), (f16_from_f32(middle) | 0x8000u)) << bits;
  }
  EXPECT_EQ(f16_from_f32(65520.0f), 0x7c00);
  EXPECT_EQ(f16_from_f32(1e30f), 0x7c00);
  EXPECT_EQ(f16_from_f32(1e-30f), 0);
}

// The formulas of docs/layouts.md: sizes, alignment of the scales, and no overlap.
TEST(Layouts, Sizes) {
  EXPECT_EQ(packed_bytes(Layout::f32_rows, 3, 5), 60u);
  EXPECT_EQ(packed_bytes(Layout::f16_rows, 3, 5), 30u);
  EXPECT_EQ(packed_bytes(Layout::f32_n16, 17, 5), 32u * 5 * 4);
  EXPECT_EQ(packed_bytes(Layout::f16_n16, 17, 5), 32u * 5 * 2);
  EXPECT_EQ(scale_offset(Layout::i8_rows, 3, 5), 64u);
  EXPECT_EQ(packed_bytes(Layout::i8_rows, 3, 5), 64u + 12);
  EXPECT_EQ(scale_offset(Layout::i8_n32k4, 33, 5), 64u * 8);
  EXPECT_EQ(packed_bytes(Layout::i8_n32k4, 33, 5), 64u * 8 + 64 * 4);
  EXPECT_EQ(packed_bytes(Layout::i4g32_rows, 3, 65), 3u * 54);
  EXPECT_EQ(packed_bytes(Layout::i4g32_n32k4, 33, 64), 2u * (1024 + 128));
  EXPECT_EQ(packed_bytes(Layout::i4g32_n32k4, 32, 65), 2u * (1024 + 128));
  EXPECT_EQ(packed_bytes(Layout::i4g64_n32k4, 32, 129), 2u * (2048 + 128));
  EXPECT_EQ(packed_bytes(Layout::i4mg32_n32k4, 32, 1), 1024u + 256);
  EXPECT_EQ(packed_bytes(Layout::i4mg64_n32k4, 32, 128), 2048u + 256);
  EXPECT_EQ(packed_bytes(Layout::i4zg32_n32k4, 33, 65), 2u * 2 * (1024 + 64) + 64 * 4);
  EXPECT_EQ(packed_bytes(Layout::i4zg64_n32k4, 32, 129), 2u * (2048 + 64) + 32 * 4);
  EXPECT_EQ(packed_bytes(Layout::none, 3, 5), 0u);
  for (size_t n = 1; n < 70; ++n) {
    for (size_t k = 1; k < 70; ++k) {
      EXPECT_EQ(scale_offset(Layout::i8_n32k4, n, k) % 64, 0u);
      EXPECT_EQ(scale_offset(Layout::i8_rows, n, k) % 64, 0u);
      EXPECT_EQ(scale_offset(Layout::i4zg32_n32k4, n, k) % 64, 0u);
    }
  }
}

}  // namespace
}  // namespace onepass::test
