// The subcommands of onepass-bench; their options are declared in bench/main.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace onepass::bench {

struct ModelOptions {
  std::string model, shape, weights = "int8", isa, plot;
  std::vector<uint32_t> tokens = {16, 32, 64, 128, 256, 512};
  std::vector<unsigned> threads = {1, 2};
  double seconds = 0.5;
  bool json = false;
  bool batch = false;
};
void run_model(const ModelOptions& options);

struct KernelsOptions {
  std::vector<std::string> ops;
  std::vector<std::string> shapes;
  std::vector<std::string> caches = {"warm", "l2", "l3"};
  std::vector<unsigned> threads = {1};
  std::string isa, plot;
  double seconds = 0.1;
  bool json = false;
  bool baselines = false;
};
void run_kernels(const KernelsOptions& options);

}  // namespace onepass::bench
