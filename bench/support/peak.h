// The machine's own limits, as loops to be timed in the same rounds as what is compared with them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/table.h"

namespace onepass::bench {

enum class Arithmetic { none, int8, f32 };

// A loop over registers alone, with the instructions that a level has for an arithmetic. Null where this build has no
// loop for the level, or the machine lacks it.
struct PeakLoop {
  void (*run)() = nullptr;
  double operations = 0;  // of one run; a multiply and an add are two
  const char* instructions = "";
};
PeakLoop peak_loop(kernels::Isa isa, Arithmetic arithmetic);

// A function that reads every byte once, with the widest loads that the machine has, and returns a value that depends
// on all of them.
using ReadFn = uint64_t (*)(const uint8_t* bytes, size_t size);
ReadFn reader();

}  // namespace onepass::bench
