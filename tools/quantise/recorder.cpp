#include "tools/quantise/recorder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/core/array.h"

namespace onepass::quantise {

namespace {

// A kernel has no context: the recorder of this thread's pass.
thread_local Recorder* current = nullptr;

constexpr size_t kRows = 512;    // that are multiplied with themselves at a time
constexpr size_t kBlock = 96;    // rows of x x^T that are computed at a time
constexpr size_t kSample = 256;  // rows that are kept, and fewer than twice as many

}  // namespace

// The sums of one product's inputs.
struct Recorder::Product {
  const void* weights;
  Moments& moments;
  kernels::MatmulF32Fn multiply;
  size_t waiting = 0, every = 1;
  std::vector<float> rows;     // [kRows, k]
  std::vector<float> columns;  // [k, kRows]
  Array<float> panels;         // the rows as weights, f32_n16
  std::vector<float> part;     // [kBlock, k]

  Product(const void* w, size_t k, Moments& m, kernels::MatmulF32Fn f)
      : weights(w), moments(m), multiply(f), rows(kRows * k), columns(k * kRows), part(kBlock * k) {
    m = {};
    m.k = k;
    m.second.assign(k * k, 0.0f);
    m.mean.assign(k, 0.0);
    m.peak.assign(k, 0.0f);
    m.sample.reserve(2 * kSample * k);
    if (!panels.resize(kernels::packed_bytes(kernels::Layout::f32_n16, k, kRows) / sizeof(float)))
      throw std::bad_alloc();
  }

  void take(const float* row) noexcept {
    const size_t k = moments.k;
    std::memcpy(rows.data() + waiting++ * k, row, k * sizeof(float));
    for (size_t i = 0; i < k; ++i) {
      moments.mean[i] += static_cast<double>(row[i]);
      moments.peak[i] = std::fmax(moments.peak[i], std::fabs(row[i]));
    }
    if (moments.rows++ % every == 0) keep(row);
    if (waiting == kRows) flush();
  }

  // There is room, so nothing is allocated.
  void keep(const float* row) noexcept {
    const size_t k = moments.k;
    moments.sample.insert(moments.sample.end(), row, row + k);
    if (moments.sample_rows() < 2 * kSample) return;
    for (size_t r = 0; r < kSample; ++r) {
      std::memcpy(moments.sample.data() + r * k, moments.sample.data() + 2 * r * k, k * sizeof(float));
    }
    moments.sample.resize(kSample * k);
    every *= 2;
  }

  // second += rows^T rows; only below the diagonal.
  void flush() noexcept {
    const size_t k = moments.k, count = waiting;
    if (count == 0) return;
    for (size_t r = 0; r < count; ++r) {
      for (size_t i = 0; i < k; ++i) {
        const float x = rows[r * k + i];
        columns[i * count + r] = x;
        panels[(i / 16 * count + r) * 16 + i % 16] = x;
      }
    }
    for (size_t begin = 0; begin < k; begin += kBlock) {
      const size_t height = std::min(kBlock, k - begin), width = begin + height;
      multiply({.a = columns.data() + begin * count,
                .a_stride = count,
                .w = panels.data(),
                .layout = kernels::Layout::f32_n16,
                .bias = nullptr,
                .c = part.data(),
                .c_stride = k,
                .m = height,
                .n = k,
                .k = count,
                .n_begin = 0,
                .n_end = width});
      for (size_t i = 0; i < height; ++i) {
        float* to = moments.second.data() + (begin + i) * k;
        for (size_t j = 0; j < width; ++j) to[j] += part[i * k + j];
      }
    }
    waiting = 0;
  }

  void finish() {
    flush();
    const size_t k = moments.k;
    const double count = std::max(static_cast<double>(moments.rows), 1.0);
    for (size_t i = 0; i < k; ++i) {
      moments.mean[i] /= count;
      for (size_t j = 0; j <= i; ++j) {
        const auto value = static_cast<float>(static_cast<double>(moments.second[i * k + j]) / count);
        moments.second[i * k + j] = moments.second[j * k + i] = value;
      }
    }
  }
};

Recorder::Recorder(const kernels::KernelTable& table) : table_(table), multiply_(table.matmul_f32) {
  table_.matmul_f32 = matmul_f32;
  current = this;
}

Recorder::~Recorder() { current = nullptr; }

void Recorder::add(const void* weights, size_t k, Moments& moments) {
  products_.push_back(std::make_unique<Product>(weights, k, moments, multiply_));
}

void Recorder::stop_at(const void* weights, uint32_t* flag) {
  stop_weights_ = weights;
  stop_ = flag;
}

void Recorder::finish() {
  for (const auto& product : products_) product->finish();
}

void Recorder::matmul_f32(const kernels::MatmulF32& args) noexcept {
  if (args.w == current->stop_weights_) *current->stop_ = 1;
  for (const auto& product : current->products_) {
    // Some channels may be computed of fewer rows: the last ones are of all.
    if (product->weights != args.w || args.n_end != args.n) continue;
    for (size_t r = 0; r < args.m; ++r) product->take(args.a + r * args.a_stride);
  }
  current->multiply_(args);
}

}  // namespace onepass::quantise
