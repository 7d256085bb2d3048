// Products of the same shape in libraries that people use, to be timed in the same rounds, on one thread.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/kernels/problems.h"

namespace onepass::bench {

struct Baseline {
  std::string name;  // key of its field in JSON: "openblas_f32_gops"
  std::function<void()> call;
};

// Before the first call of baselines(): oneDNN may use what the level has and no more. It can be set once a process.
void limit_onednn(kernels::Isa isa);
// "oneDNN 2.6.3, avx512_core_vnni", or empty where it is not part of the build.
std::string onednn_description();

// oneDNN's weights are rotated through `cold_bytes` where that is not 0; the others, whose weights are four times as
// large, are then left out.
std::vector<Baseline> baselines(Shape s, size_t cold_bytes);

// Eigen, compiled once for each width: C[M,N] = A[M,K] W[N,K]^T.
using EigenProduct = void (*)(const float* a, const float* w, float* c, size_t m, size_t n, size_t k);
EigenProduct eigen_product();

}  // namespace onepass::bench
