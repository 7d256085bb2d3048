#include "kernels/pack/pack.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/pack/fit.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {
namespace {

constexpr uint16_t f16_infinity = 0x7c00, bf16_infinity = 0x7f80;
constexpr float smallest_absmax = 1e-30f;

PackResult first_non_finite(const float* w, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(w[i])) return {PackStatus::non_finite, i};
  }
  return {};
}

PackResult first_f16_overflow(const float* w, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if ((f16_from_f32(w[i]) & 0x7fffu) == f16_infinity) return {PackStatus::f16_overflow, i};
  }
  return {};
}

PackResult first_bf16_overflow(const float* w, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if ((bf16_from_f32(w[i]) & 0x7fffu) == bf16_infinity) return {PackStatus::f16_overflow, i};
  }
  return {};
}

// The scale of one channel, and through `store` its codes.
template <class Store>
float quantize_channel(const float* w, size_t k, Store store) {
  float absmax = 0.0f;
  for (size_t i = 0; i < k; ++i) absmax = std::fmax(absmax, std::fabs(w[i]));
  if (absmax < smallest_absmax) {
    for (size_t i = 0; i < k; ++i) store(i, 0);
    return 1.0f;
  }
  const float scale = absmax / 127.0f;
  for (size_t i = 0; i < k; ++i) {
    // Adding and taking away 1.5 * 2^23 rounds half to even; |code| <= 127 after it.
    const float code = (w[i] / scale + round_magic) - round_magic;
    store(i, static_cast<int>(code));
  }
  return scale;
}

// `quantize(channel, store)` stores the codes of a channel and returns its scale.
template <class Quantize>
void fill_i8_panels(size_t n, size_t k, void* out, Quantize quantize) {
  auto* codes = static_cast<uint8_t*>(out);
  const size_t scales_at = scale_offset(Layout::i8_n32k4, n, k);
  auto* scales = reinterpret_cast<float*>(codes + scales_at);
  std::memset(codes, 128, scales_at);
  for (size_t i = 0; i < scale_count(Layout::i8_n32k4, n); ++i) scales[i] = 1.0f;
  const size_t panel_bytes = round_up(k, 4) * 32;
  for (size_t channel = 0; channel < n; ++channel) {
    uint8_t* base = codes + channel / 32 * panel_bytes + channel % 32 * 4;
    scales[channel] =
        quantize(channel, [base](size_t i, int code) { base[i / 4 * 128 + i % 4] = static_cast<uint8_t>(code + 128); });
  }
}

template <class Quantize>
void fill_i8_rows(size_t n, size_t k, void* out, Quantize quantize) {
  auto* codes = static_cast<int8_t*>(out);
  const size_t scales_at = scale_offset(Layout::i8_rows, n, k);
  auto* scales = reinterpret_cast<float*>(codes + scales_at);
  std::memset(codes + n * k, 0, scales_at - n * k);
  for (size_t row = 0; row < n; ++row) {
    int8_t* base = codes + row * k;
    scales[row] = quantize(row, [base](size_t i, int code) { base[i] = static_cast<int8_t>(code); });
  }
}

auto quantize_all(const float* w, size_t k) {
  return [w, k](size_t channel, auto store) { return quantize_channel(w + channel * k, k, store); };
}

// [N,K] to [ceil(N/16)][K][16], zero beyond N.
template <class T, class Convert>
void pack_float_panels(const float* w, size_t n, size_t k, T* out, Convert convert) {
  for (size_t panel = 0; panel < n; panel += 16) {
    for (size_t i = 0; i < k; ++i) {
      for (size_t j = 0; j < 16; ++j) {
        *out++ = panel + j < n ? convert(w[(panel + j) * k + i]) : T{};
      }
    }
  }
}

template <class T, class Convert>
void unpack_float_panels(const T* packed, size_t n, size_t k, float* w, Convert convert) {
  for (size_t channel = 0; channel < n; ++channel) {
    for (size_t i = 0; i < k; ++i) w[channel * k + i] = convert(packed[(channel / 16 * k + i) * 16 + channel % 16]);
  }
}

}  // namespace

PackResult pack_i8(Layout layout, const int8_t* codes, const float* scales, size_t n, size_t k, void* out) {
  const auto given = [&](size_t channel, auto store) {
    for (size_t i = 0; i < k; ++i) store(i, std::max<int>(codes[channel * k + i], -127));
    return scales[channel];
  };
  if (layout == Layout::i8_n32k4) {
    fill_i8_panels(n, k, out, given);
  } else if (layout == Layout::i8_rows) {
    fill_i8_rows(n, k, out, given);
  } else {
    return {PackStatus::bad_layout, 0};
  }
  return {};
}

float fit_int8_channel(const float* w, const float* importance, size_t k) {
  float absmax = 0.0f;
  for (size_t i = 0; i < k; ++i) absmax = std::fmax(absmax, std::fabs(w[i]));
  if (absmax < smallest_absmax) return 1.0f;
  if (importance == nullptr) return absmax / 127.0f;
  float best = 0.0f;
  double best_error = 0.0;
  constexpr int kWhole = 200;
  for (int part = kWhole; part >= 60; --part) {
    const float scale = absmax * (static_cast<float>(part) / (127.0f * kWhole));
    double error = 0.0;
    for (size_t i = 0; i < k; ++i) {
      const float code = std::clamp((w[i] / scale + round_magic) - round_magic, -127.0f, 127.0f);
      const double off = static_cast<double>(code * scale - w[i]);
      error += off * off * static_cast<double>(importance[i]);
    }
    if (part == kWhole || error < best_error) {
      best = scale;
      best_error = error;
    }
  }
  return best;
}

PackResult pack_matmul(Layout layout, const float* w, size_t n, size_t k, void* out) {
  if (const PackResult finite = first_non_finite(w, n * k); !finite.ok()) return finite;
  switch (layout) {
    case Layout::f32_n16:
      pack_float_panels(w, n, k, static_cast<float*>(out), [](float v) { return v; });
      return {};
    case Layout::f16_n16:
      if (const PackResult fits = first_f16_overflow(w, n * k); !fits.ok()) return fits;
      pack_float_panels(w, n, k, static_cast<uint16_t*>(out), f16_from_f32);
      return {};
    case Layout::bf16_n16:
      if (const PackResult fits = first_bf16_overflow(w, n * k); !fits.ok()) return fits;
      pack_float_panels(w, n, k, static_cast<uint16_t*>(out), bf16_from_f32);
      return {};
    case Layout::i8_n32k4:
      fill_i8_panels(n, k, out, quantize_all(w, k));
      return {};
    case Layout::i4g32_n32k4:
    case Layout::i4g64_n32k4:
    case Layout::i4mg32_n32k4:
    case Layout::i4mg64_n32k4:
      return quantize_i4(layout, w, n, k, out);
    case Layout::i4zg32_n32k4:
    case Layout::i4zg64_n32k4:
      quantize_i4z(layout, w, n, k, out);
      return {};
    default:
      return {PackStatus::bad_layout, 0};
  }
}

PackResult pack_rows(Layout layout, const float* w, size_t n, size_t k, void* out) {
  if (const PackResult finite = first_non_finite(w, n * k); !finite.ok()) return finite;
  switch (layout) {
    case Layout::f32_rows:
      std::memcpy(out, w, n * k * sizeof(float));
      return {};
    case Layout::f16_rows: {
      if (const PackResult fits = first_f16_overflow(w, n * k); !fits.ok()) return fits;
      auto* half = static_cast<uint16_t*>(out);
      for (size_t i = 0; i < n * k; ++i) half[i] = f16_from_f32(w[i]);
      return {};
    }
    case Layout::bf16_rows: {
      if (const PackResult fits = first_bf16_overflow(w, n * k); !fits.ok()) return fits;
      auto* half = static_cast<uint16_t*>(out);
      for (size_t i = 0; i < n * k; ++i) half[i] = bf16_from_f32(w[i]);
      return {};
    }
    case Layout::i8_rows:
      fill_i8_rows(n, k, out, quantize_all(w, k));
      return {};
    case Layout::i4g32_rows:
      return quantize_i4(layout, w, n, k, out);
    default:
      return {PackStatus::bad_layout, 0};
  }
}

PackResult pack(Layout layout, const float* w, size_t n, size_t k, void* out) {
  switch (layout) {
    case Layout::f32_n16:
    case Layout::f16_n16:
    case Layout::bf16_n16:
    case Layout::i8_n32k4:
    case Layout::i4g32_n32k4:
    case Layout::i4g64_n32k4:
    case Layout::i4mg32_n32k4:
    case Layout::i4mg64_n32k4:
    case Layout::i4zg32_n32k4:
    case Layout::i4zg64_n32k4:
      return pack_matmul(layout, w, n, k, out);
    default:
      return pack_rows(layout, w, n, k, out);
  }
}

bool unpack(Layout layout, const void* packed, size_t n, size_t k, float* w) {
  const auto* bytes = static_cast<const uint8_t*>(packed);
  const auto* half = static_cast<const uint16_t*>(packed);
  const auto* scales = reinterpret_cast<const float*>(bytes + scale_offset(layout, n, k));
  switch (layout) {
    case Layout::f32_rows:
      std::memcpy(w, packed, n * k * sizeof(float));
      return true;
    case Layout::f16_rows:
      for (size_t i = 0; i < n * k; ++i) w[i] = ref::f32_from_f16(half[i]);
      return true;
    case Layout::bf16_rows:
      for (size_t i = 0; i < n * k; ++i) w[i] = ref::f32_from_bf16(half[i]);
      return true;
    case Layout::bf16_n16:
      unpack_float_panels(half, n, k, w, ref::f32_from_bf16);
      return true;
    case Layout::i8_rows:
      for (size_t i = 0; i < n * k; ++i) {
        w[i] = static_cast<float>(static_cast<const int8_t*>(packed)[i]) * scales[i / k];
      }
      return true;
    case Layout::f32_n16:
      unpack_float_panels(static_cast<const float*>(packed), n, k, w, [](float v) { return v; });
      return true;
    case Layout::f16_n16:
      unpack_float_panels(half, n, k, w, ref::f32_from_f16);
      return true;
    case Layout::i8_n32k4:
      for (size_t channel = 0; channel < n; ++channel) {
        const uint8_t* base = bytes + channel / 32 * (round_up(k, 4) * 32) + channel % 32 * 4;
        for (size_t i = 0; i < k; ++i) {
          const int code = static_cast<int>(base[i / 4 * 128 + i % 4]) - 128;
          w[channel * k + i] = static_cast<float>(code) * scales[channel];
        }
      }
      return true;
    case Layout::i4g32_rows:
    case Layout::i4g32_n32k4:
    case Layout::i4g64_n32k4:
    case Layout::i4mg32_n32k4:
    case Layout::i4mg64_n32k4:
      dequantize_i4(layout, packed, n, k, w);
      return true;
    case Layout::i4zg32_n32k4:
    case Layout::i4zg64_n32k4:
      dequantize_i4z(layout, packed, n, k, w);
      return true;
    case Layout::none:
      break;
  }
  return false;
}

}  // namespace onepass::kernels
