// The problems of the row and element operations. Included by problems.h, which has what they need.
#pragma once

#include "tests/kernels/problems.h"

namespace onepass::test {

template <>
class Problem<kernels::RmsNorm> {
 public:
  static std::vector<Case> cases();  // rows, width, groups
  enum : unsigned {
    residual = 1,
    sum = 2,
    sum_in_x = 4,
    in_x = 8,
    one_plus = 16,
    hostile = 32,
    wide_strides = 64,
    in_residual = 128
  };
  Problem(const Case& c, Flush flush);
  kernels::RmsNorm args();
  std::vector<Output> outputs() const;

 private:
  Case case_;
  size_t group_stride_, row_width_, stride_;
  Guarded<float> x_, residual_, sum_, y_, weight_;
};

template <>
class Problem<kernels::Gate> {
 public:
  static std::vector<Case> cases();  // rows, width, act
  enum : unsigned { in_gate = 1, in_up = 2, halves = 4, hostile = 8, wide_strides = 16 };
  Problem(const Case& c, Flush flush);
  kernels::Gate args();
  std::vector<Output> outputs() const;

 private:
  Case case_;
  size_t gate_stride_, stride_;
  Guarded<float> gate_, up_, out_;
};

template <>
class Problem<kernels::AddScaled> {
 public:
  static std::vector<Case> cases();  // rows, width
  enum : unsigned { no_x = 1, in_x = 2, in_r = 4, scaled = 8, hostile = 16, wide_strides = 32 };
  Problem(const Case& c, Flush flush);
  kernels::AddScaled args();
  std::vector<Output> outputs() const;

 private:
  Case case_;
  size_t stride_;
  Guarded<float> x_, r_, y_;
};

template <>
class Problem<kernels::Softcap> {
 public:
  static std::vector<Case> cases();  // rows, width
  enum : unsigned { hostile = 1, wide_strides = 2 };
  Problem(const Case& c, Flush flush);
  kernels::Softcap args();
  std::vector<Output> outputs() const;

 private:
  Case case_;
  size_t stride_;
  Guarded<float> x_;
};

template <>
class Problem<kernels::SoftmaxRows> {
 public:
  static std::vector<Case> cases();  // rows, width
  enum : unsigned { sharp = 1, masked = 2, hostile = 4, wide_strides = 8 };
  Problem(const Case& c, Flush flush);
  kernels::SoftmaxRows args();
  std::vector<Output> outputs() const;

 private:
  Case case_;
  size_t stride_;
  Guarded<float> x_;
};

template <>
class Problem<kernels::Rope> {
 public:
  static std::vector<Case> cases();  // rows, half of what is rotated, heads
  enum : unsigned { partial = 1, hostile = 2, wide_strides = 4 };
  Problem(const Case& c, Flush flush);
  kernels::Rope args();
  std::vector<Output> outputs() const;

 private:
  static constexpr size_t kPositions = 13;
  Case case_;
  size_t head_width_, stride_, table_stride_;
  Guarded<float> x_, cos_, sin_;
  Guarded<uint32_t> positions_;
};

template <>
class Problem<kernels::NormQuantize> {
 public:
  static std::vector<Case> cases();  // rows, width, layer norm (1) or root mean square (2)
  enum : unsigned {
    no_bias = 1,
    no_residual = 2,
    in_x = 4,
    in_residual = 8,
    no_y = 16,
    sum = 32,
    sum_in_x = 64,
    hostile = 128,
    wide_strides = 256,
    tiny = 512,    // a result below the smallest that is quantised
    spoilt = 1024  // a weight that makes one column infinite
  };
  Problem(const Case& c, Flush flush);
  kernels::NormQuantize args();
  std::vector<Output> outputs() const;

 private:
  Guarded<float>& target();
  Case case_;
  size_t stride_, codes_stride_;
  Guarded<float> x_, residual_, sum_, y_, weight_, bias_, scale_;
  Guarded<int8_t> codes_;
};

}  // namespace onepass::test
