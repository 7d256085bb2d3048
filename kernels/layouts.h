// Layouts: how a tensor lies in memory and, byte for byte, in a file. Numbered entries, appended
// to and never changed: a file names the number, and the loader maps the bytes. docs/layouts.md
// has the diagrams.
//
// Axes      A matrix is [N,K]: N output channels (or table rows), K inputs (or row width).
// Units     Sizes and offsets in bytes; N and K count elements.
// Alignment Every layout assumes that its first byte is 64-byte aligned.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace onepass::kernels {

enum class Layout : uint32_t {
  none = 0,
  // f32, row-major [N,K]: vectors (N = 1) and small heads.
  f32_rows = 1,
  // Embedding tables: row n is read alone. f16 is IEEE binary16.
  f16_rows = 2,
  // s8 codes [N,K], zero padding to 64 bytes, then f32 scale[N]: value = code * scale[n].
  i8_rows = 3,
  // Matmul panels of 16 channels: [ceil(N/16)][K][16], channels beyond N are zero.
  f32_n16 = 4,
  f16_n16 = 5,
  // Matmul panels of 32 channels by 4 inputs, u8 = code + 128, codes -127..127:
  // [ceil(N/32)][ceil(K/4)][32][4], padding is 128 (code 0); then f32 scale[ceil(N/32)*32], which is
  // 1 in the padding. The codes fill a multiple of 128 bytes, so the scales are aligned.
  i8_n32k4 = 6,
  // Embedding tables in groups of 32 inputs, one f16 scale a group: value = (nibble - 8) * scale. A row is
  // [ceil(K/32)][16] bytes of nibbles, then f16 scale[ceil(K/32)]. Byte i of a group holds inputs i (low) and i + 16.
  i4g32_rows = 7,
  // Matmul panels of 32 channels by 4 inputs, in groups of 32 or 64 inputs of a channel, an f16 scale each: value =
  // (nibble - 8) * scale. [ceil(N/32)][pairs of groups], and a pair is [group/4][32][4] bytes, the even group in the
  // low nibbles and the odd one in the high, then f16 scale[2][32]. Padding has value 0: nibble 8, and scale 0 where
  // a channel or a whole group does not exist.
  i4g32_n32k4 = 8,
  i4g64_n32k4 = 9,
  // The same with a minimum a group: value = nibble * scale + minimum; a pair ends with f16 minimum[2][32]. Nibbles of
  // padding are 0.
  i4mg32_n32k4 = 10,
  i4mg64_n32k4 = 11,
  // bfloat16, the upper half of an f32, in panels and in rows like f16.
  bf16_n16 = 12,
  bf16_rows = 13,
  // Int4 panels whose values are int8 codes: value = (nibble - zero) * step * scale, with a whole step 0..11 and a zero
  // 4..11 for each group of 32 or 64 inputs of a channel, and an f32 scale a channel. The panels of i4g32_n32k4, where
  // a pair ends with u8 factors[2][32] = step + (zero - 4) * 16 instead of f16 scales; after all panels f32
  // scale[ceil(N/32)*32], which is 1 in the padding. Nibbles and factors of padding are 0.
  i4zg32_n32k4 = 14,
  i4zg64_n32k4 = 15,
};

constexpr uint32_t layout_count = 16;

enum class Dtype : uint32_t { none = 0, f32 = 1, f16 = 2, i8 = 3, i4 = 4, bf16 = 5 };

// Largest K of an integer product: 127 * 255 * K stays below 2^31.
constexpr size_t max_int8_k = 65536;

constexpr size_t round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

constexpr Dtype dtype_of(Layout layout) {
  switch (layout) {
    case Layout::f32_rows:
    case Layout::f32_n16:
      return Dtype::f32;
    case Layout::f16_rows:
    case Layout::f16_n16:
      return Dtype::f16;
    case Layout::i8_rows:
    case Layout::i8_n32k4:
      return Dtype::i8;
    case Layout::i4g32_rows:
    case Layout::i4g32_n32k4:
    case Layout::i4g64_n32k4:
    case Layout::i4mg32_n32k4:
    case Layout::i4mg64_n32k4:
    case Layout::i4zg32_n32k4:
    case Layout::i4zg64_n32k4:
      return Dtype::i4;
    case Layout::bf16_rows:
    case Layout::bf16_n16:
      return Dtype::bf16;
    case Layout::none:
      break;
  }
  return Dtype::none;
}

constexpr const char* layout_name(Layout layout) {
  switch (layout) {
    case Layout::none:
      break;
    case Layout::f32_rows:
      return "f32_rows";
    case Layout::f16_rows:
      return "f16_rows";
    case Layout::i8_rows:
      return "i8_rows";
    case Layout::f32_n16:
      return "f32_n16";
    case Layout::f16_n16:
      return "f16_n16";
    case Layout::i8_n32k4:
      return "i8_n32k4";
    case Layout::i4g32_rows:
      return "i4g32_rows";
    case Layout::i4g32_n32k4:
      return "i4g32_n32k4";
    case Layout::i4g64_n32k4:
      return "i4g64_n32k4";
    case Layout::i4mg32_n32k4:
      return "i4mg32_n32k4";
    case Layout::i4mg64_n32k4:
      return "i4mg64_n32k4";
    case Layout::bf16_n16:
      return "bf16_n16";
    case Layout::bf16_rows:
      return "bf16_rows";
    case Layout::i4zg32_n32k4:
      return "i4zg32_n32k4";
    case Layout::i4zg64_n32k4:
      return "i4zg64_n32k4";
  }
  return "none";
}

// Inputs that share a scale in the int4 layouts, 0 in the others.
constexpr size_t group_size(Layout layout) {
  switch (layout) {
    case Layout::i4g32_rows:
    case Layout::i4g32_n32k4:
    case Layout::i4mg32_n32k4:
    case Layout::i4zg32_n32k4:
      return 32;
    case Layout::i4g64_n32k4:
    case Layout::i4mg64_n32k4:
    case Layout::i4zg64_n32k4:
      return 64;
    default:
      return 0;
  }
}

constexpr bool has_minimum(Layout layout) { return layout == Layout::i4mg32_n32k4 || layout == Layout::i4mg64_n32k4; }

// Int4 of whole steps: what a group's byte says. Any byte is valid: (nibble - zero) * step is an int8 code.
constexpr bool has_steps(Layout layout) { return layout == Layout::i4zg32_n32k4 || layout == Layout::i4zg64_n32k4; }
constexpr int largest_step = 11, least_zero = 4;
constexpr int step_of(uint8_t factors) { return (factors & 15) < largest_step ? factors & 15 : largest_step; }
constexpr int zero_of(uint8_t factors) { return (factors >> 4 & 7) + least_zero; }

// Int4 panels: groups of a channel, bytes of two groups of a panel, and bytes of a panel.
constexpr size_t i4_groups(Layout layout, size_t k) { return round_up(k, group_size(layout)) / group_size(layout); }
constexpr size_t i4_pair_bytes(Layout layout) {
  return group_size(layout) * 32 + (has_minimum(layout) ? 8u : has_steps(layout) ? 2u : 4u) * 32;
}
constexpr size_t i4_panel_bytes(Layout layout, size_t k) {
  return round_up(i4_groups(layout, k), 2) / 2 * i4_pair_bytes(layout);
}

// Bytes of one row of i4g32_rows.
constexpr size_t i4_row_bytes(size_t k) { return round_up(k, 32) / 32 * 18; }

// Bytes from the start of the tensor to its f32 scales (int8, and int4 of whole steps), 0 for the others.
constexpr size_t scale_offset(Layout layout, size_t n, size_t k) {
  switch (layout) {
    case Layout::i8_rows:
      return round_up(n * k, 64);
    case Layout::i8_n32k4:
      return round_up(n, 32) * round_up(k, 4);
    case Layout::i4zg32_n32k4:
    case Layout::i4zg64_n32k4:
      return round_up(n, 32) / 32 * i4_panel_bytes(layout, k);
    default:
      return 0;
  }
}

constexpr size_t scale_count(Layout layout, size_t n) {
  switch (layout) {
    case Layout::i8_rows:
      return n;
    case Layout::i8_n32k4:
    case Layout::i4zg32_n32k4:
    case Layout::i4zg64_n32k4:
      return round_up(n, 32);
    default:
      return 0;
  }
}

// Size of the whole tensor. Requires n and k small enough not to overflow (a loader checks
// n, k < 2^31 and n * k <= 2^36 first).
constexpr size_t packed_bytes(Layout layout, size_t n, size_t k) {
  switch (layout) {
    case Layout::f32_rows:
      return n * k * 4;
    case Layout::f16_rows:
    case Layout::bf16_rows:
      return n * k * 2;
    case Layout::f32_n16:
      return round_up(n, 16) * k * 4;
    case Layout::f16_n16:
    case Layout::bf16_n16:
      return round_up(n, 16) * k * 2;
    case Layout::i8_rows:
    case Layout::i8_n32k4:
    case Layout::i4zg32_n32k4:
    case Layout::i4zg64_n32k4:
      return scale_offset(layout, n, k) + scale_count(layout, n) * 4;
    case Layout::i4g32_rows:
      return n * i4_row_bytes(k);
    case Layout::i4g32_n32k4:
    case Layout::i4g64_n32k4:
    case Layout::i4mg32_n32k4:
    case Layout::i4mg64_n32k4:
      return round_up(n, 32) / 32 * i4_panel_bytes(layout, k);
    case Layout::none:
      break;
  }
  return 0;
}

}  // namespace onepass::kernels
