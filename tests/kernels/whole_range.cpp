// The error of every elementwise function over every finite float, and that the best level's kernel gives the bits of
// the reference for each of them. Minutes of work, so a program of its own and no part of ctest:
//   nice -n 19 kernels_whole_range [function] [threads]
// The exact values are the C library's in double, whose errors are a billionth of a unit in the last place of a float.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"
#include "kernels/table.h"

namespace {

using namespace onepass::kernels;

// Errors below this magnitude of the exact value are absolute ones: the function says that it gives 0, or what little.
struct Function {
  const char* name;
  Act act;  // none: exp, which is no activation
  float low;
  double (*exact)(double);
};

double gelu_erf(double x) { return 0.5 * x * std::erfc(-x * std::sqrt(0.5)); }
double gelu_tanh(double x) {
  const double u = std::sqrt(2.0 / std::acos(-1.0)) * (x + 0.044715 * x * x * x);
  return x / (1.0 + std::exp(-2.0 * u));
}

const std::vector<Function> functions = {
    {"exp", Act::none, exp_lowest, [](double x) { return std::exp(x); }},
    {"tanh", Act::tanh, -INFINITY, [](double x) { return std::tanh(x); }},
    {"sigmoid", Act::sigmoid, -86.9f, [](double x) { return 1.0 / (1.0 + std::exp(-x)); }},
    {"silu", Act::silu, -86.9f, [](double x) { return x / (1.0 + std::exp(-x)); }},
    {"gelu_erf", Act::gelu_erf, 0.0f, gelu_erf},
    {"gelu_tanh", Act::gelu_tanh, 0.0f, gelu_tanh},
};

struct Worst {
  double ulp = 0, absolute = 0;  // ulp from `low` on, absolute below it
  float ulp_at = 0, absolute_at = 0;
  uint64_t floats = 0, other_bits = 0;
  bool undefined = false;

  void add(const Worst& other) {
    if (other.ulp > ulp) ulp = other.ulp, ulp_at = other.ulp_at;
    if (other.absolute > absolute) absolute = other.absolute, absolute_at = other.absolute_at;
    floats += other.floats, other_bits += other.other_bits;
    undefined = undefined || other.undefined;
  }
};

// Units in the last place of a float near `exact`.
double unit_of(double exact) {
  const uint64_t exponent = std::bit_cast<uint64_t>(exact) >> 52 & 2047;
  const uint64_t unit = exponent > 897 ? exponent - 23 : 897 - 23;  // 2^-149 below the smallest normal float
  return std::bit_cast<double>(unit << 52);
}

void check(const Function& f, float x, float value, Worst& worst) {
  const double exact = f.exact(static_cast<double>(x));
  ++worst.floats;
  constexpr double float_max = 3.4028234663852886e38;
  if (std::fabs(exact) > float_max) {  // overflows: infinity, or the largest float where it rounds to that
    const bool fits = std::isinf(value) || value == static_cast<float>(exact);
    worst.undefined = worst.undefined || !fits;
    return;
  }
  const double error = std::fabs(static_cast<double>(value) - exact);
  if (!(error <= float_max)) {
    // A result that rounds to infinity just below the end of the range.
    worst.undefined = worst.undefined || !(std::isinf(value) && std::fabs(exact) > float_max * (1 - 0x1p-22));
    return;
  }
  if (x >= f.low) {
    const double ulp = error / unit_of(exact);
    if (ulp > worst.ulp) worst.ulp = ulp, worst.ulp_at = x;
  } else if (error > worst.absolute) {
    worst.absolute = error, worst.absolute_at = x;
  }
}

// Floats whose bits without the sign are [begin, end), of both signs.
Worst check_range(const Function& f, const KernelTable& table, uint32_t begin, uint32_t end) {
  Worst worst;
  constexpr uint32_t step = 2048;
  float x[step], reference[step], vector[step];
  for (uint32_t first = begin; first < end; first += step) {
    const uint32_t count = std::min(step, end - first);
    for (const uint32_t sign : {0u, 0x80000000u}) {
      for (uint32_t i = 0; i < count; ++i) x[i] = std::bit_cast<float>((first + i) | sign);
      for (uint32_t i = 0; i < count; ++i) {
        reference[i] = f.act == Act::none ? ref::exp_f32(x[i]) : ref::activated(f.act, x[i]);
        check(f, x[i], reference[i], worst);
      }
      if (f.act == Act::none) continue;
      std::memcpy(vector, x, count * sizeof(float));
      table.activate({.x = vector, .rows = 1, .width = count, .stride = count, .act = f.act});
      for (uint32_t i = 0; i < count; ++i)
        worst.other_bits += std::bit_cast<uint32_t>(vector[i]) != std::bit_cast<uint32_t>(reference[i]);
    }
  }
  return worst;
}

Worst check_all(const Function& f, const KernelTable& table, size_t threads) {
  constexpr uint64_t end = 0x7f800000;
  std::vector<Worst> parts(threads);
  std::vector<std::thread> team;
  for (size_t t = 0; t < threads; ++t) {
    team.emplace_back([&, t] {
      // Blocks are dealt out in turn: some ranges take longer than others.
      constexpr uint64_t block = 1 << 16;
      for (uint64_t first = t * block; first < end; first += threads * block) {
        parts[t].add(
            check_range(f, table, static_cast<uint32_t>(first), static_cast<uint32_t>(std::min(first + block, end))));
      }
    });
  }
  for (std::thread& thread : team) thread.join();
  Worst worst;
  for (const Worst& part : parts) worst.add(part);
  return worst;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string wanted = argc > 1 ? argv[1] : "all";
  const size_t threads = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : std::thread::hardware_concurrency();
  const KernelTable& table = *kernel_table(best_isa());
  bool known = false, good = true;
  for (const Function& f : functions) {
    if (wanted != "all" && wanted != f.name) continue;
    known = true;
    const Worst worst = check_all(f, table, std::max<size_t>(threads, 1));
    std::printf("%-10s %llu floats: %.4f ulp at %.9g from %.9g on; below, %.3g absolute at %.9g; %llu differ on %s%s\n",
                f.name, static_cast<unsigned long long>(worst.floats), worst.ulp, static_cast<double>(worst.ulp_at),
                static_cast<double>(f.low), worst.absolute, static_cast<double>(worst.absolute_at),
                static_cast<unsigned long long>(worst.other_bits), isa_name(table.isa),
                worst.undefined ? "; NOT FINITE where it should be" : "");
    std::fflush(stdout);
    good = good && worst.other_bits == 0 && !worst.undefined;
  }
  if (!known) std::fprintf(stderr, "no such function: %s\n", wanted.c_str());
  return known && good ? 0 : 1;
}
