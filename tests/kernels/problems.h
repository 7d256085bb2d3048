// Problem<Args>: one call of a kernel, with every operand in guarded memory and every output poisoned. The test of
// an operation is the list of its problems; a row of kernel_list.inc without a Problem does not compile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/compare.h"
#include "tests/support/guarded.h"

namespace onepass::test {

// What an operation is called with. The meaning of the sizes is the operation's.
struct Case {
  size_t a = 1, b = 1, c = 1;
  unsigned variant = 0;  // bits: see each Problem
  std::string text() const {
    return std::to_string(a) + " x " + std::to_string(b) + " x " + std::to_string(c) + ", variant " +
           std::to_string(variant);
  }
};

// A strided matrix that a kernel writes. `bytes_per_element` is 4 (f32) or 1 (codes).
struct Output {
  const char* name;
  const void* data;
  size_t rows, width, stride;
  size_t element_bytes;
  bool intact;
};

template <class Args>
class Problem;

// Every value, or all of them in the rows and columns that the kernel must not touch, equal in both.
// Returns an empty text, or what differs first.
std::string difference(const Output& actual, const Output& expected);

template <>
class Problem<kernels::MatmulI8> {
 public:
  static std::vector<Case> cases();  // M, N, K
  enum : unsigned { no_bias = 1, extreme = 2, hostile = 4, wide_strides = 8, with_act = 16, with_peak = 32 };
  // Codes as activations have them: mostly small, now and then two large neighbours, whose products 16 bits cannot add.
  enum : unsigned { like_activations = 64 };
  Problem(const Case& c, Flush flush);
  kernels::MatmulI8 args();
  std::vector<Output> outputs() const;

 private:
  Case case_;
  size_t a_stride_, c_stride_;
  Guarded<int8_t> a_;
  Guarded<float> a_scale_;
  Guarded<uint8_t> w_;
  Guarded<float> bias_;
  Guarded<float> c_;
  Guarded<int32_t> peak_;
};

template <>
class Problem<kernels::MatmulI4> {
 public:
  static std::vector<Case> cases();  // M, N, K
  // Two bits choose the layout: groups of 64, with minimum.
  enum : unsigned { no_bias = 1, extreme = 2, hostile = 4, wide_strides = 8, with_act = 16, with_peak = 32 };
  enum : unsigned { groups_of_64 = 64, minimum = 128 };
  Problem(const Case& c, Flush flush);
  kernels::MatmulI4 args();
  std::vector<Output> outputs() const;

 private:
  Case case_;
  kernels::Layout layout_;
  size_t a_stride_, c_stride_;
  Guarded<int8_t> a_;
  Guarded<float> a_scale_;
  Guarded<uint8_t> w_;
  Guarded<float> bias_;
  Guarded<float> c_;
  Guarded<int32_t> peak_;
};

template <>
class Problem<kernels::MatmulI4Z> {
 public:
  static std::vector<Case> cases();  // M, N, K
  enum : unsigned { no_bias = 1, extreme = 2, hostile = 4, wide_strides = 8, with_act = 16, with_peak = 32 };
  enum : unsigned { groups_of_64 = 64 };
  Problem(const Case& c, Flush flush);
  kernels::MatmulI4Z args();
  std::vector<Output> outputs() const;

 private:
  Case case_;
  kernels::Layout layout_;
  size_t a_stride_, c_stride_;
  Guarded<int8_t> a_;
  Guarded<float> a_scale_;
  Guarded<uint8_t> w_;
  Guarded<float> bias_;
  Guarded<float> c_;
  Guarded<int32_t> peak_;
};

template <>
class Problem<kernels::MatmulF32> {
 public:
  static std::vector<Case> cases();  // M, N, K
  enum : unsigned { no_bias = 1, f16 = 2, hostile = 4, wide_strides = 8, bf16 = 16 };
  Problem(const Case& c, Flush flush);
  kernels::MatmulF32 args();
  std::vector<Output> outputs() const;

 private:
  Case case_;
  kernels::Layout layout_;
  size_t a_stride_, c_stride_;
  Guarded<float> a_;
  Guarded<uint8_t> w_;
  Guarded<float> bias_;
  Guarded<float> c_;
};

template <>
class Problem<kernels::AttentionF32> {
 public:
  static std::vector<Case> cases();  // queries, keys, head width
  enum : unsigned {
    sharp = 1,
    hostile = 2,
    wide_strides = 4,
    capped = 8,
    key_terms = 16,    // Q_i . table[index[i - j]]
    query_terms = 32,  // K_j . table[index[i - j]]
    heads = 64,        // three query heads; not with the terms
    causal = 128,      // the queries are the last of the text
    local = 256,       // 5 keys to either side
    one_sided = 512,   // with causal: a window of 70 keys
    biased = 1024      // bias[index[i - j]]
  };
  Problem(const Case& c, Flush flush);
  kernels::AttentionF32 args();
  std::vector<Output> outputs() const;

 private:
  static constexpr size_t kTableRows = 9;
  size_t head_count() const;
  bool has_terms() const;
  kernels::KeyWindow window() const;
  Case case_;
  size_t stride_;
  Guarded<float> q_, k_, v_, out_, scratch_, key_table_, query_table_, bias_;
  Guarded<uint16_t> index_;
  kernels::RelativeTerms terms_{};
};

template <>
class Problem<kernels::AttentionI8> {
 public:
  static std::vector<Case> cases();  // queries, keys, head width
  enum : unsigned {
    sharp = 1,
    hostile = 2,
    wide_strides = 4,
    flat = 8,         // queries of zeros, keys all equal, values all equal in a channel
    huge = 16,        // scores beyond every float
    heads = 32,       // three query heads
    causal = 64,      // the queries are the last of the text
    local = 128,      // 5 keys to either side
    one_sided = 256,  // with causal: a window of 70 keys
    key_terms = 512,  // as of attention_f32
    query_terms = 1024,
    biased = 2048,
    capped = 4096  // not with the terms
  };
  Problem(const Case& c, Flush flush);
  kernels::AttentionI8 args();
  std::vector<Output> outputs() const;

 private:
  static constexpr size_t kTableRows = 9;
  size_t head_count() const;
  bool has_terms() const;
  kernels::KeyWindow window() const;
  Case case_;
  size_t stride_;
  Guarded<float> q_, k_, v_, out_;
  Guarded<uint8_t> scratch_;
  Guarded<int8_t> key_table_, query_table_;
  Guarded<float> key_scale_, query_scale_, bias_;
  Guarded<uint16_t> index_;
  kernels::RelativeCodes terms_{};
};

template <>
class Problem<kernels::AddNorm> {
 public:
  static std::vector<Case> cases();  // rows, width
  enum : unsigned {
    no_bias = 1,
    no_residual = 2,
    in_x = 4,
    in_residual = 8,
    hostile = 16,
    wide_strides = 32,
    sum = 64,
    sum_in_x = 128
  };
  Problem(const Case& c, Flush flush);
  kernels::AddNorm args();
  std::vector<Output> outputs() const;

 private:
  float* target();
  Case case_;
  size_t stride_;
  Guarded<float> x_, residual_, y_, weight_, bias_, sum_;
};

template <>
class Problem<kernels::Activate> {
 public:
  static std::vector<Case> cases();  // rows, width, act
  enum : unsigned { hostile = 1, wide_strides = 2 };
  Problem(const Case& c, Flush flush);
  kernels::Activate args();
  std::vector<Output> outputs() const;

 private:
  Case case_;
  size_t stride_;
  Guarded<float> x_;
};

template <>
class Problem<kernels::QuantizeRows> {
 public:
  static std::vector<Case> cases();  // rows, width
  enum : unsigned { special = 1, hostile = 2, wide_strides = 4, with_peak = 8 };
  Problem(const Case& c, Flush flush);
  kernels::QuantizeRows args();
  std::vector<Output> outputs() const;

 private:
  Case case_;
  size_t x_stride_, codes_stride_;
  Guarded<float> x_;
  Guarded<int8_t> codes_;
  Guarded<float> scale_;
  Guarded<int32_t> peak_;
};

template <>
class Problem<kernels::EmbedRows> {
 public:
  static std::vector<Case> cases();  // rows, width, layout
  enum : unsigned { add = 1, hostile = 2, wide_strides = 4 };
  Problem(const Case& c, Flush flush);
  kernels::EmbedRows args();
  std::vector<Output> outputs() const;

 private:
  static constexpr size_t kTableRows = 11;
  Case case_;
  kernels::Layout layout_;
  size_t stride_;
  Guarded<uint8_t> table_;
  Guarded<uint32_t> ids_;
  Guarded<float> out_;
};

}  // namespace onepass::test

#include "tests/kernels/elementwise_problems.h"

namespace onepass::test {

template <class Args>
struct Kernel {
  kernels::Isa isa;
  void (*run)(const Args&) noexcept;
};

// The kernels of one operation that this build holds, the reference first.
template <class Wanted>
std::vector<Kernel<Wanted>> kernels_of() {
  std::vector<Kernel<Wanted>> list;
#define ONEPASS_KERNEL(op, Args, level)                           \
  if constexpr (std::is_same_v<kernels::Args, Wanted>) {          \
    list.push_back({kernels::Isa::level, kernels::op##_##level}); \
  }
#include "kernels/kernel_list.inc"
  return list;
}

}  // namespace onepass::test
