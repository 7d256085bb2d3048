#include "bench/kernels/problems.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <numbers>
#include <random>
#include <stdexcept>
#include <type_traits>

#include "engine/core/parallel.h"
#include "kernels/pack/pack.h"

namespace onepass::bench {

namespace {

using kernels::Layout;
using kernels::round_up;

template <class T>
Array<T> aligned(size_t count) {
  Array<T> out;
  if (!out.resize(count)) throw std::runtime_error("out of memory");
  return out;
}

Array<float> numbers(size_t count) {
  auto out = aligned<float>(count);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>((i * 2654435761u >> 7) % 2001) / 1000.0f - 1.0f;
  return out;
}

double count(size_t n) { return static_cast<double>(n); }

// Thread `part`'s share of n channels, in whole panels.
Range channels(size_t n, size_t panel, size_t part, size_t parts) {
  const Range panels = split_range((n + panel - 1) / panel, part, parts);
  return {panels.begin * panel, std::min(panels.end * panel, n)};
}

Array<uint8_t> packed(Layout layout, size_t n, size_t k) {
  const auto w = numbers(n * k);
  auto out = aligned<uint8_t>(kernels::packed_bytes(layout, n, k));
  if (!kernels::pack(layout, w.data(), n, k, out.data()).ok()) throw std::runtime_error("the weights did not pack");
  return out;
}

// Codes of normally distributed rows: how large neighbours are together decides which way avx2 takes.
Array<int8_t> activations(size_t rows, size_t width, size_t stride) {
  std::mt19937_64 bits(rows * width);
  const auto uniform = [&] { return (count(static_cast<size_t>(bits() >> 11)) + 0.5) * 0x1p-53; };
  auto x = aligned<float>(width), scale = aligned<float>(1);
  auto codes = aligned<int8_t>(rows * stride);
  for (size_t row = 0; row < rows; ++row) {
    for (float& value : x) {
      value = static_cast<float>(std::sqrt(-2 * std::log(uniform())) * std::cos(2 * std::numbers::pi * uniform()));
    }
    kernels::kernel_table(kernels::Isa::scalar)
        ->quantize_rows({.x = x.data(),
                         .x_stride = width,
                         .codes = codes.data() + row * stride,
                         .codes_stride = stride,
                         .scale = scale.data(),
                         .rows = 1,
                         .width = width});
  }
  return codes;
}

// The operands of a call. Shared, since a std::function is copied; the sizes are the call's.
struct Operands {
  Array<float> a, b, c, d;
  Array<int8_t> codes;
  Array<uint32_t> ids;
};

Problem matmul_int8(Shape s) {
  Problem p;
  p.weights = packed(Layout::i8_n32k4, s.n, s.k);
  const size_t stride = round_up(s.k, 64);
  auto o = std::make_shared<Operands>();
  o->codes = activations(s.m, s.k, stride);
  o->a = numbers(s.m), o->b = numbers(s.n), o->c = aligned<float>(s.m * s.n);
  p.operations = 2 * count(s.m * s.n * s.k);
  p.bytes = count(p.weights.size() + s.m * s.k + 4 * s.m * s.n);
  p.call = [=](const kernels::KernelTable& table, const uint8_t* weights, size_t part, size_t parts) {
    const Range r = channels(s.n, 32, part, parts);
    if (r.empty()) return;
    kernels::MatmulI8 args{};
    args.a = o->codes.data(), args.a_stride = stride, args.a_scale = o->a.data();
    args.w = weights, args.bias = o->b.data();
    args.c = o->c.data(), args.c_stride = s.n;
    args.m = s.m, args.n = s.n, args.k = s.k;
    args.n_begin = r.begin, args.n_end = r.end;
    table.matmul_i8(args);
  };
  return p;
}

template <Layout layout>
Problem matmul_int4(Shape s) {
  Problem p;
  p.weights = packed(layout, s.n, s.k);
  const size_t stride = round_up(s.k, 64);
  auto o = std::make_shared<Operands>();
  o->codes = activations(s.m, s.k, stride);
  o->a = numbers(s.m), o->b = numbers(s.n), o->c = aligned<float>(s.m * s.n);
  p.operations = 2 * count(s.m * s.n * s.k);
  p.bytes = count(p.weights.size() + s.m * s.k + 4 * s.m * s.n);
  p.call = [=](const kernels::KernelTable& table, const uint8_t* weights, size_t part, size_t parts) {
    const Range r = channels(s.n, 32, part, parts);
    if (r.empty()) return;
    std::conditional_t<kernels::has_steps(layout), kernels::MatmulI4Z, kernels::MatmulI4> args{};
    args.a = o->codes.data(), args.a_stride = stride, args.a_scale = o->a.data();
    args.w = weights, args.layout = layout, args.bias = o->b.data();
    args.c = o->c.data(), args.c_stride = s.n;
    args.m = s.m, args.n = s.n, args.k = s.k;
    args.n_begin = r.begin, args.n_end = r.end;
    if constexpr (kernels::has_steps(layout)) {
      table.matmul_i4z(args);
    } else {
      table.matmul_i4(args);
    }
  };
  return p;
}

template <Layout layout>
Problem matmul_float(Shape s) {
  Problem p;
  p.weights = packed(layout, s.n, s.k);
  auto o = std::make_shared<Operands>();
  o->a = numbers(s.m * s.k), o->b = numbers(s.n), o->c = aligned<float>(s.m * s.n);
  p.operations = 2 * count(s.m * s.n * s.k);
  p.bytes = count(p.weights.size() + 4 * s.m * (s.k + s.n));
  p.call = [=](const kernels::KernelTable& table, const uint8_t* weights, size_t part, size_t parts) {
    const Range r = channels(s.n, 16, part, parts);
    if (r.empty()) return;
    kernels::MatmulF32 args{};
    args.a = o->a.data(), args.a_stride = s.k;
    args.w = weights, args.layout = layout, args.bias = o->b.data();
    args.c = o->c.data(), args.c_stride = s.n;
    args.m = s.m, args.n = s.n, args.k = s.k;
    args.n_begin = r.begin, args.n_end = r.end;
    table.matmul_f32(args);
  };
  return p;
}

// Tables of terms by distance as DeBERTa has them, of one head, whose rows lie as far apart as those of all heads.
struct DistanceTables {
  static constexpr size_t kRows = 512;
  DistanceTables(Shape s) : index(2 * s.m - 1), scales(kRows, 0.01f) {
    const size_t width = s.n * s.k;
    std::mt19937_64 bits(width);
    for (size_t i = 0; i < index.size(); ++i) index[i] = static_cast<uint16_t>((i + kRows - s.m % kRows) % kRows);
    for (size_t i = 0; i < kRows * width; ++i) codes.push_back(static_cast<int8_t>(bits() >> 40));
    for (const int8_t code : codes) values.push_back(static_cast<float>(code) * 0.01f);
  }
  std::vector<uint16_t> index;
  std::vector<float> scales, values;
  std::vector<int8_t> codes;
};

// Queries, keys and values side by side in a row, as the fused product writes them.
template <class Args, bool relative, class Call>
Problem attention(Shape s, size_t scratch_bytes, Call call) {
  Problem p;
  const size_t width = s.n * s.k, stride = 3 * width;
  const size_t scratch = round_up(scratch_bytes, 64) / sizeof(float);
  constexpr size_t kMostThreads = 64;
  auto o = std::make_shared<Operands>();
  o->a = numbers(s.m * stride), o->b = aligned<float>(s.m * width), o->c = aligned<float>(kMostThreads * scratch);
  const auto tables = relative ? std::make_shared<const DistanceTables>(s) : nullptr;
  p.operations = (relative ? 8 : 4) * count(s.m * s.m * width);
  p.bytes = 4 * count(s.m * (stride + width));
  p.call = [=](const kernels::KernelTable& table, const uint8_t*, size_t part, size_t parts) {
    const Range heads = split_range(s.n, part, parts);
    for (size_t h = heads.begin; h < heads.end; ++h) {
      const float* q = o->a.data() + h * s.k;
      Args args{};
      args.q = q, args.k = q + width, args.v = q + 2 * width;
      args.q_stride = args.k_stride = args.v_stride = stride;
      args.out = o->b.data() + h * s.k, args.out_stride = width;
      args.q_count = args.kv_count = s.m, args.head_width = s.k, args.scale = 0.17f;
      args.scratch = o->c.data() + part % kMostThreads * scratch;
      call(table, args, tables.get(), h * s.k, width);
    }
  };
  return p;
}

template <bool relative>
Problem attention_f32(Shape s) {
  const size_t bytes = kernels::attention_scratch_floats(s.m, s.k, relative) * sizeof(float);
  return attention<kernels::AttentionF32, relative>(
      s, bytes, [m = s.m](const auto& table, auto& args, const DistanceTables* t, size_t first, size_t stride) {
        kernels::RelativeTerms terms{};
        if (t != nullptr) {
          terms.index = t->index.data() + (m - 1);
          terms.key_table = terms.query_table = t->values.data() + first;
          terms.key_stride = terms.query_stride = stride;
          args.relative = &terms;
        }
        table.attention_f32(args);
      });
}

template <bool relative>
Problem attention_i8(Shape s) {
  return attention<kernels::AttentionI8, relative>(
      s, kernels::attention_i8_scratch_bytes(s.m, s.k, relative),
      [m = s.m](const auto& table, auto& args, const DistanceTables* t, size_t first, size_t stride) {
        kernels::RelativeCodes terms{};
        if (t != nullptr) {
          terms.index = t->index.data() + (m - 1);
          terms.key_table = terms.query_table = t->codes.data() + first;
          terms.key_stride = terms.query_stride = stride;
          terms.key_scale = terms.query_scale = t->scales.data();
          args.relative = &terms;
        }
        table.attention_i8(args);
      });
}

Problem add_norm(Shape s) {
  Problem p;
  auto o = std::make_shared<Operands>();
  o->a = numbers(s.m * s.n), o->b = numbers(s.m * s.n), o->c = numbers(s.n), o->d = aligned<float>(s.m * s.n);
  p.bytes = 12 * count(s.m * s.n);
  p.call = [=](const kernels::KernelTable& table, const uint8_t*, size_t part, size_t parts) {
    const Range r = split_range(s.m, part, parts);
    if (r.empty()) return;
    const size_t at = r.begin * s.n;
    kernels::AddNorm args{};
    args.x = o->a.data() + at, args.residual = o->b.data() + at, args.y = o->d.data() + at;
    args.weight = args.bias = o->c.data();
    args.rows = r.end - r.begin, args.width = s.n;
    args.x_stride = args.residual_stride = args.y_stride = s.n;
    args.eps = 1e-12f;
    table.add_norm(args);
  };
  return p;
}

// In place: what comes out goes in again. Values of 7 to 9 are fixed points of GELU, and tanh approaches 0 slowly, so
// that no call ever meets a denormal, which would cost a hundred times as much.
template <kernels::Act act>
Problem activate(Shape s) {
  Problem p;
  auto o = std::make_shared<Operands>();
  o->a = numbers(s.m * s.n);
  for (float& x : o->a) x += act == kernels::Act::tanh ? 0.0f : 8.0f;
  p.bytes = 8 * count(s.m * s.n);
  p.call = [=](const kernels::KernelTable& table, const uint8_t*, size_t part, size_t parts) {
    const Range r = split_range(s.m, part, parts);
    if (r.empty()) return;
    kernels::Activate args{};
    args.x = o->a.data() + r.begin * s.n;
    args.rows = r.end - r.begin, args.width = args.stride = s.n, args.act = act;
    table.activate(args);
  };
  return p;
}

Problem rms_norm(Shape s) {
  Problem p;
  auto o = std::make_shared<Operands>();
  o->a = numbers(s.m * s.n), o->b = numbers(s.m * s.n), o->c = numbers(s.n), o->d = aligned<float>(s.m * s.n);
  p.bytes = 12 * count(s.m * s.n);
  p.call = [=](const kernels::KernelTable& table, const uint8_t*, size_t part, size_t parts) {
    const Range r = split_range(s.m, part, parts);
    if (r.empty()) return;
    const size_t at = r.begin * s.n;
    kernels::RmsNorm args{};
    args.x = o->a.data() + at, args.residual = o->b.data() + at, args.y = o->d.data() + at;
    args.weight = o->c.data();
    args.rows = r.end - r.begin, args.groups = 1, args.width = args.group_stride = s.n;
    args.x_stride = args.residual_stride = args.sum_stride = args.y_stride = s.n;
    args.eps = 1e-6f;
    table.rms_norm(args);
  };
  return p;
}

// Two operands a row, one result.
template <class Args, auto slot>
Problem two_operands(Shape s, void (*fill)(Args&, const float* x, const float* r)) {
  Problem p;
  auto o = std::make_shared<Operands>();
  o->a = numbers(s.m * s.n), o->b = numbers(s.m * s.n), o->d = aligned<float>(s.m * s.n);
  p.bytes = 12 * count(s.m * s.n);
  p.call = [=](const kernels::KernelTable& table, const uint8_t*, size_t part, size_t parts) {
    const Range rows = split_range(s.m, part, parts);
    if (rows.empty()) return;
    const size_t at = rows.begin * s.n;
    Args args{};
    fill(args, o->a.data() + at, o->b.data() + at);
    if constexpr (requires { args.out; }) {
      args.out = o->d.data() + at;
      args.gate_stride = args.up_stride = args.out_stride = s.n;
    } else {
      args.y = o->d.data() + at;
      args.x_stride = args.r_stride = args.y_stride = s.n;
    }
    args.rows = rows.end - rows.begin, args.width = s.n;
    (table.*slot)(args);
  };
  return p;
}

Problem gate(Shape s) {
  using kernels::Gate;
  return two_operands<Gate, &kernels::KernelTable::gate>(
      s, [](Gate& g, const float* x, const float* r) { g.gate = x, g.up = r, g.act = kernels::Act::silu; });
}

Problem add_scaled(Shape s) {
  using kernels::AddScaled;
  return two_operands<AddScaled, &kernels::KernelTable::add_scaled>(
      s, [](AddScaled& a, const float* x, const float* r) { a.x = x, a.r = r, a.scale = 0.5f; });
}

// In place, of operations that a repetition keeps within ordinary values.
template <class Args, auto slot>
Problem in_place(Shape s, void (*fill)(Args&)) {
  Problem p;
  auto o = std::make_shared<Operands>();
  o->a = numbers(s.m * s.n);
  p.bytes = 8 * count(s.m * s.n);
  p.call = [=](const kernels::KernelTable& table, const uint8_t*, size_t part, size_t parts) {
    const Range r = split_range(s.m, part, parts);
    if (r.empty()) return;
    Args args{};
    fill(args);
    args.x = o->a.data() + r.begin * s.n;
    args.rows = r.end - r.begin, args.width = args.stride = s.n;
    (table.*slot)(args);
  };
  return p;
}

Problem softcap(Shape s) {
  using kernels::Softcap;
  return in_place<Softcap, &kernels::KernelTable::softcap>(s, [](Softcap& c) { c.cap = 50; });
}

Problem softmax_rows(Shape s) {
  using kernels::SoftmaxRows;
  return in_place<SoftmaxRows, &kernels::KernelTable::softmax_rows>(s, [](SoftmaxRows&) {});
}

// N heads, K wide, all of whose elements turn; the angles' values do not matter.
Problem rope(Shape s) {
  Problem p;
  const size_t half = s.k / 2, width = s.n * s.k;
  auto o = std::make_shared<Operands>();
  o->a = numbers(s.m * width), o->ids = aligned<uint32_t>(s.m);
  o->b = aligned<float>(s.m * half), o->c = aligned<float>(s.m * half);
  for (size_t i = 0; i < s.m * half; ++i) o->b[i] = 0.6f, o->c[i] = 0.8f;
  for (size_t i = 0; i < s.m; ++i) o->ids[i] = static_cast<uint32_t>(i);
  p.bytes = 8 * count(s.m * width) + 8 * count(s.m * half);
  p.call = [=](const kernels::KernelTable& table, const uint8_t*, size_t part, size_t parts) {
    const Range r = split_range(s.m, part, parts);
    if (r.empty()) return;
    kernels::Rope args{};
    args.x = o->a.data() + r.begin * width, args.stride = width, args.head_stride = s.k;
    args.cos = o->b.data(), args.sin = o->c.data(), args.table_stride = half;
    args.positions = o->ids.data() + r.begin;
    args.rows = r.end - r.begin, args.heads = s.n, args.rotated = s.k;
    table.rope(args);
  };
  return p;
}

Problem quantize_rows(Shape s) {
  Problem p;
  const size_t stride = round_up(s.n, 64);
  auto o = std::make_shared<Operands>();
  o->a = numbers(s.m * s.n), o->b = aligned<float>(s.m), o->codes = aligned<int8_t>(s.m * stride);
  p.bytes = 5 * count(s.m * s.n);
  p.call = [=](const kernels::KernelTable& table, const uint8_t*, size_t part, size_t parts) {
    const Range r = split_range(s.m, part, parts);
    if (r.empty()) return;
    kernels::QuantizeRows args{};
    args.x = o->a.data() + r.begin * s.n, args.x_stride = s.n;
    args.codes = o->codes.data() + r.begin * stride, args.codes_stride = stride, args.scale = o->b.data() + r.begin;
    args.rows = r.end - r.begin, args.width = s.n;
    table.quantize_rows(args);
  };
  return p;
}

// As between the products of a post-norm layer: in place of the residual, whose values stay those of a norm.
template <bool rms>
Problem norm_quantize(Shape s) {
  Problem p;
  const size_t stride = round_up(s.n, 64);
  auto o = std::make_shared<Operands>();
  o->a = numbers(s.m * s.n), o->b = numbers(s.m * s.n), o->c = numbers(s.n), o->d = aligned<float>(s.m);
  o->codes = aligned<int8_t>(s.m * stride);
  p.bytes = 13 * count(s.m * s.n);
  p.call = [=](const kernels::KernelTable& table, const uint8_t*, size_t part, size_t parts) {
    const Range r = split_range(s.m, part, parts);
    if (r.empty()) return;
    const size_t at = r.begin * s.n;
    kernels::NormQuantize args{};
    args.x = o->a.data() + at, args.residual = o->b.data() + at, args.y = o->b.data() + at;
    args.weight = o->c.data(), args.bias = rms ? nullptr : o->c.data();
    args.codes = o->codes.data() + r.begin * stride, args.codes_stride = stride, args.scale = o->d.data() + r.begin;
    args.rows = r.end - r.begin, args.width = s.n;
    args.x_stride = args.residual_stride = args.y_stride = s.n;
    args.eps = 1e-12f, args.rms = rms;
    table.norm_quantize(args);
  };
  return p;
}

// Rows that lie far apart in a table of the size of a vocabulary.
Problem embed_rows(Shape s) {
  constexpr size_t kVocabulary = 30522;
  Problem p;
  p.weights = packed(Layout::i8_rows, kVocabulary, s.n);
  auto o = std::make_shared<Operands>();
  o->a = aligned<float>(s.m * s.n), o->ids = aligned<uint32_t>(s.m);
  for (size_t i = 0; i < s.m; ++i) o->ids[i] = static_cast<uint32_t>(i * 7919 % kVocabulary);
  p.bytes = 5 * count(s.m * s.n);
  p.call = [=](const kernels::KernelTable& table, const uint8_t* weights, size_t part, size_t parts) {
    const Range r = split_range(s.m, part, parts);
    if (r.empty()) return;
    kernels::EmbedRows args{};
    args.table = weights, args.layout = Layout::i8_rows, args.n = kVocabulary, args.width = s.n;
    args.ids = o->ids.data() + r.begin, args.out = o->a.data() + r.begin * s.n, args.out_stride = s.n;
    args.rows = r.end - r.begin;
    table.embed_rows(args);
  };
  return p;
}

const std::vector<Operation>& list() {
  // The four products of a layer of MiniLM-L6, for a sentence and for a paragraph; BERT-base's largest.
  static const std::vector<Shape> products = {{16, 384, 384},   {16, 1152, 384},  {16, 1536, 384},
                                              {16, 384, 1536},  {16, 3072, 768},  {128, 1152, 384},
                                              {128, 1536, 384}, {128, 384, 1536}, {128, 3072, 768}};
  static const std::vector<Shape> float_products = {{16, 384, 384}, {16, 384, 1536}, {128, 1536, 384}};
  static const std::vector<Shape> texts = {{16, 12, 32}, {128, 12, 32}, {512, 12, 32}, {128, 12, 64}};
  static const std::vector<Shape> relative_texts = {{16, 12, 64}, {128, 12, 64}, {512, 12, 64}};
  static const std::vector<Shape> rows = {{16, 384, 1}, {128, 384, 1}};
  static const std::vector<Shape> wide_rows = {{16, 1536, 1}, {128, 1536, 1}};
  using kernels::Act;
  static const std::vector<Operation> all = {
      {"matmul_int8", "matmul_i8", Arithmetic::int8, true, products, matmul_int8},
      {"matmul_int4_g32", "matmul_i4z", Arithmetic::int8, true, products, matmul_int4<Layout::i4zg32_n32k4>},
      {"matmul_int4_g64", "matmul_i4z", Arithmetic::int8, true, products, matmul_int4<Layout::i4zg64_n32k4>},
      {"matmul_q4_0", "matmul_i4", Arithmetic::int8, true, products, matmul_int4<Layout::i4g32_n32k4>},
      {"matmul_f32", "matmul_f32", Arithmetic::f32, true, float_products, matmul_float<Layout::f32_n16>},
      {"matmul_f16", "matmul_f32", Arithmetic::f32, true, float_products, matmul_float<Layout::f16_n16>},
      {"matmul_bf16", "matmul_f32", Arithmetic::f32, true, float_products, matmul_float<Layout::bf16_n16>},
      {"attention_f32", "attention_f32", Arithmetic::f32, false, texts, attention_f32<false>},
      {"attention_i8", "attention_i8", Arithmetic::int8, false, texts, attention_i8<false>},
      {"attention_f32_relative", "attention_f32", Arithmetic::f32, false, relative_texts, attention_f32<true>},
      {"attention_i8_relative", "attention_i8", Arithmetic::int8, false, relative_texts, attention_i8<true>},
      {"add_norm", "add_norm", Arithmetic::none, false, rows, add_norm},
      {"gelu", "activate", Arithmetic::none, false, wide_rows, activate<Act::gelu_erf>},
      {"gelu_tanh", "activate", Arithmetic::none, false, wide_rows, activate<Act::gelu_tanh>},
      {"tanh", "activate", Arithmetic::none, false, rows, activate<Act::tanh>},
      {"relu", "activate", Arithmetic::none, false, wide_rows, activate<Act::relu>},
      {"rms_norm", "rms_norm", Arithmetic::none, false, rows, rms_norm},
      {"gate_silu", "gate", Arithmetic::none, false, wide_rows, gate},
      {"add_scaled", "add_scaled", Arithmetic::none, false, rows, add_scaled},
      {"softcap", "softcap", Arithmetic::none, false, rows, softcap},
      {"softmax_rows", "softmax_rows", Arithmetic::none, false, {{128, 128, 1}}, softmax_rows},
      {"rope", "rope", Arithmetic::none, false, {{16, 14, 64}, {128, 14, 64}}, rope},
      {"norm_quantize", "norm_quantize", Arithmetic::none, false, rows, norm_quantize<false>},
      {"rms_norm_quantize", "norm_quantize", Arithmetic::none, false, rows, norm_quantize<true>},
      {"quantize_rows",
       "quantize_rows",
       Arithmetic::none,
       false,
       {{16, 384, 1}, {128, 384, 1}, {128, 1536, 1}},
       quantize_rows},
      {"embed_rows", "embed_rows", Arithmetic::none, false, rows, embed_rows},
  };
  return all;
}

}  // namespace

Shape parse_shape(const std::string& text) {
  Shape s{};
  int end = 0;
  // %n: whatever follows the third number makes it another text.
  if (std::sscanf(text.c_str(), "%zux%zux%zu%n", &s.m, &s.n, &s.k, &end) != 3 ||
      static_cast<size_t>(end) != text.size() || s.m == 0 || s.n == 0 || s.k == 0 || s.k > kernels::max_int8_k ||
      s.m > 1u << 20 || s.n > 1u << 20) {
    throw std::runtime_error(text + ": not a shape; one is MxNxK, as 16x384x1536");
  }
  return s;
}

std::span<const Operation> operations() { return list(); }

std::vector<const Operation*> find_operations(const std::string& name) {
  std::vector<const Operation*> found;
  std::string names;
  for (const Operation& operation : list()) {
    names += std::string(" ") + operation.name;
    if (name == operation.name) return {&operation};
    if (name == operation.kernel) found.push_back(&operation);
  }
  if (found.empty()) throw std::runtime_error(name + ": no such operation; operations are" + names);
  return found;
}

}  // namespace onepass::bench
