#include "kernels/rope_table.h"

namespace onepass::kernels {
namespace {

constexpr float largest_angle = 1048576.0f;  // k below 2^20, so that k times 33 bits of pi/2 is exact

struct Turn {
  float cos, sin;
};

Turn turn(float angle) {
  if (!(angle <= largest_angle && angle >= -largest_angle)) return {__builtin_nanf(""), __builtin_nanf("")};
  constexpr double two_over_pi = 0x1.45f306dc9c883p-1, round_magic = 0x1.8p52;
  // pi/2 as 33 + 33 + 53 bits.
  constexpr double high = 0x1.921fb544p+0, middle = 0x1.0b4611a6p-34, low = 0x1.3198a2e037073p-69;
  const double x = static_cast<double>(angle);
  const double k = (x * two_over_pi + round_magic) - round_magic;
  const double r = ((x - k * high) - k * middle) - k * low;
  const double z = r * r;
  const double s = r + r * z *
                           (-1.66666666666666324348e-01 +
                            z * (8.33333333332248946124e-03 +
                                 z * (-1.98412698298579493134e-04 +
                                      z * (2.75573137070700676789e-06 +
                                           z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
  const double c = 1.0 - 0.5 * z +
                   z * z *
                       (4.16666666666666019037e-02 +
                        z * (-1.38888888888741095749e-03 +
                             z * (2.48015872894767294178e-05 +
                                  z * (-2.75573143513906633035e-07 +
                                       z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
  switch (static_cast<int>(k) & 3) {
    case 0:
      return {static_cast<float>(c), static_cast<float>(s)};
    case 1:
      return {static_cast<float>(-s), static_cast<float>(c)};
    case 2:
      return {static_cast<float>(-c), static_cast<float>(-s)};
    default:
      return {static_cast<float>(s), static_cast<float>(-c)};
  }
}

}  // namespace

void fill_rope_table(const RopeTable& op) noexcept {
  for (size_t p = 0; p < op.positions; ++p) {
    const auto position = static_cast<float>(op.first_position + p);
    for (size_t i = 0; i < op.half; ++i) {
      const Turn t = turn(position * op.inv_freq[i]);
      op.cos[p * op.stride + i] = t.cos * op.factor;
      op.sin[p * op.stride + i] = t.sin * op.factor;
    }
  }
}

}  // namespace onepass::kernels
