#include "kernels/kernels.h"
#include "kernels/math_constants.h"
#include "kernels/wide/lanes.h"

namespace onepass::kernels {

[[gnu::flatten]] void ONEPASS_NAME(quantize_rows)(const QuantizeRows& op) noexcept {
  constexpr int32_t infinity_bits = 0x7f800000;
  const size_t whole = op.width / 16 * 16, rest = op.width % 16;
  for (size_t row = 0; row < op.rows; ++row) {
    const float* x = op.x + row * op.x_stride;
    int8_t* codes = op.codes + row * op.codes_stride;

    I16 magnitude = magnitude_bits(splat(0.0f));
    if (op.peak != nullptr) {
      magnitude = load_bits(op.peak + row * 16);
    } else {
      for (size_t i = 0; i < whole; i += 16) magnitude = greater(magnitude, magnitude_bits(load(x + i)));
      if (rest != 0) magnitude = greater(magnitude, magnitude_bits(load_first(x + whole, rest)));
    }
    const int32_t max_bits = greatest_lane(magnitude);
    float max;
    memcpy(&max, &max_bits, sizeof max);

    const bool finite = max_bits < infinity_bits;
    if (!finite || max < quantize_smallest) {
      op.scale[row] = finite ? 0.0f : __builtin_nanf("");
      memset(codes, 0, round_up(op.width, 4));
      continue;
    }
    op.scale[row] = max / 127.0f;
    const F16 inverse = splat(127.0f / max);
    const F16 magic = splat(round_magic);
    for (size_t i = 0; i < whole; i += 16) store_low_bytes(codes + i, load(x + i) * inverse + magic);
    if (rest != 0) {
      alignas(16) int8_t last[16];
      store_low_bytes(last, load_first(x + whole, rest) * inverse + magic);
      const size_t padded = round_up(rest, 4);
      for (size_t j = 0; j < padded; ++j) codes[whole + j] = last[j];
    }
  }
}

}  // namespace onepass::kernels
