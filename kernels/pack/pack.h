// Quantise, pack and unpack: from a checkpoint's row-major f32 to a layout of layouts.h, and back.
// For the converter and the tests; not part of the runtime archive.
//
// Numerics  i8: one scale per channel (row) of W, scale = absmax / 127, code = round-half-even(w / scale), which lies
//           in [-127,127]. A channel whose absmax is below 1e-30 gets scale 1 and codes 0.
//           i4: one f16 scale (and minimum) per group, of several candidates those with the least squared error; codes
//           are round-half-even. A group that f16 scales cannot hold (|w| >= about 524,000) is an f16 overflow.
//           i4 of whole steps: of several scales of a channel, and of the steps and zeros that fit its groups, those
//           with the least squared error; the scale is refitted to the codes. f16: round-half-even. A value that is not
//           finite, or that f16 cannot hold (|w| >= 65520), is an error. bf16: likewise; it holds everything
//           below 3.3962e38. Padding is the layout's own and always the same, so equal weights give equal bytes.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/layouts.h"

namespace onepass::kernels {

enum class PackStatus : uint8_t {
  ok,
  non_finite,    // the weight at `index` is a NaN or an infinity
  f16_overflow,  // the weight at `index` does not fit the f16, or bf16, that the layout asks for
  bad_layout,    // not a layout of that kind
};

struct PackResult {
  PackStatus status = PackStatus::ok;
  size_t index = 0;  // n * K + k
  bool ok() const { return status == PackStatus::ok; }
};

// w is [n,k] row-major; out has packed_bytes(layout, n, k) bytes, 64-byte aligned.
// pack_matmul: f32_n16, f16_n16, bf16_n16, i8_n32k4 and the int4 panels. pack_rows: f32_rows, f16_rows, bf16_rows,
// i8_rows, i4g32_rows.
// After a failure the content of out is unspecified.
[[nodiscard]] PackResult pack_matmul(Layout layout, const float* w, size_t n, size_t k, void* out);
[[nodiscard]] PackResult pack_rows(Layout layout, const float* w, size_t n, size_t k, void* out);

// Whichever of the two has the layout.
[[nodiscard]] PackResult pack(Layout layout, const float* w, size_t n, size_t k, void* out);

// The values that the kernels compute with, as w [n,k] row-major. False for Layout::none.
[[nodiscard]] bool unpack(Layout layout, const void* packed, size_t n, size_t k, float* w);

// Int4 weights as they are, for sources that are quantised already: nibbles [n,k] (0..15), f16 scales and minima
// [n, groups], groups = ceil(k / group_size(layout)). `minima` is null for layouts without. bad_layout for other
// layouts, those of whole steps included.
struct I4Weights {
  const uint8_t* nibbles;
  const uint16_t* scales;
  const uint16_t* minima;
};
[[nodiscard]] PackResult pack_i4(Layout layout, const I4Weights& weights, size_t n, size_t k, void* out);
// The same arrays from a packed tensor; `minima` is left alone for layouts without. False for other layouts.
[[nodiscard]] bool unpack_i4(Layout layout, const void* packed, size_t n, size_t k, uint8_t* nibbles, uint16_t* scales,
                             uint16_t* minima);
// Int4 of whole steps likewise: nibbles [n,k], factors [n, groups] (layouts.h), scales [n] > 0.
struct StepWeights {
  const uint8_t* nibbles;
  const uint8_t* factors;
  const float* scales;
};
[[nodiscard]] PackResult pack_i4z(Layout layout, const StepWeights& weights, size_t n, size_t k, void* out);
// Int8 likewise: codes [n,k] in [-127,127], scales [n] > 0. i8_n32k4 and i8_rows.
[[nodiscard]] PackResult pack_i8(Layout layout, const int8_t* codes, const float* scales, size_t n, size_t k,
                                 void* out);
// The int4 layouts' part of pack and unpack.
[[nodiscard]] PackResult quantize_i4(Layout layout, const float* w, size_t n, size_t k, void* out);
void dequantize_i4(Layout layout, const void* packed, size_t n, size_t k, float* w);
void quantize_i4z(Layout layout, const float* w, size_t n, size_t k, void* out);
void dequantize_i4z(Layout layout, const void* packed, size_t n, size_t k, float* w);

// IEEE binary32 to binary16, half to even. Overflow gives an infinity; a NaN stays a (quiet) NaN.
uint16_t f16_from_f32(float value);
// IEEE binary32 to bfloat16, half to even. Overflow gives an infinity; a NaN stays a (quiet) NaN.
uint16_t bf16_from_f32(float value);

}  // namespace onepass::kernels
