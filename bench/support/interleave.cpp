#include "bench/support/interleave.h"

#include <algorithm>
#include <chrono>

namespace onepass::bench {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<std::vector<double>> interleave(std::span<const Contestant> contestants, const Interleaving& options,
                                            const std::function<double()>& clock) {
  std::vector<std::vector<double>> seconds(contestants.size());
  if (contestants.empty()) return seconds;
  std::vector<size_t> calls;
  for (const Contestant& c : contestants) {
    c.call();
    // The fastest of three: a single disturbed call must not make every slice too short.
    double once = 1e9;
    for (int i = 0; i < 3; ++i) {
      const double start = clock();
      c.call();
      once = std::min(once, clock() - start);
    }
    calls.push_back(once >= options.slice ? 1 : static_cast<size_t>(options.slice / std::max(once, 1e-9)) + 1);
  }
  const double budget = options.seconds_each * static_cast<double>(contestants.size());
  double spent = 0;
  for (size_t round = 0; round < options.most_rounds && (round < options.least_rounds || spent < budget); ++round) {
    for (size_t i = 0; i < contestants.size(); ++i) {
      const size_t at = (round + i) % contestants.size();
      contestants[at].call();
      const double start = clock();
      for (size_t n = 0; n < calls[at]; ++n) contestants[at].call();
      const double took = clock() - start;
      seconds[at].push_back(took / static_cast<double>(calls[at]));
      spent += took;
    }
  }
  return seconds;
}

}  // namespace onepass::bench
