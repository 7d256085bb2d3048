// onepass-bench kernels: the speed of single kernels, beside the machine's peak and what libraries reach.
#include <cblas.h>

#include <Eigen/Core>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "bench/support/peak.h"
#include "bench/support/timing.h"
#include "engine/core/array.h"
#include "kernels/pack/pack.h"
#include "kernels/table.h"

namespace onepass::bench {

namespace {

using kernels::Isa;
using kernels::KernelTable;
using kernels::Layout;

struct Shape {
  size_t m, n, k;
};

// The products of MiniLM-L6 for a sentence and for a paragraph.
const std::vector<Shape> kDefaultShapes = {{16, 384, 384},   {16, 1152, 384},  {16, 1536, 384}, {16, 384, 1536},
                                           {128, 1152, 384}, {128, 1536, 384}, {128, 384, 1536}};

template <class T>
Array<T> aligned(size_t count) {
  Array<T> out;
  if (!out.resize(count)) throw std::runtime_error("out of memory");
  return out;
}

Array<float> numbers(size_t count) {
  auto out = aligned<float>(count);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>((i * 2654435761u >> 7) % 2001) / 1000.0f - 1.0f;
  return out;
}

// What one call computes, in multiplications and additions, or moves, in bytes.
struct Work {
  double operations = 0, bytes = 0;
};

// Runs one (op, shape) on one level and prints its row.
class Bench {
 public:
  Bench(const KernelsOptions& options, Isa isa)
      : options_(options),
        isa_(isa),
        table_(*kernels::kernel_table(isa)),
        int8_peak_(peak_gops(isa, Arithmetic::int8)),
        f32_peak_(peak_gops(isa, Arithmetic::f32)) {}

  void run(const std::string& op, Shape s) {
    if (op == "matmul_int8") {
      const auto w = numbers(s.n * s.k);
      auto packed = aligned<uint8_t>(kernels::packed_bytes(Layout::i8_n32k4, s.n, s.k));
      if (!kernels::pack_matmul(Layout::i8_n32k4, w.data(), s.n, s.k, packed.data()).ok())
        throw std::runtime_error("pack");
      const size_t stride = kernels::round_up(s.k, 64);
      auto a = aligned<int8_t>(s.m * stride);
      for (size_t i = 0; i < s.m; ++i) {
        for (size_t k = 0; k < s.k; ++k) a[i * stride + k] = static_cast<int8_t>((i * 31 + k * 7) % 255 - 127);
      }
      auto scale = numbers(s.m), c = aligned<float>(s.m * s.n), bias = numbers(s.n);
      report(op, s, {2.0 * static_cast<double>(s.m * s.n * s.k), static_cast<double>(packed.size())}, int8_peak_, [&] {
        table_.matmul_i8(
            {a.data(), stride, scale.data(), packed.data(), bias.data(), c.data(), s.n, s.m, s.n, s.k, 0, s.n});
      });
    } else if (op == "matmul_f32") {
      const auto w = numbers(s.n * s.k);
      auto packed = aligned<uint8_t>(kernels::packed_bytes(Layout::f32_n16, s.n, s.k));
      if (!kernels::pack_matmul(Layout::f32_n16, w.data(), s.n, s.k, packed.data()).ok())
        throw std::runtime_error("pack");
      auto a = numbers(s.m * s.k), c = aligned<float>(s.m * s.n), bias = numbers(s.n);
      report(op, s, {2.0 * static_cast<double>(s.m * s.n * s.k), static_cast<double>(packed.size())}, f32_peak_, [&] {
        table_.matmul_f32(
            {a.data(), s.k, packed.data(), Layout::f32_n16, bias.data(), c.data(), s.n, s.m, s.n, s.k, 0, s.n});
      });
    } else if (op == "attention_f32") {
      // m tokens of twelve heads of width 32, as MiniLM has them.
      constexpr size_t kHeads = 12, kWidth = 32, kStride = 3 * kHeads * kWidth;
      auto qkv = numbers(s.m * kStride), out = aligned<float>(s.m * kHeads * kWidth);
      auto scratch = aligned<float>(kernels::attention_scratch_floats(s.m, kWidth));
      report(op, {s.m, kHeads, kWidth}, {4.0 * static_cast<double>(s.m * s.m * kHeads * kWidth), 0}, f32_peak_, [&] {
        for (size_t h = 0; h < kHeads; ++h) {
          const float* q = qkv.data() + h * kWidth;
          table_.attention_f32({q, kStride, q + kHeads * kWidth, kStride, q + 2 * kHeads * kWidth, kStride,
                                out.data() + h * kWidth, kHeads * kWidth, s.m, s.m, kWidth, 0.17f, scratch.data()});
        }
      });
    } else if (op == "add_norm") {
      auto x = numbers(s.m * s.n), r = numbers(s.m * s.n), w = numbers(s.n), y = aligned<float>(s.m * s.n);
      report(op, {s.m, s.n, 1}, {0, 12.0 * static_cast<double>(s.m * s.n)}, 0, [&] {
        table_.add_norm({x.data(), r.data(), w.data(), w.data(), y.data(), s.m, s.n, s.n, s.n, s.n, 1e-12f});
      });
    } else if (op == "gelu") {
      auto x = numbers(s.m * s.n);
      report(op, {s.m, s.n, 1}, {0, 8.0 * static_cast<double>(s.m * s.n)}, 0, [&] {
        table_.activate({x.data(), s.m, s.n, s.n, kernels::Act::gelu_erf});
      });
    } else if (op == "quantize_rows") {
      const size_t stride = kernels::round_up(s.n, 64);
      auto x = numbers(s.m * s.n), scale = aligned<float>(s.m);
      auto codes = aligned<int8_t>(s.m * stride);
      report(op, {s.m, s.n, 1}, {0, 5.0 * static_cast<double>(s.m * s.n)}, 0, [&] {
        table_.quantize_rows({x.data(), s.n, codes.data(), stride, scale.data(), s.m, s.n});
      });
    } else {
      throw std::runtime_error(
          op + ": no such operation; operations are matmul_int8 matmul_f32 attention_f32 add_norm gelu quantize_rows");
    }
  }

 private:
  struct Baselines {
    double openblas = 0, eigen = 0;
  };

  // f32 products of the same shape, in the same run.
  Baselines baselines(Shape s) {
    auto a = numbers(s.m * s.k), w = numbers(s.n * s.k), c = aligned<float>(s.m * s.n);
    const double operations = 2.0 * static_cast<double>(s.m * s.n * s.k);
    const auto m = static_cast<int>(s.m), n = static_cast<int>(s.n), k = static_cast<int>(s.k);
    openblas_set_num_threads(1);
    const Timing blas = measure(
        [&] {
          cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, a.data(), k, w.data(), k, 0, c.data(), n);
        },
        0.2);
    using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    Eigen::Map<const Matrix> ea(a.data(), m, k), ew(w.data(), n, k);
    Eigen::Map<Matrix> ec(c.data(), m, n);
    const Timing eigen = measure([&] { ec.noalias() = ea * ew.transpose(); }, 0.2);
    return {operations / blas.median / 1e9, operations / eigen.median / 1e9};
  }

  template <class F>
  void report(const std::string& op, Shape s, Work work, double peak, F&& f) {
    const Timing t = measure(f, 0.2);
    const double gops = work.operations / t.median / 1e9, gb = work.bytes / t.median / 1e9;
    const double percent = peak > 0 ? 100 * gops / peak : 0;
    const bool product = op.starts_with("matmul");
    const Baselines b = options_.baselines && product ? baselines(s) : Baselines{};
    if (options_.json) {
      std::printf(
          "{\"op\":\"%s\",\"isa\":\"%s\",\"m\":%zu,\"n\":%zu,\"k\":%zu,\"threads\":1,\"median_us\":%.3f,\"min_us\":%."
          "3f,"
          "\"p90_us\":%.3f,\"gops\":%.1f,\"peak_gops\":%.1f,\"percent_of_peak\":%.1f,\"gb_per_s\":%.1f",
          op.c_str(), kernels::isa_name(isa_), s.m, s.n, s.k, t.median * 1e6, t.min * 1e6, t.p90 * 1e6, gops, peak,
          percent, gb);
      if (options_.baselines && product) {
        std::printf(",\"baselines\":{\"openblas_f32_gops\":%.1f,\"eigen_f32_gops\":%.1f}", b.openblas, b.eigen);
      }
      std::printf("}\n");
      return;
    }
    std::printf("%-14s %-11s %5zu %5zu %5zu %10.2f us", op.c_str(), kernels::isa_name(isa_), s.m, s.n, s.k,
                t.median * 1e6);
    if (work.operations > 0) std::printf("  %8.1f GOPS %5.1f %% of %.0f", gops, percent, peak);
    if (work.operations == 0) std::printf("  %8.1f GB/s", gb);
    if (b.openblas > 0) std::printf("   OpenBLAS f32 %.0f, Eigen f32 %.0f GOPS", b.openblas, b.eigen);
    std::printf("\n");
  }

  const KernelsOptions& options_;
  Isa isa_;
  const KernelTable& table_;
  double int8_peak_, f32_peak_;
};

Shape parse_shape(const std::string& text) {
  Shape s{};
  if (std::sscanf(text.c_str(), "%zux%zux%zu", &s.m, &s.n, &s.k) != 3 || s.m * s.n * s.k == 0 ||
      s.k > kernels::max_int8_k) {
    throw std::runtime_error(text + ": a shape is MxNxK");
  }
  return s;
}

}  // namespace

void run_kernels(const KernelsOptions& o) {
  std::vector<Shape> shapes;
  for (const std::string& text : o.shapes) shapes.push_back(parse_shape(text));
  if (shapes.empty()) shapes = kDefaultShapes;
  std::vector<Isa> levels;
  for (unsigned level = 0; level < kernels::isa_count; ++level) {
    const auto isa = static_cast<Isa>(level);
    if (o.isa.empty() ? kernels::isa_available(isa) && isa != Isa::scalar : o.isa == kernels::isa_name(isa))
      levels.push_back(isa);
  }
  if (levels.empty()) throw std::runtime_error(o.isa + ": no such level");
  for (const Isa isa : levels) {
    if (!kernels::isa_available(isa)) throw std::runtime_error(o.isa + ": this machine does not have this level");
    Bench bench(o, isa);
    for (const std::string& op : o.ops) {
      for (const Shape s : shapes) bench.run(op, s);
    }
  }
}

}  // namespace onepass::bench
