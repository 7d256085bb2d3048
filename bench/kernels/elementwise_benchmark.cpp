// Every operation that is not a product, at each of its shapes and on each level, under Google Benchmark:
//   onepass-bench-elementwise --benchmark_filter='gelu/.*avx512' --benchmark_repetitions=9
// Percentages of a peak, cold weights and baselines are onepass-bench's.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>

#include "bench/kernels/problems.h"

int main(int argc, char** argv) {
  using namespace onepass;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  for (const bench::Operation& operation : bench::operations()) {
    if (operation.product) continue;
    for (const bench::Shape shape : operation.shapes) {
      const auto problem = std::make_shared<bench::Problem>(operation.make(shape));
      for (unsigned level = 0; level < kernels::isa_count; ++level) {
        const auto isa = static_cast<kernels::Isa>(level);
        if (!kernels::isa_available(isa)) continue;
        const std::string name = std::string(operation.name) + "/" + shape.text() + "/" + kernels::isa_name(isa);
        benchmark::RegisterBenchmark(name.c_str(), [problem,
                                                    table = kernels::kernel_table(isa)](benchmark::State& state) {
          for (auto _ : state) {
            problem->call(*table, problem->weights.data(), 0, 1);
            benchmark::ClobberMemory();
          }
          const auto calls = static_cast<double>(state.iterations());
          state.counters["bytes"] =
              benchmark::Counter(problem->bytes * calls, benchmark::Counter::kIsRate, benchmark::Counter::kIs1024);
          if (problem->operations > 0)
            state.counters["operations"] = benchmark::Counter(problem->operations * calls, benchmark::Counter::kIsRate);
        });
      }
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
