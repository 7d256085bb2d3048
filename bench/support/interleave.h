// Timing of several things against each other: in every round each of them runs for a slice of time, so that a change
// of the clock's frequency, or a neighbour on the machine, meets all of them alike.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace onepass::bench {

// Seconds of the steady clock.
double seconds_now();

struct Contestant {
  std::string name;
  std::function<void()> call;
};

struct Interleaving {
  double seconds_each = 0.2;  // of measured time a contestant, about; the rounds end when all have used theirs
  double slice = 2e-4;        // seconds of one sample, at least: as many calls as fill it, so that the clock's step
                              // and its own cost do not matter
  size_t least_rounds = 15;   // whatever they take
  size_t most_rounds = 2000;
};

// One list a contestant: seconds a call, one entry a round. Round r starts with contestant r mod count, so that none
// always follows the same other one. Every slice begins with one untimed call, which brings the contestant's data
// back into the caches.
std::vector<std::vector<double>> interleave(std::span<const Contestant> contestants, const Interleaving& options,
                                            const std::function<double()>& clock = seconds_now);

}  // namespace onepass::bench
