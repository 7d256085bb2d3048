// The roofline of this machine (Williams et al., CACM 2009): what the arithmetic and each memory allow, and where the
// kernels lie.
#pragma once

#include <string>
#include <vector>

#include "bench/kernels/problems.h"
#include "bench/support/machine.h"
#include "bench/support/plot.h"

namespace onepass::bench {

class Roofline {
 public:
  struct Bandwidth {
    std::string name;
    size_t bytes;  // of the buffer that was read again and again
    double gb_per_s;
  };
  struct Peak {
    std::string name;
    double gops;
    bool int8;
  };

  // Peaks and bandwidths of one thread, all in the same rounds.
  void measure_roofs(const Machine& machine, const std::vector<kernels::Isa>& levels);
  // GB/s of "L1", "L2", "L3" or "memory"; 0 where it was not measured.
  double bandwidth(const std::string& name) const;
  // What was measured, a line each.
  std::string describe() const;
  // Of each operation the highest level that is added is drawn; the others are left out.
  void add(kernels::Isa isa, const std::string& op, Shape shape, const std::string& cache, double intensity,
           double gops);
  std::string svg(const Machine& machine) const;

 private:
  struct Point {
    kernels::Isa isa;
    std::string op, cache, note;
    double intensity, gops;
  };
  std::vector<Bandwidth> bandwidths_;
  std::vector<Peak> peaks_;
  std::vector<Point> points_;
};

}  // namespace onepass::bench
