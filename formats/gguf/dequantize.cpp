// The blocks of ggml as f32. Every value is one product, or a product and a difference, in the order of operations of
// ggml's reference; the build never contracts them (-ffp-contract=off), so that the bits are the same.
#include <cinttypes>

#include "formats/f16.h"
#include "formats/gguf/gguf.h"

namespace onepass {

namespace {

uint16_t u16_at(const uint8_t* in) { return static_cast<uint16_t>(in[0] | in[1] << 8); }
uint32_t u32_at(const uint8_t* in) { return u16_at(in) | uint32_t{u16_at(in + 2)} << 16; }
float f16_at(const uint8_t* in) { return f16_to_f32(u16_at(in)); }
float to_float(int code) { return static_cast<float>(code); }

constexpr int kNonLinear4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

void q4_0(const uint8_t* in, float* out) {
  const float d = f16_at(in);
  for (int i = 0; i < 16; ++i) {
    out[i] = to_float((in[2 + i] & 15) - 8) * d;
    out[i + 16] = to_float((in[2 + i] >> 4) - 8) * d;
  }
}

void q4_1(const uint8_t* in, float* out) {
  const float d = f16_at(in), m = f16_at(in + 2);
  for (int i = 0; i < 16; ++i) {
    out[i] = to_float(in[4 + i] & 15) * d + m;
    out[i + 16] = to_float(in[4 + i] >> 4) * d + m;
  }
}

// Codes of 5 bits: the fifth of element i is bit i of a u32.
int five(const uint8_t* low, uint32_t high, int i) {
  const int nibble = i < 16 ? low[i] & 15 : low[i - 16] >> 4;
  return nibble | static_cast<int>(high >> i & 1) << 4;
}

void q5_0(const uint8_t* in, float* out) {
  const float d = f16_at(in);
  const uint32_t high = u32_at(in + 2);
  for (int i = 0; i < 32; ++i) out[i] = to_float(five(in + 6, high, i) - 16) * d;
}

void q5_1(const uint8_t* in, float* out) {
  const float d = f16_at(in), m = f16_at(in + 2);
  const uint32_t high = u32_at(in + 4);
  for (int i = 0; i < 32; ++i) out[i] = to_float(five(in + 8, high, i)) * d + m;
}

void q8_0(const uint8_t* in, float* out) {
  const float d = f16_at(in);
  for (int i = 0; i < 32; ++i) out[i] = to_float(static_cast<int8_t>(in[2 + i])) * d;
}

void iq4_nl(const uint8_t* in, float* out) {
  const float d = f16_at(in);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * to_float(kNonLinear4[in[2 + i] & 15]);
    out[i + 16] = d * to_float(kNonLinear4[in[2 + i] >> 4]);
  }
}

void iq4_xs(const uint8_t* in, float* out) {
  const float d = f16_at(in);
  const unsigned high = u16_at(in + 2);
  for (int group = 0; group < 8; ++group) {
    const int low = in[4 + group / 2] >> (group % 2 * 4) & 15;
    const int scale = low | static_cast<int>(high >> (2 * group) & 3) << 4;
    const float dl = d * to_float(scale - 32);
    const uint8_t* codes = in + 8 + group * 16;
    for (int i = 0; i < 16; ++i) {
      out[group * 32 + i] = dl * to_float(kNonLinear4[codes[i] & 15]);
      out[group * 32 + i + 16] = dl * to_float(kNonLinear4[codes[i] >> 4]);
    }
  }
}

// Codes of 2 bits: 128 elements in 32 bytes, the next 32 elements two bits higher.
int two(const uint8_t* codes, int i) { return codes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3; }

void q2_k(const uint8_t* in, float* out) {
  const float d = f16_at(in + 80), dmin = f16_at(in + 82);
  for (int i = 0; i < 256; ++i) {
    const uint8_t scale = in[i / 16];
    out[i] = d * to_float(scale & 15) * to_float(two(in + 16, i)) - dmin * to_float(scale >> 4);
  }
}

void q3_k(const uint8_t* in, float* out) {
  const uint8_t* scales = in + 96;
  const float d = f16_at(in + 108);
  for (int i = 0; i < 256; ++i) {
    const int group = i / 16;
    const int low = scales[group % 8] >> (group / 8 * 4) & 15;
    const int high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
    const float dl = d * to_float((low | high << 4) - 32);
    // The mask's bit is set where nothing is taken off.
    const int off = (in[i % 32] >> (i / 32) & 1) != 0 ? 0 : 4;
    out[i] = dl * to_float(two(in + 32, i) - off);
  }
}

struct ScaleMin {
  int scale, min;
};

// The eight pairs of 6 bits of Q4_K and Q5_K in 12 bytes.
ScaleMin scale_min(const uint8_t* in, int group) {
  if (group < 4) return {in[group] & 63, in[group + 4] & 63};
  return {(in[group + 4] & 15) | (in[group - 4] >> 6) << 4, (in[group + 4] >> 4) | (in[group] >> 6) << 4};
}

// The nibble of element i of Q4_K and Q5_K: 64 elements in 32 bytes.
int four(const uint8_t* codes, int i) { return codes[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4) & 15; }

void q4_k(const uint8_t* in, float* out) {
  const float d = f16_at(in), dmin = f16_at(in + 2);
  for (int i = 0; i < 256; ++i) {
    const ScaleMin group = scale_min(in + 4, i / 32);
    out[i] = d * to_float(group.scale) * to_float(four(in + 16, i)) - dmin * to_float(group.min);
  }
}

void q5_k(const uint8_t* in, float* out) {
  const float d = f16_at(in), dmin = f16_at(in + 2);
  for (int i = 0; i < 256; ++i) {
    const ScaleMin group = scale_min(in + 4, i / 32);
    const int code = four(in + 48, i) | (in[16 + i % 32] >> (i / 32) & 1) << 4;
    out[i] = d * to_float(group.scale) * to_float(code) - dmin * to_float(group.min);
  }
}

void q6_k(const uint8_t* in, float* out) {
  const float d = f16_at(in + 208);
  for (int i = 0; i < 256; ++i) {
    const int low = in[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4) & 15;
    const int high = two(in + 128, i);
    const float scale = d * to_float(static_cast<int8_t>(in[192 + i / 16]));
    out[i] = scale * to_float((low | high << 4) - 32);
  }
}

void f32(const uint8_t* in, float* out) { *out = std::bit_cast<float>(u32_at(in)); }
void f16(const uint8_t* in, float* out) { *out = f16_at(in); }
void bf16(const uint8_t* in, float* out) { *out = bf16_to_f32(u16_at(in)); }

using BlockFn = void (*)(const uint8_t*, float*);

BlockFn block_of(GgmlType type) {
  switch (type) {
    case GgmlType::f32:
      return f32;
    case GgmlType::f16:
      return f16;
    case GgmlType::q4_0:
      return q4_0;
    case GgmlType::q4_1:
      return q4_1;
    case GgmlType::q5_0:
      return q5_0;
    case GgmlType::q5_1:
      return q5_1;
    case GgmlType::q8_0:
      return q8_0;
    case GgmlType::q2_k:
      return q2_k;
    case GgmlType::q3_k:
      return q3_k;
    case GgmlType::q4_k:
      return q4_k;
    case GgmlType::q5_k:
      return q5_k;
    case GgmlType::q6_k:
      return q6_k;
    case GgmlType::iq4_nl:
      return iq4_nl;
    case GgmlType::iq4_xs:
      return iq4_xs;
    case GgmlType::bf16:
      return bf16;
  }
  return f32;
}

}  // namespace

Status dequantize(GgmlType type, std::span<const uint8_t> bytes, std::span<float> out, uint64_t first,
                  std::string_view where) noexcept {
  const GgmlTypeInfo& info = info_of(type);
  const BlockFn block = block_of(type);
  for (size_t done = 0, at = 0; done < out.size(); done += info.block, at += info.bytes) {
    block(bytes.data() + at, out.data() + done);
    // A scale that is not finite makes every value of its block so.
    for (size_t i = done; i < done + info.block; ++i) {
      if (is_finite_f32(out[i])) continue;
      return make_error(Code::non_finite, Error::no_offset, where,
                        "element %" PRIu64
                        " (%s) is not finite, or the scale of its block is not; the model is damaged",
                        first + i, info.name);
    }
  }
  return {};
}

}  // namespace onepass
