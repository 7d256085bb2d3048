// Recorder: a table of kernels whose f32 product looks at what it multiplies. One at a time on a thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/table.h"
#include "tools/quantise/workbench.h"

namespace onepass::quantise {

class Recorder {
 public:
  explicit Recorder(const kernels::KernelTable& table);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // The inputs of the product with these weights go to `moments`, which outlives this.
  void add(const void* weights, size_t k, Moments& moments);
  // Sets the flag when the product with these weights is computed.
  void stop_at(const void* weights, uint32_t* flag);
  const kernels::KernelTable& table() const { return table_; }
  // Sums become means.
  void finish();

 private:
  struct Product;
  static void matmul_f32(const kernels::MatmulF32& args) noexcept;

  kernels::KernelTable table_;
  kernels::MatmulF32Fn multiply_;
  std::vector<std::unique_ptr<Product>> products_;
  const void* stop_weights_ = nullptr;
  uint32_t* stop_ = nullptr;
};

}  // namespace onepass::quantise
