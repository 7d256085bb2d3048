#include <cstring>

#include "engine/blocks/blocks.h"

namespace onepass {

using kernels::KernelTable;
using kernels::Layout;

// Whole cache lines; an odd one more where the rows of a tile would else compete for the same sets of the cache.
size_t codes_stride(size_t k) noexcept {
  const size_t stride = kernels::round_up(k, 64);
  return stride % 2048 == 0 ? stride + 64 : stride;
}

LinearInput prepare_input(const KernelTable& kernels, const Linear& linear, ConstMatrix x, size_t rows,
                          const RowScratch& scratch, const int32_t* peaks) noexcept {
  if (linear.layout == Layout::f32_n16 || linear.layout == Layout::f16_n16) return {x, rows, nullptr, 0, nullptr};
  const size_t stride = codes_stride(linear.k);
  kernels.quantize_rows({.x = x.data,
                         .x_stride = x.stride,
                         .codes = scratch.codes,
                         .codes_stride = stride,
                         .scale = scratch.scales,
                         .rows = rows,
                         .width = linear.k,
                         .peak = peaks});
  return {x, rows, scratch.codes, stride, scratch.scales};
}

namespace {

// `peaks` is used by integer products alone: float ones leave it as it is.
void multiply(const KernelTable& kernels, const Linear& linear, const LinearInput& input, Matrix out, size_t n_begin,
              size_t n_end, Act act, int32_t* peaks) noexcept {
  if (input.rows == 0) return;
  if (kernels::has_steps(linear.layout)) {
    kernels.matmul_i4z({.a = input.codes,
                        .a_stride = input.codes_stride,
                        .a_scale = input.scales,
                        .w = linear.w,
                        .layout = linear.layout,
                        .bias = linear.bias,
                        .c = out.data,
                        .c_stride = out.stride,
                        .m = input.rows,
                        .n = linear.n,
                        .k = linear.k,
                        .n_begin = n_begin,
                        .n_end = n_end,
                        .act = act,
                        .peak = peaks});
    return;
  }
  if (kernels::dtype_of(linear.layout) == kernels::Dtype::i4) {
    kernels.matmul_i4({.a = input.codes,
                       .a_stride = input.codes_stride,
                       .a_scale = input.scales,
                       .w = linear.w,
                       .layout = linear.layout,
                       .bias = linear.bias,
                       .c = out.data,
                       .c_stride = out.stride,
                       .m = input.rows,
                       .n = linear.n,
                       .k = linear.k,
                       .n_begin = n_begin,
                       .n_end = n_end,
                       .act = act,
                       .peak = peaks});
    return;
  }
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
                       .n_end = n_end,
                       .act = act,
                       .peak = peaks});
    return;
  }
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
  if (act == Act::none) return;
  kernels.activate(
      {.x = out.data + n_begin, .rows = input.rows, .width = n_end - n_begin, .stride = out.stride, .act = act});
}

}  // namespace

void linear_channels(const KernelTable& kernels, const Linear& linear, const LinearInput& input, Matrix out,
                     size_t n_begin, size_t n_end, Act act) noexcept {
  multiply(kernels, linear, input, out, n_begin, n_end, act, nullptr);
}

void linear_act_linear_rows(const KernelTable& kernels, const Linear& up, Act act, const Linear& down, ConstMatrix x,
                            size_t rows, Matrix hidden, Matrix out, const RowScratch& scratch) noexcept {
  const LinearInput input = prepare_input(kernels, up, x, rows, scratch);
  int32_t* peaks = input.codes != nullptr ? scratch.peaks : nullptr;
  if (peaks != nullptr) std::memset(peaks, 0, rows * 16 * sizeof(int32_t));
  multiply(kernels, up, input, hidden, 0, up.n, act, peaks);
  linear_channels(kernels, down, prepare_input(kernels, down, hidden, rows, scratch, peaks), out, 0, down.n);
}

void linear_rows(const KernelTable& kernels, const Linear& linear, ConstMatrix x, size_t rows, Matrix out,
                 const RowScratch& scratch) noexcept {
  linear_channels(kernels, linear, prepare_input(kernels, linear, x, rows, scratch), out, 0, linear.n);
}

}  // namespace onepass
