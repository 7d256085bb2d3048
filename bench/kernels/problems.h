// The calls that are timed: one row of operations() or more for every row of kernel_list.inc (a test compares the two).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "bench/support/peak.h"
#include "engine/core/array.h"
#include "kernels/table.h"

namespace onepass::bench {

// Of a product [M,K] x [N,K]. Attention and rope: M tokens, N heads, heads K wide. Others: M rows, N wide, K = 1.
struct Shape {
  size_t m, n, k;
  std::string text() const { return std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k); }
};
// "16x384x384"; throws when it is not one.
Shape parse_shape(const std::string& text);

struct Problem {
  // Multiplications and additions of a call; 0 for an operation that is counted in bytes.
  double operations = 0;
  // What a call moves at least: operands read once, the result written once.
  double bytes = 0;
  // Packed weights, for operations that have them: a call may be handed a copy instead.
  Array<uint8_t> weights;
  // The share of thread `part` of `parts`, with those weights.
  std::function<void(const kernels::KernelTable&, const uint8_t* weights, size_t part, size_t parts)> call;
};

struct Operation {
  const char* name;    // --op
  const char* kernel;  // its row of kernel_list.inc
  Arithmetic arithmetic;
  bool product;  // matrices that the baselines can multiply too
  std::vector<Shape> shapes;
  Problem (*make)(Shape);
};
std::span<const Operation> operations();
// Those of that name, or of that kernel; throws when there is none.
std::vector<const Operation*> find_operations(const std::string& name);

}  // namespace onepass::bench
