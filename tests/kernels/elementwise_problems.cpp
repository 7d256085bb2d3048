#include "tests/kernels/elementwise_problems.h"

#include <bit>

#include "tests/kernels/problem_parts.h"

namespace onepass::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// Elements of a row that holds `groups` groups.
size_t groups_width(size_t groups, size_t width, size_t group_stride) { return (groups - 1) * group_stride + width; }

}  // namespace

// rms_norm

std::vector<Case> Problem<kernels::RmsNorm>::cases() {
  return combine(
      {1, 2, 3, 4, 5, 8, 9, 13}, {1, 3, 15, 16, 17, 31, 32, 33, 64, 67, 128, 384}, {1, 2, 4, 5, 9},
      {0, residual, residual | sum, sum, one_plus, residual | sum_in_x | one_plus, in_x | wide_strides, residual | in_x,
       residual | in_residual | wide_strides, hostile, residual | sum | wide_strides, sum | wide_strides});
}

Problem<kernels::RmsNorm>::Problem(const Case& c, Flush flush)
    : case_(c),
      group_stride_(c.b + (has(c, wide_strides) ? 3 : 0)),
      row_width_(groups_width(c.c, c.b, group_stride_)),
      stride_(row_width_ + (has(c, wide_strides) ? 5 : 0)),
      x_(strided(c.a, row_width_, stride_), flush),
      residual_(x_.size(), flush),
      sum_(x_.size(), flush),
      y_(x_.size(), flush),
      weight_(c.b, flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.c * 7 + c.variant);
  fill_uniform(x_, random);
  fill_uniform(residual_, random);
  fill_uniform(weight_, random);
  if (has(c, hostile)) {
    fill_any(x_, random);
    fill_any(weight_, random);
  }
  poison(y_);
  poison(sum_);
  for (float* data : {x_.data(), residual_.data()}) {
    for (size_t row = 0; row < c.a; ++row) poison_between(data + row * stride_, c.c, c.b, group_stride_);
    poison_between(data, c.a, row_width_, stride_);
  }
}

kernels::RmsNorm Problem<kernels::RmsNorm>::args() {
  return {.x = x_.data(),
          .residual = has(case_, residual) ? residual_.data() : nullptr,
          .weight = weight_.data(),
          .sum = has(case_, sum)        ? sum_.data()
                 : has(case_, sum_in_x) ? x_.data()
                                        : nullptr,
          .y = has(case_, in_x)          ? x_.data()
               : has(case_, in_residual) ? residual_.data()
                                         : y_.data(),
          .rows = case_.a,
          .groups = case_.c,
          .width = case_.b,
          .x_stride = stride_,
          .residual_stride = stride_,
          .sum_stride = stride_,
          .y_stride = stride_,
          .group_stride = group_stride_,
          .eps = 1e-6f,
          .weight_offset = has(case_, one_plus) ? 1.0f : 0.0f};
}

std::vector<Output> Problem<kernels::RmsNorm>::outputs() const {
  // One output a row of the matrix, whose rows are its groups; with one group also the whole, for what lies between.
  std::vector<Output> outputs;
  const auto add = [&](const char* name, const Guarded<float>& data) {
    for (size_t row = 0; row < case_.a; ++row) {
      outputs.push_back(
          {name, data.data() + row * stride_, case_.c, case_.b, group_stride_, sizeof(float), data.intact()});
    }
    if (case_.c == 1) outputs.push_back(f32_output(name, data, case_.a, case_.b, stride_));
  };
  add("y", has(case_, in_x) ? x_ : has(case_, in_residual) ? residual_ : y_);
  if (has(case_, sum)) add("sum", sum_);
  if (has(case_, sum_in_x)) add("x + residual", x_);
  return outputs;
}

// gate

std::vector<Case> Problem<kernels::Gate>::cases() {
  return combine({1, 2, 3}, {1, 2, 15, 16, 17, 31, 32, 33, 64, 67, 127, 384}, {0, 1, 2, 3, 4, 5, 6},
                 {0, in_gate, in_up | wide_strides, halves, halves | in_gate, hostile, wide_strides});
}

Problem<kernels::Gate>::Problem(const Case& c, Flush flush)
    : case_(c),
      gate_stride_(has(c, halves) ? 2 * c.b : c.b + (has(c, wide_strides) ? 5 : 0)),
      stride_(c.b + (has(c, wide_strides) ? 5 : 0)),
      gate_(strided(c.a, has(c, halves) ? 2 * c.b : c.b, gate_stride_), flush),
      up_(strided(c.a, c.b, stride_), flush),
      out_(strided(c.a, c.b, stride_), flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.c * 7 + c.variant);
  fill_uniform(gate_, random, -10.0f, 10.0f);
  fill_uniform(up_, random);
  if (has(c, hostile)) {
    fill_any(gate_, random);
    fill_any(up_, random);
  }
  poison(out_);
  poison_between(up_.data(), c.a, c.b, stride_);
  if (!has(c, halves)) poison_between(gate_.data(), c.a, c.b, gate_stride_);
}

kernels::Gate Problem<kernels::Gate>::args() {
  const bool is_halves = has(case_, halves);
  return {.gate = gate_.data(),
          .up = is_halves ? gate_.data() + case_.b : up_.data(),
          .out = has(case_, in_gate) ? gate_.data()
                 : has(case_, in_up) ? up_.data()
                                     : out_.data(),
          .rows = case_.a,
          .width = case_.b,
          .gate_stride = gate_stride_,
          .up_stride = is_halves ? gate_stride_ : stride_,
          .out_stride = has(case_, in_gate) ? gate_stride_ : stride_,
          .act = static_cast<kernels::Act>(case_.c)};
}

std::vector<Output> Problem<kernels::Gate>::outputs() const {
  if (!has(case_, in_gate)) return {f32_output("out", has(case_, in_up) ? up_ : out_, case_.a, case_.b, stride_)};
  // Where the other half of the row is the second operand, it is compared too: it must stay.
  return {f32_output("out", gate_, case_.a, has(case_, halves) ? 2 * case_.b : case_.b, gate_stride_)};
}

// add_scaled

std::vector<Case> Problem<kernels::AddScaled>::cases() {
  return combine({1, 2, 3}, {1, 2, 15, 16, 17, 31, 32, 33, 67}, {1},
                 {0, scaled, no_x | scaled, in_x, in_r | scaled | wide_strides, hostile, no_x | in_r,
                  in_x | scaled | wide_strides, hostile | scaled});
}

Problem<kernels::AddScaled>::Problem(const Case& c, Flush flush)
    : case_(c),
      stride_(c.b + (has(c, wide_strides) ? 5 : 0)),
      x_(strided(c.a, c.b, stride_), flush),
      r_(x_.size(), flush),
      y_(x_.size(), flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.variant);
  fill_uniform(x_, random);
  fill_uniform(r_, random);
  if (has(c, hostile)) {
    fill_any(x_, random);
    fill_any(r_, random);
  }
  poison(y_);
  for (float* data : {x_.data(), r_.data()}) poison_between(data, c.a, c.b, stride_);
}

kernels::AddScaled Problem<kernels::AddScaled>::args() {
  return {.x = has(case_, no_x) ? nullptr : x_.data(),
          .r = r_.data(),
          .y = has(case_, in_x)   ? x_.data()
               : has(case_, in_r) ? r_.data()
                                  : y_.data(),
          .rows = case_.a,
          .width = case_.b,
          .x_stride = stride_,
          .r_stride = stride_,
          .y_stride = stride_,
          .scale = has(case_, scaled) ? 0.22f : 1.0f};
}

std::vector<Output> Problem<kernels::AddScaled>::outputs() const {
  return {f32_output("y", has(case_, in_x) ? x_ : has(case_, in_r) ? r_ : y_, case_.a, case_.b, stride_)};
}

// softcap

std::vector<Case> Problem<kernels::Softcap>::cases() {
  return combine({1, 2, 3}, {1, 2, 15, 16, 17, 31, 33, 64, 67, 127}, {1}, {0, hostile, wide_strides});
}

Problem<kernels::Softcap>::Problem(const Case& c, Flush flush)
    : case_(c), stride_(c.b + (has(c, wide_strides) ? 5 : 0)), x_(strided(c.a, c.b, stride_), flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.variant);
  fill_uniform(x_, random, -400.0f, 400.0f);
  if (has(c, hostile)) fill_any(x_, random);
  poison_between(x_.data(), c.a, c.b, stride_);
}

kernels::Softcap Problem<kernels::Softcap>::args() {
  return {.x = x_.data(), .rows = case_.a, .width = case_.b, .stride = stride_, .cap = 50.0f};
}

std::vector<Output> Problem<kernels::Softcap>::outputs() const {
  return {f32_output("x", x_, case_.a, case_.b, stride_)};
}

// softmax_rows

std::vector<Case> Problem<kernels::SoftmaxRows>::cases() {
  return combine({1, 2, 3}, {1, 2, 15, 16, 17, 31, 33, 64, 67, 127, 300}, {1},
                 {0, sharp, masked, hostile, wide_strides, sharp | masked | wide_strides});
}

Problem<kernels::SoftmaxRows>::Problem(const Case& c, Flush flush)
    : case_(c), stride_(c.b + (has(c, wide_strides) ? 5 : 0)), x_(strided(c.a, c.b, stride_), flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.variant);
  const float range = has(c, sharp) ? 200.0f : 3.0f;
  fill_uniform(x_, random, -range, range);
  if (has(c, masked)) {
    for (float& x : x_) {
      if (random.below(3) == 0) x = -kInf;
    }
  }
  if (has(c, hostile)) fill_any(x_, random);
  poison_between(x_.data(), c.a, c.b, stride_);
}

kernels::SoftmaxRows Problem<kernels::SoftmaxRows>::args() {
  return {.x = x_.data(), .rows = case_.a, .width = case_.b, .stride = stride_};
}

std::vector<Output> Problem<kernels::SoftmaxRows>::outputs() const {
  return {f32_output("x", x_, case_.a, case_.b, stride_)};
}

// rope

std::vector<Case> Problem<kernels::Rope>::cases() {
  return combine({1, 2, 3, 7}, {1, 2, 8, 15, 16, 17, 32, 33, 48, 64}, {1, 2, 3, 5},
                 {0, partial, hostile, wide_strides, partial | wide_strides});
}

Problem<kernels::Rope>::Problem(const Case& c, Flush flush)
    : case_(c),
      head_width_(2 * c.b + (has(c, partial) ? 7 : 0)),
      stride_(c.c * head_width_ + (has(c, wide_strides) ? 5 : 0)),
      table_stride_(c.b + (has(c, wide_strides) ? 3 : 0)),
      x_(strided(c.a, c.c * head_width_, stride_), flush),
      cos_(strided(kPositions, c.b, table_stride_), flush),
      sin_(strided(kPositions, c.b, table_stride_), flush),
      positions_(c.a, flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.c * 7 + c.variant);
  fill_uniform(x_, random);
  fill_uniform(cos_, random, -1.0f, 1.0f);
  fill_uniform(sin_, random, -1.0f, 1.0f);
  if (has(c, hostile)) fill_any(x_, random);
  poison_between(x_.data(), c.a, c.c * head_width_, stride_);
  // The first and the last row of the table lie against the guard pages.
  for (size_t row = 0; row < c.a; ++row) {
    positions_[row] = static_cast<uint32_t>(row == 0 ? kPositions - 1 : row == 1 ? 0 : random.below(kPositions));
  }
}

kernels::Rope Problem<kernels::Rope>::args() {
  return {.x = x_.data(),
          .stride = stride_,
          .cos = cos_.data(),
          .sin = sin_.data(),
          .table_stride = table_stride_,
          .positions = positions_.data(),
          .rows = case_.a,
          .heads = case_.c,
          .head_stride = head_width_,
          .rotated = 2 * case_.b};
}

std::vector<Output> Problem<kernels::Rope>::outputs() const {
  return {f32_output("x", x_, case_.a, case_.c * head_width_, stride_)};
}

// norm_quantize

std::vector<Case> Problem<kernels::NormQuantize>::cases() {
  return combine(
      {1, 2, 3, 4, 5, 8, 9, 13}, {1, 2, 3, 4, 15, 16, 17, 31, 33, 48, 63, 64, 67, 80, 384, 530}, {1, 2},
      {0, no_bias, no_residual, in_x, in_residual, no_y | sum, no_y | sum_in_x, no_y | no_residual, hostile,
       no_residual | in_x | wide_strides, in_residual | wide_strides, no_y | sum_in_x | wide_strides, sum, sum_in_x,
       tiny, spoilt, spoilt | no_y | no_residual, hostile | no_y | sum, tiny | no_y | no_residual});
}

Problem<kernels::NormQuantize>::Problem(const Case& c, Flush flush)
    : case_(c),
      stride_(c.b + (has(c, wide_strides) ? 5 : 0)),
      codes_stride_(kernels::round_up(c.b, 4) + (has(c, wide_strides) ? 8 : 0)),
      x_(strided(c.a, c.b, stride_), flush),
      residual_(x_.size(), flush),
      sum_(x_.size(), flush),
      y_(x_.size(), flush),
      weight_(c.b, flush),
      bias_(c.b, flush),
      scale_(c.a, flush),
      codes_(strided(c.a, kernels::round_up(c.b, 4), codes_stride_), flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.c * 7 + c.variant);
  fill_uniform(x_, random);
  fill_uniform(residual_, random);
  fill_uniform(weight_, random);
  fill_uniform(bias_, random);
  if (has(c, hostile)) {
    fill_any(x_, random);
    fill_any(weight_, random);
  }
  if (has(c, tiny)) {
    for (float& x : weight_) x *= 1e-31f;
    for (float& x : bias_) x *= 1e-31f;
  }
  if (has(c, spoilt)) weight_[random.below(c.b)] = kInf;
  poison(sum_);
  poison(y_);
  poison(scale_);
  for (int8_t& code : codes_) code = kPoisonCode;
  for (float* data : {x_.data(), residual_.data()}) poison_between(data, c.a, c.b, stride_);
}

Guarded<float>& Problem<kernels::NormQuantize>::target() {
  return has(case_, in_x) ? x_ : has(case_, in_residual) ? residual_ : y_;
}

kernels::NormQuantize Problem<kernels::NormQuantize>::args() {
  return {.x = x_.data(),
          .residual = has(case_, no_residual) ? nullptr : residual_.data(),
          .weight = weight_.data(),
          .bias = has(case_, no_bias) || case_.c == 2 ? nullptr : bias_.data(),
          .sum = has(case_, sum)        ? sum_.data()
                 : has(case_, sum_in_x) ? x_.data()
                                        : nullptr,
          .y = has(case_, no_y) ? nullptr : target().data(),
          .codes = codes_.data(),
          .scale = scale_.data(),
          .rows = case_.a,
          .width = case_.b,
          .x_stride = stride_,
          .residual_stride = stride_,
          .sum_stride = stride_,
          .y_stride = stride_,
          .codes_stride = codes_stride_,
          .eps = 1e-5f,
          .rms = case_.c == 2,
          .weight_offset = has(case_, no_bias) ? 1.0f : 0.0f};
}

std::vector<Output> Problem<kernels::NormQuantize>::outputs() const {
  const auto& out = has(case_, in_x) ? x_ : has(case_, in_residual) ? residual_ : y_;
  std::vector<Output> outputs = {
      {"codes", codes_.data(), case_.a, kernels::round_up(case_.b, 4), codes_stride_, 1, codes_.intact()},
      f32_output("scale", scale_, 1, case_.a, case_.a)};
  if (!has(case_, no_y)) outputs.push_back(f32_output("y", out, case_.a, case_.b, stride_));
  if (has(case_, sum)) outputs.push_back(f32_output("sum", sum_, case_.a, case_.b, stride_));
  if (has(case_, sum_in_x)) outputs.push_back(f32_output("x + residual", x_, case_.a, case_.b, stride_));
  return outputs;
}

}  // namespace onepass::test
