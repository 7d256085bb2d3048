// The error of every elementwise function over every finite float, and that each level's vectors give the bits of the
// reference for each of them. Minutes of work, so a program of its own; ctest runs it on every 1021st float:
//   nice -n 19 kernels_whole_range [function|all] [threads] [step]
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
#include "tests/kernels/exp_of_level.h"

namespace {

using namespace onepass::kernels;

// Below `low` errors are absolute ones: the function says that it gives 0, or what little. docs/numerics.md has the
// bounds.
struct Function {
  const char* name;
  Act act;  // none: exp, which is no activation
  float low;
  double ulp_bound, absolute_bound;
  bool either;  // an error within the one or the other is good, on the whole range
  double (*exact)(double);
};

// The levels whose lanes the elementwise kernels are compiled for: the others run one of these.
struct Lanes {
  Isa isa;
  ExpOfFn exp_of;
};
const Lanes lanes[] = {
#if defined(__x86_64__)
    {Isa::avx2, exp_of_avx2},
    {Isa::avx512, exp_of_avx512},
#elif defined(__aarch64__)
    {Isa::neon, exp_of_neon},
#endif
};

double gelu_erf(double x) { return 0.5 * x * std::erfc(-x * std::sqrt(0.5)); }
double gelu_tanh(double x) {
  const double u = std::sqrt(2.0 / std::acos(-1.0)) * (x + 0.044715 * x * x * x);
  return x / (1.0 + std::exp(-2.0 * u));
}

const std::vector<Function> functions = {
    {"exp", Act::none, exp_lowest, 1.0, 2e-38, false, [](double x) { return std::exp(x); }},
    {"tanh", Act::tanh, -INFINITY, 1.5, 0, false, [](double x) { return std::tanh(x); }},
    {"sigmoid", Act::sigmoid, -86.9f, 2.5, 3e-38, false, [](double x) { return 1.0 / (1.0 + std::exp(-x)); }},
    {"silu", Act::silu, -86.9f, 2.5, 3e-36, false, [](double x) { return x / (1.0 + std::exp(-x)); }},
    {"gelu_erf", Act::gelu_erf, 0.0f, 2.0, 1e-7, true, gelu_erf},
    {"gelu_tanh", Act::gelu_tanh, 0.0f, 2.0, 1e-7, true, gelu_tanh},
};

struct Worst {
  double ulp = 0, absolute = 0;  // ulp from `low` on, absolute below it
  float ulp_at = 0, absolute_at = 0;
  uint64_t floats = 0, other_bits = 0;
  bool undefined = false, out_of_bounds = false;

  void add(const Worst& other) {
    if (other.ulp > ulp) ulp = other.ulp, ulp_at = other.ulp_at;
    if (other.absolute > absolute) absolute = other.absolute, absolute_at = other.absolute_at;
    floats += other.floats, other_bits += other.other_bits;
    undefined = undefined || other.undefined;
    out_of_bounds = out_of_bounds || other.out_of_bounds;
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
  const double ulp = error / unit_of(exact);
  const bool within_ulp = ulp <= f.ulp_bound, within_absolute = error <= f.absolute_bound;
  if (x >= f.low) {
    if (ulp > worst.ulp) worst.ulp = ulp, worst.ulp_at = x;
    worst.out_of_bounds = worst.out_of_bounds || !(within_ulp || (f.either && within_absolute));
  } else {
    if (error > worst.absolute) worst.absolute = error, worst.absolute_at = x;
    worst.out_of_bounds = worst.out_of_bounds || !(within_absolute || (f.either && within_ulp));
  }
}

void run_lanes(const Lanes& level, const Function& f, float* x, uint32_t count) {
  if (f.act == Act::none) {
    level.exp_of(x, x, (count + 15) / 16 * 16);
  } else {
    kernel_table(level.isa)->activate({.x = x, .rows = 1, .width = count, .stride = count, .act = f.act});
  }
}

// Floats whose bits without the sign are begin, begin + step, ... below end, of both signs.
Worst check_range(const Function& f, uint32_t begin, uint32_t end, uint32_t step) {
  Worst worst;
  constexpr uint32_t most = 2048;
  float x[most] = {}, reference[most], vector[most];
  for (uint64_t first = begin; first < end; first += uint64_t{most} * step) {
    const auto count = static_cast<uint32_t>(std::min<uint64_t>(most, (end - first + step - 1) / step));
    for (const uint32_t sign : {0u, 0x80000000u}) {
      for (uint32_t i = 0; i < count; ++i)
        x[i] = std::bit_cast<float>((static_cast<uint32_t>(first) + i * step) | sign);
      for (uint32_t i = 0; i < count; ++i) {
        reference[i] = f.act == Act::none ? ref::exp_f32(x[i]) : ref::activated(f.act, x[i]);
        check(f, x[i], reference[i], worst);
      }
      for (const Lanes& level : lanes) {
        if (!isa_available(level.isa)) continue;
        std::memcpy(vector, x, sizeof vector);
        run_lanes(level, f, vector, count);
        for (uint32_t i = 0; i < count; ++i)
          worst.other_bits += std::bit_cast<uint32_t>(vector[i]) != std::bit_cast<uint32_t>(reference[i]);
      }
    }
  }
  return worst;
}

Worst check_all(const Function& f, size_t threads, uint32_t step) {
  constexpr uint64_t end = 0x7f800000;
  std::vector<Worst> parts(threads);
  std::vector<std::thread> team;
  for (size_t t = 0; t < threads; ++t) {
    team.emplace_back([&, t] {
      // Blocks are dealt out in turn: some ranges take longer than others.
      const uint64_t block = uint64_t{step} << 14;
      for (uint64_t first = t * block; first < end; first += threads * block) {
        parts[t].add(
            check_range(f, static_cast<uint32_t>(first), static_cast<uint32_t>(std::min(first + block, end)), step));
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
  const unsigned long step = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 1;
  if (step < 1 || step > 65536) {
    std::fprintf(stderr, "a step is 1 to 65536\n");
    return 1;
  }
  bool known = false, good = true;
  for (const Function& f : functions) {
    if (wanted != "all" && wanted != f.name) continue;
    known = true;
    const Worst worst = check_all(f, std::max<size_t>(threads, 1), static_cast<uint32_t>(step));
    std::printf(
        "%-10s %llu floats: %.4f ulp at %.9g from %.9g on; below, %.3g absolute at %.9g; %llu have other bits%s%s\n",
        f.name, static_cast<unsigned long long>(worst.floats), worst.ulp, static_cast<double>(worst.ulp_at),
        static_cast<double>(f.low), worst.absolute, static_cast<double>(worst.absolute_at),
        static_cast<unsigned long long>(worst.other_bits), worst.undefined ? "; NOT FINITE where it should be" : "",
        worst.out_of_bounds ? "; OUT OF BOUNDS" : "");
    std::fflush(stdout);
    good = good && worst.other_bits == 0 && !worst.undefined && !worst.out_of_bounds && worst.ulp > 0.5;
  }
  if (!known) std::fprintf(stderr, "no such function: %s\n", wanted.c_str());
  return known && good ? 0 : 1;
}
