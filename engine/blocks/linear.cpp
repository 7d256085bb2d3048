#include "engine/blocks/blocks.h"

namespace onepass {

using kernels::KernelTable;
using kernels::Layout;

size_t codes_stride(size_t k) noexcept { return kernels::round_up(k, 64); }

LinearInput prepare_input(const KernelTable& kernels, const Linear& linear, ConstMatrix x, size_t rows,
                          const RowScratch& scratch) noexcept {
  if (linear.layout != Layout::i8_n32k4) return {x, rows, nullptr, 0, nullptr};
  const size_t stride = codes_stride(linear.k);
  kernels.quantize_rows({.x = x.data,
                         .x_stride = x.stride,
                         .codes = scratch.codes,
                         .codes_stride = stride,
                         .scale = scratch.scales,
                         .rows = rows,
                         .width = linear.k});
  return {x, rows, scratch.codes, stride, scratch.scales};
}

void linear_channels(const KernelTable& kernels, const Linear& linear, const LinearInput& input, Matrix out,
                     size_t n_begin, size_t n_end) noexcept {
  if (input.rows == 0) return;
  if (input.codes != nullptr) {
    kernels.matmul_i8({.a = input.codes,
                       .a_stride = input.codes_stride,
                       .a_scale = input.scales,
                       .w = linear.w,
                       .bias = linear.bias,
                       .c = out.data,
                       .c_stride = out.stride,
                       .m = input.rows,
                       .n = linear.n,
                       .k = linear.k,
                       .n_begin = n_begin,
                       .n_end = n_end});
  } else {
    kernels.matmul_f32({.a = input.x.data,
                        .a_stride = input.x.stride,
                        .w = linear.w,
                        .layout = linear.layout,
                        .bias = linear.bias,
                        .c = out.data,
                        .c_stride = out.stride,
                        .m = input.rows,
                        .n = linear.n,
                        .k = linear.k,
                        .n_begin = n_begin,
                        .n_end = n_end});
  }
}

void linear_rows(const KernelTable& kernels, const Linear& linear, ConstMatrix x, size_t rows, Matrix out,
                 const RowScratch& scratch) noexcept {
  linear_channels(kernels, linear, prepare_input(kernels, linear, x, rows, scratch), out, 0, linear.n);
}

}  // namespace onepass
