#include <algorithm>
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

bool takes_codes(const Linear& linear) noexcept {
  const kernels::Dtype dtype = kernels::dtype_of(linear.layout);
  return dtype == kernels::Dtype::i8 || dtype == kernels::Dtype::i4;
}

LinearInput prepared_input(const Linear& linear, ConstMatrix x, size_t rows, const RowScratch& scratch) noexcept {
  if (!takes_codes(linear)) return {x, rows, nullptr, 0, nullptr};
  return {x, rows, scratch.codes, codes_stride(linear.k), scratch.scales};
}

void quantize_input_rows(const KernelTable& kernels, const Linear& linear, ConstMatrix x, Range rows,
                         const RowScratch& scratch) noexcept {
  if (!takes_codes(linear) || rows.empty()) return;
  const size_t stride = codes_stride(linear.k);
  kernels.quantize_rows({.x = x.row(rows.begin),
                         .x_stride = x.stride,
                         .codes = scratch.codes + rows.begin * stride,
                         .codes_stride = stride,
                         .scale = scratch.scales + rows.begin,
                         .rows = rows.end - rows.begin,
                         .width = linear.k});
}

namespace {

// `peaks` is used by integer products alone: float ones leave it as it is.
void multiply(const KernelTable& kernels, const Linear& linear, const LinearInput& input, Matrix out, size_t n_begin,
              size_t n_end, Act act, int32_t* peaks) noexcept {
  if (input.rows == 0 || n_begin >= n_end) return;
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

void linear_share(const KernelTable& kernels, const Linear& linear, const LinearInput& input, Matrix out,
                  const Crew& crew) noexcept {
  const Range own = crew.share(linear.n, 32);
  multiply(kernels, linear, input, out, own.begin, own.end, Act::none, nullptr);
}

namespace {

// The greatest of what every member found. All have synced since, and sync before they look for peaks again.
void gather_peaks(size_t rows, const RowScratch& scratch, const Workplace& place) noexcept {
  std::memset(place.own->all_peaks, 0, rows * 16 * sizeof(int32_t));
  for (size_t m = 0; m < place.crew->members(); ++m) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(scratch.peaks) + m * place.scratch_step;
    const auto* peaks = reinterpret_cast<const int32_t*>(bytes);
    for (size_t i = 0; i < rows * 16; ++i) {
      place.own->all_peaks[i] = std::max(place.own->all_peaks[i], peaks[i]);
    }
  }
}

}  // namespace

void linear_act_linear_rows(const KernelTable& kernels, const Linear& up, Act act, const Linear& down,
                            const LinearInput& x, Matrix hidden, Matrix out, const RowScratch& scratch,
                            const Workplace& place) noexcept {
  Crew& crew = *place.crew;
  const Range own = crew.share(up.n, 32);
  int32_t* peaks = x.codes != nullptr && takes_codes(down) ? place.own->peaks : nullptr;
  if (peaks != nullptr) std::memset(peaks, 0, x.rows * 16 * sizeof(int32_t));
  multiply(kernels, up, x, hidden, own.begin, own.end, act, peaks);
  crew.sync();
  LinearInput input = prepared_input(down, hidden, x.rows, scratch);
  if (peaks != nullptr) {
    // Each member encodes the channels that it has computed; every one needs all scales, in a place of its own.
    if (!crew.alone()) {
      gather_peaks(x.rows, scratch, place);
      peaks = place.own->all_peaks;
      input.scales = place.own->scales;
    }
    kernels.quantize_rows({.x = hidden.data + own.begin,
                           .x_stride = hidden.stride,
                           .codes = scratch.codes + own.begin,
                           .codes_stride = input.codes_stride,
                           .scale = place.own->scales,
                           .rows = x.rows,
                           .width = own.empty() ? 0 : own.end - own.begin,
                           .peak = peaks});
    crew.sync();
  } else if (takes_codes(down)) {
    quantize_input_rows(kernels, down, hidden, crew.share(x.rows), scratch);
    crew.sync();
  }
  linear_share(kernels, down, input, out, crew);
  crew.sync();
}

void linear_rows(const KernelTable& kernels, const Linear& linear, ConstMatrix x, size_t rows, Matrix out,
                 const RowScratch& scratch, Crew& crew) noexcept {
  quantize_input_rows(kernels, linear, x, crew.share(rows), scratch);
  crew.sync();
  linear_share(kernels, linear, prepared_input(linear, x, rows, scratch), out, crew);
  crew.sync();
}

}  // namespace onepass
