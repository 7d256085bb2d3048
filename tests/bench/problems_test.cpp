// Every kernel has a benchmark, and what it is said to compute is what it computes.
#include "bench/kernels/problems.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <stdexcept>

namespace onepass::bench {
namespace {

// The message names what to do: bench/kernels/problems.cpp, list().
TEST(Problems, EveryRowOfTheKernelListHasABenchmark) {
  const auto all = operations();
#define ONEPASS_OP(op, Args)                                                                                        \
  EXPECT_TRUE(std::any_of(all.begin(), all.end(), [](const Operation& o) { return std::string(o.kernel) == #op; })) \
      << #op << " has no row in bench/kernels/problems.cpp, list()";
#include "kernels/kernel_list.inc"
}

TEST(Problems, NamesAreUniqueAndKernelsExist) {
  std::set<std::string> names, kernels;
#define ONEPASS_OP(op, Args) kernels.insert(#op);
#include "kernels/kernel_list.inc"
  for (const Operation& o : operations()) {
    EXPECT_TRUE(names.insert(o.name).second) << o.name;
    EXPECT_TRUE(kernels.count(o.kernel)) << o.kernel;
    EXPECT_FALSE(o.shapes.empty()) << o.name;
  }
}

// Every problem at a small shape, on the reference and on the best level, whole and in two parts: sanitizers see it.
TEST(Problems, EveryProblemRuns) {
  for (const Operation& o : operations()) {
    const Problem p = o.make({3, 64, 32});
    EXPECT_GT(p.bytes, 0) << o.name;
    EXPECT_EQ(p.operations > 0, o.arithmetic != Arithmetic::none) << o.name;
    for (const kernels::Isa isa : {kernels::Isa::scalar, kernels::best_isa()}) {
      const kernels::KernelTable& table = *kernels::kernel_table(isa);
      p.call(table, p.weights.data(), 0, 1);
      p.call(table, p.weights.data(), 0, 2);
      p.call(table, p.weights.data(), 1, 2);
    }
  }
}

TEST(Problems, CountsOfAProduct) {
  const Problem p = find_operations("matmul_int8").at(0)->make({2, 64, 8});
  EXPECT_EQ(p.operations, 2 * 2 * 64 * 8);
  EXPECT_EQ(p.weights.size(), 64u * 8 + 64 * 4);
  EXPECT_EQ(p.bytes, static_cast<double>(64 * 8 + 64 * 4 + 2 * 8 + 4 * 2 * 64));
  EXPECT_EQ(find_operations("attention_f32").at(0)->make({5, 3, 7}).operations, 4 * 5 * 5 * 3 * 7);
}

TEST(Problems, Shapes) {
  const Shape s = parse_shape("16x384x1536");
  EXPECT_EQ(s.text(), "16x384x1536");
  for (const char* bad : {"", "16", "16x384", "16x384x", "16x384x1536x", "16x384x1536 ", "0x1x1", "1x1x70000", "ax1x1"})
    EXPECT_THROW(parse_shape(bad), std::runtime_error) << bad;
}

TEST(Problems, Names) {
  EXPECT_EQ(find_operations("gelu").size(), 1u);
  EXPECT_GT(find_operations("activate").size(), 2u);  // a kernel's name: every row of it
  EXPECT_THROW(find_operations("gemm"), std::runtime_error);
}

// A loop that the compiler emptied, or one counted wrongly, would be off by far more than this.
TEST(Peak, LoopsTakeTime) {
  for (unsigned level = 0; level < kernels::isa_count; ++level) {
    const auto isa = static_cast<kernels::Isa>(level);
    for (const Arithmetic arithmetic : {Arithmetic::int8, Arithmetic::f32}) {
      const PeakLoop loop = peak_loop(isa, arithmetic);
      if (!kernels::isa_available(isa)) {
        EXPECT_EQ(loop.run, nullptr);
      }
      if (loop.run != nullptr) {
        loop.run();
        EXPECT_GT(loop.operations, 1e5);
      }
    }
    EXPECT_EQ(peak_loop(isa, Arithmetic::none).run, nullptr);
  }
}

TEST(Peak, EveryByteIsRead) {
  std::vector<uint8_t> bytes(256 * 3 + 77);
  const ReadFn read = reader();
  const uint64_t zero = read(bytes.data(), bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = 1;
    EXPECT_NE(read(bytes.data(), bytes.size()), zero) << i;
    bytes[i] = 0;
  }
}

}  // namespace
}  // namespace onepass::bench
