#include "tests/kernels/problems.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/pack/pack.h"
#include "tests/kernels/problem_parts.h"

namespace onepass::test {
namespace {

using kernels::Layout;
using kernels::packed_bytes;
using kernels::round_up;

}  // namespace

std::string difference(const Output& actual, const Output& expected) {
  const std::string name = std::string(actual.name) + " ";
  if (!actual.intact) return name + "was written outside its memory";
  for (size_t row = 0; row < actual.rows; ++row) {
    const size_t end = row + 1 == actual.rows ? actual.width : actual.stride;
    for (size_t i = 0; i < end; ++i) {
      const size_t at = row * actual.stride + i;
      const std::string where = name + "[" + std::to_string(row) + "," + std::to_string(i) + "]: ";
      if (actual.element_bytes == 1) {
        const int got = static_cast<const int8_t*>(actual.data)[at];
        const int want = static_cast<const int8_t*>(expected.data)[at];
        if (got != want) return where + std::to_string(got) + " instead of " + std::to_string(want);
        continue;
      }
      const float got = static_cast<const float*>(actual.data)[at];
      const float want = static_cast<const float*>(expected.data)[at];
      const bool is_poison = std::bit_cast<uint32_t>(got) == kPoisonBits;
      if (i >= actual.width && !is_poison) return where + "written, but lies between the rows";
      if (i < actual.width && is_poison) return where + "not written";
      if (i < actual.width && !same_bits(got, want)) {
        char text[80];
        snprintf(text, sizeof text, "%a instead of %a", static_cast<double>(got), static_cast<double>(want));
        return where + text;
      }
    }
  }
  return {};
}

// matmul_i8

std::vector<Case> Problem<kernels::MatmulI8>::cases() {
  auto cases = combine({1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 25, 27}, {1, 15, 16, 17, 31, 32, 33, 47, 64, 67},
                       {1, 2, 3, 4, 5, 7, 8, 13, 16, 31, 33, 64, 67, 129},
                       {0, extreme, hostile, no_bias, wide_strides, with_act | with_peak, with_act | wide_strides,
                        with_act | hostile | with_peak, no_bias | extreme | wide_strides | with_peak});
  // Whole tiles of 64 inputs, every height of a tile of 16 rows, and tiles that overlap.
  for (const size_t m : {3u, 4u, 15u, 16u, 17u, 18u, 31u, 32u, 33u, 47u, 48u, 49u, 65u, 97u, 129u}) {
    cases.push_back({m, 33 + m, 64 * (1 + m % 3), m % 2 == 0 ? extreme : with_act | with_peak});
  }
  cases.push_back({97, 33, 20, 0});  // more rows than any block of them
  cases.push_back({200, 40, 12, extreme});
  cases.push_back({3, 17, 4099, extreme});
  for (const unsigned variant : {unsigned{extreme}, unsigned{hostile}, unsigned{with_act}}) {
    for (const size_t m : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 11u, 23u, 48u, 50u}) {
      cases.push_back({m, 20 + m, 4 * m + 301 - variant, like_activations | variant});
    }
  }
  cases.push_back({49, 37, 8300, like_activations});  // more of the neighbours than a list of them holds
  return cases;
}

Problem<kernels::MatmulI8>::Problem(const Case& c, Flush flush)
    : case_(c),
      a_stride_(round_up(c.c, 4) + (has(c, wide_strides) ? 12 : 0)),
      c_stride_(c.b + (has(c, wide_strides) ? 5 : 0)),
      a_(strided(c.a, round_up(c.c, 4), a_stride_), flush),
      a_scale_(c.a, flush),
      w_(packed_bytes(Layout::i8_n32k4, c.b, c.c), flush, 64),
      bias_(c.b, flush),
      c_(strided(c.a, c.b, c_stride_), flush),
      peak_(c.a * 16, flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.c * 7 + c.variant);
  // Some lanes have already seen more than this product has.
  for (int32_t& bits : peak_) bits = random.bits() % 8 == 0 ? std::bit_cast<int32_t>(3.0f) : 0;
  for (int8_t& code : a_) code = 0;
  for (size_t m = 0; m < c.a; ++m) {
    for (size_t k = 0; k < c.c; ++k) {
      const int8_t sign = (m + (has(c, wide_strides) ? k : 0)) % 2 == 0 ? 1 : -1;
      int8_t& code = a_[m * a_stride_ + k];
      code = has(c, extreme) && !has(c, like_activations) ? static_cast<int8_t>(127 * sign) : random.code();
      if (!has(c, like_activations)) continue;
      const unsigned kind = random.bits() % 64;
      if (kind == 0 && k > 0) {  // a sum of exactly 128, or of one more, or the largest
        const int8_t before = static_cast<int8_t>(random.bits() % 2 == 0 ? 64 : -64);
        a_[m * a_stride_ + k - 1] = before;
        code = static_cast<int8_t>(before + (random.bits() % 2 == 0 ? 0 : before > 0 ? 1 : -1));
      } else if (kind == 1 && k > 0) {
        code = a_[m * a_stride_ + k - 1] = static_cast<int8_t>(random.bits() % 2 == 0 ? 127 : -127);
      } else {
        code = static_cast<int8_t>(code / 4);
      }
    }
  }
  fill_uniform(a_scale_, random, 0.001f, 0.1f);
  fill_uniform(bias_, random);
  std::vector<float> weights(c.b * c.c);
  for (float& w : weights) {
    const float sign = random.bits() % 8 == 0 ? -1.0f : 1.0f;
    w = has(c, extreme) ? sign : random.uniform(-1.0f, 1.0f);
  }
  (void)kernels::pack_matmul(Layout::i8_n32k4, weights.data(), c.b, c.c, w_.data());
  if (has(c, hostile)) {
    for (uint8_t& byte : w_) byte = static_cast<uint8_t>(random.bits());
  }
  poison(c_);
}

kernels::MatmulI8 Problem<kernels::MatmulI8>::args() {
  return {.a = a_.data(),
          .a_stride = a_stride_,
          .a_scale = a_scale_.data(),
          .w = w_.data(),
          .bias = has(case_, no_bias) ? nullptr : bias_.data(),
          .c = c_.data(),
          .c_stride = c_stride_,
          .m = case_.a,
          .n = case_.b,
          .k = case_.c,
          .n_begin = 0,
          .n_end = case_.b,
          .act = has(case_, with_act) ? static_cast<kernels::Act>(1 + (case_.a + case_.b) % (kernels::act_count - 1))
                                      : kernels::Act::none,
          .peak = has(case_, with_peak) ? peak_.data() : nullptr};
}

std::vector<Output> Problem<kernels::MatmulI8>::outputs() const {
  return {f32_output("C", c_, case_.a, case_.b, c_stride_),
          {"peak", peak_.data(), 1, case_.a * 16, case_.a * 16, sizeof(float), peak_.intact()}};
}

// matmul_i4

std::vector<Case> Problem<kernels::MatmulI4>::cases() {
  std::vector<Case> cases;
  for (const unsigned layout : {0u, unsigned{groups_of_64}, unsigned{minimum}, unsigned{groups_of_64 | minimum}}) {
    auto some = combine({1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 15, 25}, {1, 15, 16, 17, 31, 32, 33, 47, 64, 67},
                        {1, 3, 4, 5, 7, 8, 13, 31, 32, 33, 63, 64, 65, 67, 96, 128, 129, 160, 257, 289},
                        {0, extreme, hostile, no_bias, wide_strides, with_act | with_peak, with_act | wide_strides,
                         with_act | hostile | with_peak, no_bias | extreme | wide_strides | with_peak});
    for (size_t k = 1; k <= 130; k += 2) some.push_back({1 + k % 9, 33, k, k % 4 == 1 ? 0u : unsigned{extreme}});
    for (size_t g = 1; g <= 9; ++g) some.push_back({14 - g, 32 + g, g * 64, g % 2 == 0 ? 0u : unsigned{hostile}});
    some.push_back({97, 33, 20, 0});  // more rows than any block of them
    some.push_back({103, 40, 516, extreme});
    some.push_back({3, 17, 4099, extreme});
    some.push_back({50, 17, 8230, 0});  // more groups than rows of 48 leave room for
    for (Case& c : some) c.variant |= layout;
    cases.insert(cases.end(), some.begin(), some.end());
  }
  return cases;
}

Problem<kernels::MatmulI4>::Problem(const Case& c, Flush flush)
    : case_(c),
      layout_(has(c, minimum)        ? has(c, groups_of_64) ? Layout::i4mg64_n32k4 : Layout::i4mg32_n32k4
              : has(c, groups_of_64) ? Layout::i4g64_n32k4
                                     : Layout::i4g32_n32k4),
      a_stride_(round_up(c.c, 4) + (has(c, wide_strides) ? 12 : 0)),
      c_stride_(c.b + (has(c, wide_strides) ? 5 : 0)),
      a_(strided(c.a, round_up(c.c, 4), a_stride_), flush),
      a_scale_(c.a, flush),
      w_(packed_bytes(layout_, c.b, c.c), flush, 64),
      bias_(c.b, flush),
      c_(strided(c.a, c.b, c_stride_), flush),
      peak_(c.a * 16, flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.c * 7 + c.variant);
  for (int32_t& bits : peak_) bits = random.bits() % 8 == 0 ? std::bit_cast<int32_t>(3.0f) : 0;
  for (int8_t& code : a_) code = 0;
  for (size_t m = 0; m < c.a; ++m) {
    for (size_t k = 0; k < c.c; ++k) {
      a_[m * a_stride_ + k] = has(c, extreme) ? static_cast<int8_t>(m % 2 == 0 ? 127 : -127) : random.code();
    }
  }
  fill_uniform(a_scale_, random, 0.001f, 0.1f);
  fill_uniform(bias_, random);
  const size_t groups = kernels::i4_groups(layout_, c.c);
  std::vector<uint8_t> nibbles(c.b * c.c);
  std::vector<uint16_t> scales(c.b * groups), minima(c.b * groups);
  for (uint8_t& nibble : nibbles) {
    nibble = static_cast<uint8_t>(has(c, extreme) ? random.bits() % 16 == 0 ? 0 : 15 : random.bits() % 16);
  }
  for (uint16_t& scale : scales) {
    // Now and then the largest half, or a subnormal one.
    const size_t kind = has(c, extreme) ? random.below(8) : 7;
    scale = kind == 0   ? uint16_t{0x7bff}
            : kind == 1 ? uint16_t{0x8001}
                        : kernels::f16_from_f32(random.uniform(-0.1f, 0.1f));
  }
  for (uint16_t& least : minima) least = kernels::f16_from_f32(random.uniform(-1.0f, 1.0f));
  (void)kernels::pack_i4(layout_, {nibbles.data(), scales.data(), minima.data()}, c.b, c.c, w_.data());
  if (has(c, hostile)) {
    for (uint8_t& byte : w_) byte = static_cast<uint8_t>(random.bits());
  }
  poison(c_);
}

kernels::MatmulI4 Problem<kernels::MatmulI4>::args() {
  return {.a = a_.data(),
          .a_stride = a_stride_,
          .a_scale = a_scale_.data(),
          .w = w_.data(),
          .layout = layout_,
          .bias = has(case_, no_bias) ? nullptr : bias_.data(),
          .c = c_.data(),
          .c_stride = c_stride_,
          .m = case_.a,
          .n = case_.b,
          .k = case_.c,
          .n_begin = 0,
          .n_end = case_.b,
          .act = has(case_, with_act) ? static_cast<kernels::Act>(1 + (case_.a + case_.b) % (kernels::act_count - 1))
                                      : kernels::Act::none,
          .peak = has(case_, with_peak) ? peak_.data() : nullptr};
}

std::vector<Output> Problem<kernels::MatmulI4>::outputs() const {
  return {f32_output("C", c_, case_.a, case_.b, c_stride_),
          {"peak", peak_.data(), 1, case_.a * 16, case_.a * 16, sizeof(float), peak_.intact()}};
}

// matmul_i4z

std::vector<Case> Problem<kernels::MatmulI4Z>::cases() {
  std::vector<Case> cases;
  for (const unsigned layout : {0u, unsigned{groups_of_64}}) {
    auto some = combine({1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 15, 25}, {1, 15, 16, 17, 31, 32, 33, 47, 64, 67},
                        {1, 3, 4, 5, 7, 8, 13, 31, 32, 33, 63, 64, 65, 67, 96, 128, 129, 160, 257, 289},
                        {0, extreme, hostile, no_bias, wide_strides, with_act | with_peak, with_act | wide_strides,
                         with_act | hostile | with_peak, no_bias | extreme | wide_strides | with_peak});
    for (size_t k = 1; k <= 130; k += 2) some.push_back({1 + k % 9, 33, k, k % 4 == 1 ? 0u : unsigned{extreme}});
    for (size_t g = 1; g <= 9; ++g) some.push_back({14 - g, 32 + g, g * 64, g % 2 == 0 ? 0u : unsigned{hostile}});
    // Every height of a tile of 16 rows, and tiles that overlap; products in parts of K, with few rows and with many.
    for (const size_t m :
         {3u, 4u, 9u, 10u, 14u, 15u, 16u, 17u, 18u, 19u, 20u, 21u, 29u, 33u, 47u, 48u, 49u, 65u, 97u}) {
      some.push_back({m, 33 + m, 64 * (1 + m % 3), m % 2 == 0 ? unsigned{extreme} : with_act | with_peak});
      some.push_back({m, 33, 1600 + 64 * (m % 5), m % 2 == 0 ? 0u : with_act | with_peak | wide_strides});
    }
    some.push_back({103, 40, 516, extreme});
    some.push_back({3, 17, 4099, extreme});
    some.push_back({50, 17, 3210, with_act | with_peak});
    some.push_back({101, 70, 1700, 0});
    // More rows than share what is expanded, and what is left over.
    some.push_back({481, 33, 68, with_act});
    some.push_back({487, 33, 68, with_peak});
    for (Case& c : some) c.variant |= layout;
    cases.insert(cases.end(), some.begin(), some.end());
  }
  return cases;
}

Problem<kernels::MatmulI4Z>::Problem(const Case& c, Flush flush)
    : case_(c),
      layout_(has(c, groups_of_64) ? Layout::i4zg64_n32k4 : Layout::i4zg32_n32k4),
      a_stride_(round_up(c.c, 4) + (has(c, wide_strides) ? 12 : 0)),
      c_stride_(c.b + (has(c, wide_strides) ? 5 : 0)),
      a_(strided(c.a, round_up(c.c, 4), a_stride_), flush),
      a_scale_(c.a, flush),
      w_(packed_bytes(layout_, c.b, c.c), flush, 64),
      bias_(c.b, flush),
      c_(strided(c.a, c.b, c_stride_), flush),
      peak_(c.a * 16, flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.c * 7 + c.variant);
  for (int32_t& bits : peak_) bits = random.bits() % 8 == 0 ? std::bit_cast<int32_t>(3.0f) : 0;
  for (int8_t& code : a_) code = 0;
  for (size_t m = 0; m < c.a; ++m) {
    for (size_t k = 0; k < c.c; ++k) {
      a_[m * a_stride_ + k] = has(c, extreme) ? static_cast<int8_t>(m % 2 == 0 ? 127 : -127) : random.code();
    }
  }
  fill_uniform(a_scale_, random, 0.001f, 0.1f);
  fill_uniform(bias_, random);
  // Any bytes are nibbles, steps and zeros. The extremes: 15 with step 11 and zero 4, or 0 with zero 11.
  const size_t scales_at = kernels::scale_offset(layout_, c.b, c.c);
  for (size_t i = 0; i < w_.size(); ++i) w_.data()[i] = static_cast<uint8_t>(random.bits());
  if (has(c, extreme)) {
    const size_t group = kernels::group_size(layout_), pair_bytes = kernels::i4_pair_bytes(layout_);
    const bool highest = random.bits() % 2 == 0;
    for (size_t i = 0; i < scales_at; ++i) {
      const bool factors = i % pair_bytes >= group * 32;
      w_.data()[i] = factors ? (highest ? 0x0b : 0x7b) : (highest ? 0xff : 0x00);
    }
  }
  if (!has(c, hostile)) {
    auto* scales = reinterpret_cast<float*>(w_.data() + scales_at);
    for (size_t i = 0; i < kernels::scale_count(layout_, c.b); ++i) scales[i] = random.uniform(0.001f, 0.1f);
  }
  poison(c_);
}

kernels::MatmulI4Z Problem<kernels::MatmulI4Z>::args() {
  return {.a = a_.data(),
          .a_stride = a_stride_,
          .a_scale = a_scale_.data(),
          .w = w_.data(),
          .layout = layout_,
          .bias = has(case_, no_bias) ? nullptr : bias_.data(),
          .c = c_.data(),
          .c_stride = c_stride_,
          .m = case_.a,
          .n = case_.b,
          .k = case_.c,
          .n_begin = 0,
          .n_end = case_.b,
          .act = has(case_, with_act) ? static_cast<kernels::Act>(1 + (case_.a + case_.b) % (kernels::act_count - 1))
                                      : kernels::Act::none,
          .peak = has(case_, with_peak) ? peak_.data() : nullptr};
}

std::vector<Output> Problem<kernels::MatmulI4Z>::outputs() const {
  return {f32_output("C", c_, case_.a, case_.b, c_stride_),
          {"peak", peak_.data(), 1, case_.a * 16, case_.a * 16, sizeof(float), peak_.intact()}};
}

// matmul_f32

std::vector<Case> Problem<kernels::MatmulF32>::cases() {
  return combine({1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 25, 27}, {1, 7, 15, 16, 17, 31, 32, 33, 48, 64, 67},
                 {1, 2, 3, 4, 5, 13, 16, 67, 129},
                 {0, f16, hostile, no_bias, f16 | hostile, wide_strides, no_bias | f16 | wide_strides, bf16,
                  bf16 | hostile, bf16 | wide_strides});
}

Problem<kernels::MatmulF32>::Problem(const Case& c, Flush flush)
    : case_(c),
      layout_(has(c, f16)    ? Layout::f16_n16
              : has(c, bf16) ? Layout::bf16_n16
                             : Layout::f32_n16),
      a_stride_(c.c + (has(c, wide_strides) ? 3 : 0)),
      c_stride_(c.b + (has(c, wide_strides) ? 5 : 0)),
      a_(strided(c.a, c.c, a_stride_), flush),
      w_(packed_bytes(layout_, c.b, c.c), flush, 64),
      bias_(c.b, flush),
      c_(strided(c.a, c.b, c_stride_), flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.c * 7 + c.variant);
  fill_uniform(a_, random);
  fill_uniform(bias_, random);
  std::vector<float> weights(c.b * c.c);
  for (float& w : weights) w = random.uniform(-1.0f, 1.0f);
  (void)kernels::pack_matmul(layout_, weights.data(), c.b, c.c, w_.data());
  if (has(c, hostile)) {
    for (uint8_t& byte : w_) byte = static_cast<uint8_t>(random.bits());
  }
  poison(c_);
}

kernels::MatmulF32 Problem<kernels::MatmulF32>::args() {
  return {.a = a_.data(),
          .a_stride = a_stride_,
          .w = w_.data(),
          .layout = layout_,
          .bias = has(case_, no_bias) ? nullptr : bias_.data(),
          .c = c_.data(),
          .c_stride = c_stride_,
          .m = case_.a,
          .n = case_.b,
          .k = case_.c,
          .n_begin = 0,
          .n_end = case_.b};
}

std::vector<Output> Problem<kernels::MatmulF32>::outputs() const {
  return {f32_output("C", c_, case_.a, case_.b, c_stride_)};
}

// add_norm

std::vector<Case> Problem<kernels::AddNorm>::cases() {
  return combine({1, 2, 3, 4, 5, 8, 9}, {1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 47, 48, 67, 384}, {1},
                 {0, no_bias, no_residual, in_x, in_residual, hostile, no_residual | in_x | wide_strides,
                  no_bias | in_residual | wide_strides, wide_strides, sum, sum | no_residual | wide_strides, sum_in_x,
                  sum_in_x | no_residual});
}

Problem<kernels::AddNorm>::Problem(const Case& c, Flush flush)
    : case_(c),
      stride_(c.b + (has(c, wide_strides) ? 5 : 0)),
      x_(strided(c.a, c.b, stride_), flush),
      residual_(strided(c.a, c.b, stride_), flush),
      y_(strided(c.a, c.b, stride_), flush),
      weight_(c.b, flush),
      bias_(c.b, flush),
      sum_(strided(c.a, c.b, stride_), flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.variant);
  fill_uniform(x_, random);
  fill_uniform(residual_, random);
  fill_uniform(weight_, random);
  fill_uniform(bias_, random);
  if (has(c, hostile)) {
    fill_any(x_, random);
    fill_any(weight_, random);
  }
  poison(y_);
  poison(sum_);
  // Between the rows of whatever is written lies the pattern that must survive.
  poison_between(target(), c.a, c.b, stride_);
  poison_between(x_.data(), c.a, c.b, stride_);
}

float* Problem<kernels::AddNorm>::target() {
  return has(case_, in_x) ? x_.data() : has(case_, in_residual) ? residual_.data() : y_.data();
}

kernels::AddNorm Problem<kernels::AddNorm>::args() {
  return {.x = x_.data(),
          .residual = has(case_, no_residual) ? nullptr : residual_.data(),
          .weight = weight_.data(),
          .bias = has(case_, no_bias) ? nullptr : bias_.data(),
          .y = target(),
          .rows = case_.a,
          .width = case_.b,
          .x_stride = stride_,
          .residual_stride = stride_,
          .y_stride = stride_,
          .eps = 1e-5f,
          .sum = has(case_, sum)        ? sum_.data()
                 : has(case_, sum_in_x) ? x_.data()
                                        : nullptr,
          .sum_stride = stride_};
}

std::vector<Output> Problem<kernels::AddNorm>::outputs() const {
  const auto& out = has(case_, in_x) ? x_ : has(case_, in_residual) ? residual_ : y_;
  std::vector<Output> outputs = {f32_output("y", out, case_.a, case_.b, stride_)};
  if (has(case_, sum)) outputs.push_back(f32_output("sum", sum_, case_.a, case_.b, stride_));
  if (has(case_, sum_in_x)) outputs.push_back(f32_output("x + residual", x_, case_.a, case_.b, stride_));
  return outputs;
}

// activate

std::vector<Case> Problem<kernels::Activate>::cases() {
  return combine({1, 2, 3}, {1, 2, 15, 16, 17, 31, 32, 33, 67, 127, 1536}, {0, 1, 2, 3, 4, 5, 6},
                 {0, hostile, wide_strides});
}

Problem<kernels::Activate>::Problem(const Case& c, Flush flush)
    : case_(c), stride_(c.b + (has(c, wide_strides) ? 5 : 0)), x_(strided(c.a, c.b, stride_), flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.c * 7 + c.variant);
  poison(x_);
  for (size_t row = 0; row < c.a; ++row) {
    for (size_t i = 0; i < c.b; ++i) {
      x_[row * stride_ + i] = has(c, hostile) ? random.any() : random.uniform(-10.0f, 10.0f);
    }
  }
  x_[0] = -0.0f;
}

kernels::Activate Problem<kernels::Activate>::args() {
  return {
      .x = x_.data(), .rows = case_.a, .width = case_.b, .stride = stride_, .act = static_cast<kernels::Act>(case_.c)};
}

std::vector<Output> Problem<kernels::Activate>::outputs() const {
  return {f32_output("x", x_, case_.a, case_.b, stride_)};
}

// quantize_rows

std::vector<Case> Problem<kernels::QuantizeRows>::cases() {
  return combine({1, 2, 3, 9}, {1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 67, 384}, {1},
                 {0, special, hostile, wide_strides, with_peak, special | with_peak, special | wide_strides});
}

Problem<kernels::QuantizeRows>::Problem(const Case& c, Flush flush)
    : case_(c),
      x_stride_(c.b + (has(c, wide_strides) ? 5 : 0)),
      codes_stride_(round_up(c.b, 4) + (has(c, wide_strides) ? 8 : 0)),
      x_(strided(c.a, c.b, x_stride_), flush),
      codes_(strided(c.a, round_up(c.b, 4), codes_stride_), flush),
      scale_(c.a, flush),
      peak_(c.a * 16, flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.variant);
  fill_uniform(x_, random);
  if (has(c, hostile)) fill_any(x_, random);
  if (has(c, special)) {
    constexpr float inf = std::numeric_limits<float>::infinity();
    for (size_t row = 0; row < c.a; ++row) {
      float* x = x_.data() + row * x_stride_;
      float& chosen = x[random.below(c.b)];
      switch ((row + c.b) % 8) {
        case 0:
          chosen = std::numeric_limits<float>::quiet_NaN();
          break;
        case 1:
          chosen = inf;
          break;
        case 2:
          chosen = -inf;
          break;
        case 3:
          std::fill(x, x + c.b, 0.0f);
          break;
        case 4:
          std::fill(x, x + c.b, -9e-31f);
          break;  // below the smallest row that is quantised
        case 5:
          std::fill(x, x + c.b, std::numeric_limits<float>::max());
          break;
        case 6:  // every code and every half between two
          for (size_t i = 0; i < c.b; ++i) x[i] = static_cast<float>(static_cast<int>(i % 509) - 254) * 0.5f;
          chosen = 127.0f;
          break;
        default:
          std::fill(x, x + c.b, 1.0000001e-30f);
          break;
      }
    }
  }
  for (int32_t& bits : peak_) bits = 0;
  for (size_t row = 0; row < c.a; ++row) {
    for (size_t i = 0; i < c.b; ++i) {
      int32_t& bits = peak_[row * 16 + i % 16];
      bits = std::max(bits, std::bit_cast<int32_t>(std::fabs(x_[row * x_stride_ + i])));
    }
  }
  for (int8_t& code : codes_) code = kPoisonCode;
  poison(scale_);
}

kernels::QuantizeRows Problem<kernels::QuantizeRows>::args() {
  return {.x = x_.data(),
          .x_stride = x_stride_,
          .codes = codes_.data(),
          .codes_stride = codes_stride_,
          .scale = scale_.data(),
          .rows = case_.a,
          .width = case_.b,
          .peak = has(case_, with_peak) ? peak_.data() : nullptr};
}

std::vector<Output> Problem<kernels::QuantizeRows>::outputs() const {
  return {{"codes", codes_.data(), case_.a, round_up(case_.b, 4), codes_stride_, 1, codes_.intact()},
          f32_output("scale", scale_, 1, case_.a, case_.a)};
}

// embed_rows

std::vector<Case> Problem<kernels::EmbedRows>::cases() {
  const auto layouts = {Layout::f32_rows, Layout::f16_rows, Layout::bf16_rows, Layout::i8_rows, Layout::i4g32_rows};
  std::vector<Case> cases;
  for (const Layout layout : layouts) {
    for (const Case& c : combine({1, 2, 5}, {1, 2, 15, 16, 17, 31, 32, 33, 67, 384}, {1},
                                 {0, add, hostile, wide_strides, add | wide_strides})) {
      cases.push_back({c.a, c.b, static_cast<size_t>(layout), c.variant});
    }
  }
  return cases;
}

Problem<kernels::EmbedRows>::Problem(const Case& c, Flush flush)
    : case_(c),
      layout_(static_cast<Layout>(c.c)),
      stride_(c.b + (has(c, wide_strides) ? 5 : 0)),
      table_(packed_bytes(layout_, kTableRows, c.b), flush, 4),
      ids_(c.a, flush),
      out_(strided(c.a, c.b, stride_), flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.c * 7 + c.variant);
  std::vector<float> values(kTableRows * c.b);
  for (float& v : values) v = random.uniform(-2.0f, 2.0f);
  (void)kernels::pack_rows(layout_, values.data(), kTableRows, c.b, table_.data());
  if (has(c, hostile)) {
    for (uint8_t& byte : table_) byte = static_cast<uint8_t>(random.bits());
  }
  // The first and the last row lie against the guard pages.
  for (size_t i = 0; i < c.a; ++i) {
    ids_[i] = static_cast<uint32_t>(i == 0 ? 0 : i == 1 ? kTableRows - 1 : random.below(kTableRows));
  }
  poison(out_);
  if (has(c, add)) {
    for (size_t row = 0; row < c.a; ++row) {
      for (size_t i = 0; i < c.b; ++i) out_[row * stride_ + i] = random.uniform(-2.0f, 2.0f);
    }
  }
}

kernels::EmbedRows Problem<kernels::EmbedRows>::args() {
  return {.table = table_.data(),
          .layout = layout_,
          .n = kTableRows,
          .width = case_.b,
          .ids = ids_.data(),
          .out = out_.data(),
          .out_stride = stride_,
          .rows = case_.a,
          .add = has(case_, add)};
}

std::vector<Output> Problem<kernels::EmbedRows>::outputs() const {
  return {f32_output("out", out_, case_.a, case_.b, stride_)};
}

}  // namespace onepass::test
