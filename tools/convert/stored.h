// Which layout holds a tensor as its file has it, and packing it there without computing it anew.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/arch/arch.h"
#include "formats/weight_file.h"
#include "kernels/layouts.h"

namespace onepass::convert {

// The layout that holds these parts, one behind the other, as they are: without loss, but for the scales of Q4_K, which
// are rounded to f16. Int8 for types that no layout of fewer bits than f32 holds. Heads, vectors and rows are f32 at
// most: what is quantised there becomes what it means.
kernels::Layout layout_as_stored(const SlotSpec& spec, const WeightFile& weights, std::span<const std::string> parts);

// The int4 layout of the group that takes the parts' codes as they are; nullopt where there is none.
std::optional<kernels::Layout> int4_layout_as_stored(Role role, uint32_t group, const WeightFile& weights,
                                                     std::span<const std::string> parts);

enum class Fate {
  exact,    // every value is the source's
  rounded,  // the codes are the source's; scales and minima are rounded to f16
  changed,  // quantised (again), or rounded to a shorter float
};
Fate fate_of(kernels::Layout layout, const WeightFile& weights, std::span<const std::string> parts);
// "Q4_0, without loss", for people.
std::string describe_fate(kernels::Layout layout, const WeightFile& weights, std::span<const std::string> parts);

// Packs the parts' codes. Requires fate_of to be exact or rounded, and an int4 layout.
Status pack_stored(kernels::Layout layout, const WeightFile& weights, std::span<const std::string> parts, uint64_t n,
                   uint64_t k, std::span<uint8_t> out);

}  // namespace onepass::convert
