// panel_i8: rows of C of an int8 product, for the 32 channels of one panel. The int8 product of a level calls it, and
// so does the int4 product of whole steps with panels that it has expanded: the tiles are there once a level.
//
// Shapes    As matmul_i8, of which `op` is one or a part of one. start [rows]: where the sums of each row begin.
// Numerics  As matmul_i8.
// Threads   None.
#pragma once

#include "kernels/matmul_i8.h"

namespace onepass::kernels {

// 32 channels of W: the view that a tile needs.
struct Panel {
  const uint8_t* codes;  // [K/4][32][4], 64-byte aligned
  const float* scale;    // [32]
  const float* bias;     // [count] or null
  size_t n, count;       // first channel, and how many of the 32 exist
  // Where the first `fetching` blocks of rows fetch ahead while they multiply, and how far on after each four inputs.
  const uint8_t* next;
  size_t next_step;
  size_t fetching;
  // A product in parts of K: C holds the sums of the parts before, as integers; and shall hold them after this one.
  bool continued = false, continues = false;
};

struct PanelI8 {
  const MatmulI8& op;
  const Panel& panel;
  size_t begin, end;  // rows
  const int32_t* start;
};

void panel_i8_avxvnni(const PanelI8& op) noexcept;
void panel_i8_avx512vnni(const PanelI8& op) noexcept;
void panel_i8_neon(const PanelI8& op) noexcept;
void panel_i8_dotprod(const PanelI8& op) noexcept;
void panel_i8_i8mm(const PanelI8& op) noexcept;

}  // namespace onepass::kernels
