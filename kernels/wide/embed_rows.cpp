#include "kernels/kernels.h"
#include "kernels/wide/lanes.h"

namespace onepass::kernels {
namespace {

ONEPASS_INLINE F16 load_wide(const float* p) { return load(p); }
ONEPASS_INLINE F16 load_wide(const uint16_t* p) { return load_f16(p); }
ONEPASS_INLINE F16 load_wide(const Bf16* p) { return load_bf16(p); }
ONEPASS_INLINE F16 load_wide(const int8_t* p) { return load_i8(p); }

// One row; `finish` is what a widened element still lacks.
template <class T, class Finish>
ONEPASS_INLINE void embed_row(const EmbedRows& op, const T* from, float* out, Finish finish) {
  size_t i = 0;
  for (; i + 16 <= op.width; i += 16) {
    const F16 v = finish(load_wide(from + i));
    store(out + i, op.add ? load(out + i) + v : v);
  }
  if (const size_t rest = op.width - i; rest != 0) {
    const F16 v = finish(load_first(from + i, rest));
    store_first(out + i, op.add ? load_first(out + i, rest) + v : v, rest);
  }
}

// 16 nibbles of 16 bytes, as -8..7.
ONEPASS_INLINE F16 nibbles(const uint8_t* bytes, int shift) {
  int8_t codes[16];
  for (size_t i = 0; i < 16; ++i) codes[i] = static_cast<int8_t>((bytes[i] >> shift & 15) - 8);
  return load_i8(codes);
}

// One row of i4g32_rows.
ONEPASS_INLINE void embed_i4_row(const EmbedRows& op, const uint8_t* row, float* out) {
  const uint8_t* scales = row + i4_groups(Layout::i4g32_rows, op.width) * 16;
  for (size_t i = 0; i < op.width; i += 16) {
    uint16_t half[16];
    for (uint16_t& h : half) memcpy(&h, scales + i / 32 * 2, sizeof h);
    const F16 v = nibbles(row + i / 32 * 16, i % 32 == 0 ? 0 : 4) * load_f16(half);
    if (const size_t rest = op.width - i; rest < 16) {
      store_first(out + i, op.add ? load_first(out + i, rest) + v : v, rest);
    } else {
      store(out + i, op.add ? load(out + i) + v : v);
    }
  }
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(embed_rows)(const EmbedRows& op) noexcept {
  const auto* f32 = static_cast<const float*>(op.table);
  const auto* f16 = static_cast<const uint16_t*>(op.table);
  const auto* bf16 = static_cast<const Bf16*>(op.table);
  const auto* i8 = static_cast<const int8_t*>(op.table);
  for (size_t row = 0; row < op.rows; ++row) {
    const size_t id = op.ids[row];
    float* out = op.out + row * op.out_stride;
    if (op.layout == Layout::i8_rows) {
      float scale;
      memcpy(&scale, i8 + scale_offset(Layout::i8_rows, op.n, op.width) + id * sizeof scale, sizeof scale);
      const F16 factor = splat(scale);
      embed_row(op, i8 + id * op.width, out, [&](F16 v) { return v * factor; });
    } else if (op.layout == Layout::i4g32_rows) {
      embed_i4_row(op, static_cast<const uint8_t*>(op.table) + id * i4_row_bytes(op.width), out);
    } else if (op.layout == Layout::f16_rows) {
      embed_row(op, f16 + id * op.width, out, [](F16 v) { return v; });
    } else if (op.layout == Layout::bf16_rows) {
      embed_row(op, bf16 + id * op.width, out, [](F16 v) { return v; });
    } else {
      embed_row(op, f32 + id * op.width, out, [](F16 v) { return v; });
    }
  }
}

}  // namespace onepass::kernels
