// What this machine is: what a figure must be read beside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace onepass::bench {

struct Machine {
  std::string cpu;  // model name, as the system gives it
  unsigned cores = 0;
  size_t l1 = 0, l2 = 0, l3 = 0;  // bytes, data caches of core 0; 0 where unknown
  size_t memory_available = 0;    // bytes
};
// `root` is "/" but in tests.
Machine read_machine(const std::string& root = "/");

// "2048K", "480M" of sysfs, in bytes; 0 when it is not a size.
size_t parse_cache_size(const std::string& text);

// A counter of energy: Intel's or AMD's RAPL, package domain, as Linux shows it.
class EnergyCounter {
 public:
  using Reading = std::vector<uint64_t>;  // microjoules since some moment, a package each

  // `folder` is another one in tests alone.
  explicit EnergyCounter(std::string folder = "/sys/class/powercap");
  // False where the machine has none, or root alone may read it.
  bool readable() const { return !read().empty(); }
  // Empty when not readable.
  Reading read() const;
  // Microjoules of all packages between two readings; each counter wraps at most once.
  double between(const Reading& before, const Reading& after) const;

 private:
  std::vector<std::string> packages_;
  Reading ranges_;
};

// VmHWM and VmRSS of a process's /proc/PID/status, in bytes.
struct Memory {
  size_t peak = 0, resident = 0;
};
Memory memory_of(const std::string& status_path);

}  // namespace onepass::bench
