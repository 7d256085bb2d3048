#include "tools/convert/stored.h"

#include <algorithm>

#include "kernels/pack/pack.h"

namespace onepass::convert {

namespace {

using kernels::Layout;

// The one type of all parts.
std::optional<GgmlType> common_type(const WeightFile& weights, std::span<const std::string> parts) {
  std::optional<GgmlType> common;
  for (const std::string& part : parts) {
    const auto type = weights.stored_type(part);
    if (!type || (common && *common != *type)) return std::nullopt;
    common = type;
  }
  return common;
}

bool every(const WeightFile& weights, std::span<const std::string> parts, std::initializer_list<GgmlType> types) {
  return std::all_of(parts.begin(), parts.end(), [&](const std::string& part) {
    const auto type = weights.stored_type(part);
    return type && std::find(types.begin(), types.end(), *type) != types.end();
  });
}

bool is_float(const WeightFile& weights, std::span<const std::string> parts) {
  return every(weights, parts, {GgmlType::f32, GgmlType::f16, GgmlType::bf16});
}

}  // namespace

std::optional<Layout> int4_layout_as_stored(Role role, uint32_t group, const WeightFile& weights,
                                            std::span<const std::string> parts) {
  if (group != 32 || parts.empty()) return std::nullopt;
  if (every(weights, parts, {GgmlType::q4_0})) {
    return role == Role::table ? Layout::i4g32_rows : Layout::i4g32_n32k4;
  }
  if (role == Role::matrix && every(weights, parts, {GgmlType::q4_1, GgmlType::q4_k})) return Layout::i4mg32_n32k4;
  return std::nullopt;
}

Layout layout_as_stored(const SlotSpec& spec, const WeightFile& weights, std::span<const std::string> parts) {
  if (spec.role == Role::vector || spec.role == Role::rows) return Layout::f32_rows;
  const bool table = spec.role == Role::table;
  const auto type = common_type(weights, parts);
  if (type == GgmlType::f16) return table ? Layout::f16_rows : Layout::f16_n16;
  if (type == GgmlType::bf16) return table ? Layout::bf16_rows : Layout::bf16_n16;
  if (spec.scope == Scope::head || is_float(weights, parts)) return table ? Layout::f32_rows : Layout::f32_n16;
  if (const auto int4 = int4_layout_as_stored(spec.role, 32, weights, parts)) return *int4;
  return table ? Layout::i8_rows : Layout::i8_n32k4;
}

Fate fate_of(Layout layout, const WeightFile& weights, std::span<const std::string> parts) {
  switch (layout) {
    case Layout::f32_rows:
    case Layout::f32_n16:
      return Fate::exact;
    case Layout::f16_rows:
    case Layout::f16_n16:
      return every(weights, parts, {GgmlType::f16}) ? Fate::exact : Fate::changed;
    case Layout::bf16_rows:
    case Layout::bf16_n16:
      return every(weights, parts, {GgmlType::bf16}) ? Fate::exact : Fate::changed;
    case Layout::i4g32_rows:
    case Layout::i4g32_n32k4:
      return every(weights, parts, {GgmlType::q4_0}) ? Fate::exact : Fate::changed;
    case Layout::i4mg32_n32k4:
      if (every(weights, parts, {GgmlType::q4_1})) return Fate::exact;
      return every(weights, parts, {GgmlType::q4_1, GgmlType::q4_k}) ? Fate::rounded : Fate::changed;
    default:
      return Fate::changed;
  }
}

std::string describe_fate(Layout layout, const WeightFile& weights, std::span<const std::string> parts) {
  std::vector<std::string> types;
  for (const std::string& part : parts) {
    const std::string name = weights.stored_name(part);
    if (std::find(types.begin(), types.end(), name) == types.end()) types.push_back(name);
  }
  std::string text;
  for (const std::string& type : types) text += (text.empty() ? "" : " and ") + type;
  switch (fate_of(layout, weights, parts)) {
    case Fate::exact:
      return text + ", without loss";
    case Fate::rounded:
      return text + ", codes without loss, scales rounded to f16";
    case Fate::changed:
      break;
  }
  const kernels::Dtype dtype = kernels::dtype_of(layout);
  if (dtype == kernels::Dtype::f16 || dtype == kernels::Dtype::bf16) return text + ", rounded";
  return text + (is_float(weights, parts) ? ", quantised" : ", quantised again");
}

Status pack_stored(Layout layout, const WeightFile& weights, std::span<const std::string> parts, uint64_t n, uint64_t k,
                   std::span<uint8_t> out) {
  Int4Codes all;
  for (const std::string& part : parts) {
    ONEPASS_TRY_ASSIGN(codes, weights.read_int4(part));
    all.nibbles.insert(all.nibbles.end(), codes.nibbles.begin(), codes.nibbles.end());
    all.scales.insert(all.scales.end(), codes.scales.begin(), codes.scales.end());
    all.minima.insert(all.minima.end(), codes.minima.begin(), codes.minima.end());
  }
  const kernels::I4Weights view{all.nibbles.data(), all.scales.data(),
                                kernels::has_minimum(layout) ? all.minima.data() : nullptr};
  if (all.nibbles.size() == n * k && kernels::pack_i4(layout, view, n, k, out.data()).ok()) return {};
  return make_error(Code::bad_shape, Error::no_offset, parts[0], "the groups of 4 bits do not fill %s",
                    kernels::layout_name(layout));
}

}  // namespace onepass::convert
