#include "formats/onepass/verify.h"

#include <bit>

#include "engine/core/sha256.h"

namespace onepass::format {

using kernels::Layout;

namespace {

// The first of n elements that `bad` accepts, or n. Whole blocks are tested without a branch an element, so
// that the compiler vectorises the loop.
template <class T, class Bad>
size_t find_first(const T* data, size_t n, Bad bad) noexcept {
  constexpr size_t block = 2048;
  for (size_t begin = 0; begin < n; begin += block) {
    const size_t end = n - begin < block ? n : begin + block;
    unsigned any = 0;
    for (size_t i = begin; i < end; ++i) any |= static_cast<unsigned>(bad(data[i]));
    if (any == 0) continue;
    for (size_t i = begin; i < end; ++i) {
      if (bad(data[i])) return i;
    }
  }
  return n;
}

constexpr auto f32_not_finite = [](uint32_t bits) { return (bits & 0x7F800000u) == 0x7F800000u; };
constexpr auto f16_not_finite = [](uint16_t bits) { return (bits & 0x7C00u) == 0x7C00u; };
constexpr auto bf16_not_finite = [](uint16_t bits) { return (bits & 0x7F80u) == 0x7F80u; };
// A finite float above 0 has bits 1 to 0x7F7FFFFF.
constexpr auto not_positive = [](uint32_t bits) { return bits - 1u >= 0x7F7FFFFFu; };

Error value_error(const TensorView& tensor, Code code, uint64_t byte, const char* why) noexcept {
  return make_error(code, tensor.offset + byte, tensor.name, "%s: convert the model again", why);
}

// The channels beyond N of the last panel of 16 are zero.
template <class T>
Status check_panel16(const TensorView& tensor, const T* data) noexcept {
  const size_t n = static_cast<size_t>(tensor.n), k = static_cast<size_t>(tensor.k);
  const size_t used = n % 16;
  if (used == 0) return {};
  const size_t panel = n / 16 * 16 * k;
  for (size_t i = 0; i < k; ++i) {
    for (size_t lane = used; lane < 16; ++lane) {
      const size_t at = panel + i * 16 + lane;
      if (data[at] != 0) {
        return value_error(tensor, Code::nonzero_padding, at * sizeof(T), "the padding of the tensor is not zero");
      }
    }
  }
  return {};
}

Status check_f32(const TensorView& tensor) noexcept {
  const auto* data = static_cast<const uint32_t*>(tensor.data);
  const size_t count = static_cast<size_t>(tensor.bytes / 4);
  const size_t bad = find_first(data, count, f32_not_finite);
  if (bad != count) return value_error(tensor, Code::non_finite, bad * 4, "a weight is not finite");
  return tensor.layout == Layout::f32_n16 ? check_panel16(tensor, data) : Status();
}

Status check_f16(const TensorView& tensor) noexcept {
  const auto* data = static_cast<const uint16_t*>(tensor.data);
  const size_t count = static_cast<size_t>(tensor.bytes / 2);
  const size_t bad = find_first(data, count, f16_not_finite);
  if (bad != count) return value_error(tensor, Code::non_finite, bad * 2, "a weight is not finite");
  return tensor.layout == Layout::f16_n16 ? check_panel16(tensor, data) : Status();
}

Status check_bf16(const TensorView& tensor) noexcept {
  const auto* data = static_cast<const uint16_t*>(tensor.data);
  const size_t count = static_cast<size_t>(tensor.bytes / 2);
  const size_t bad = find_first(data, count, bf16_not_finite);
  if (bad != count) return value_error(tensor, Code::non_finite, bad * 2, "a weight is not finite");
  return tensor.layout == Layout::bf16_n16 ? check_panel16(tensor, data) : Status();
}

Status check_scales(const TensorView& tensor) noexcept {
  const size_t n = static_cast<size_t>(tensor.n), k = static_cast<size_t>(tensor.k);
  const size_t offset = kernels::scale_offset(tensor.layout, n, k);
  const size_t count = kernels::scale_count(tensor.layout, n);
  const auto* scales = static_cast<const uint32_t*>(tensor.data) + offset / 4;
  const size_t bad = find_first(scales, count, not_positive);
  if (bad != count) {
    const bool finite = !f32_not_finite(scales[bad]);
    return value_error(tensor, finite ? Code::bad_value : Code::non_finite, offset + bad * 4,
                       finite ? "a scale is not above 0" : "a scale is not finite");
  }
  for (size_t i = n; i < count; ++i) {
    if (scales[i] != std::bit_cast<uint32_t>(1.0f)) {
      return value_error(tensor, Code::nonzero_padding, offset + i * 4, "a scale in the padding is not 1");
    }
  }
  return {};
}

Status check_i8_rows(const TensorView& tensor) noexcept {
  const auto* codes = static_cast<const uint8_t*>(tensor.data);
  const size_t count = static_cast<size_t>(tensor.n * tensor.k);
  const size_t bad = find_first(codes, count, [](uint8_t code) { return code == 0x80; });
  if (bad != count) return value_error(tensor, Code::bad_value, bad, "a code is -128");
  const size_t scales =
      kernels::scale_offset(tensor.layout, static_cast<size_t>(tensor.n), static_cast<size_t>(tensor.k));
  for (size_t i = count; i < scales; ++i) {
    if (codes[i] != 0) return value_error(tensor, Code::nonzero_padding, i, "the padding of the tensor is not zero");
  }
  return check_scales(tensor);
}

Status check_i8_n32k4(const TensorView& tensor) noexcept {
  const auto* codes = static_cast<const uint8_t*>(tensor.data);
  const size_t n = static_cast<size_t>(tensor.n), k = static_cast<size_t>(tensor.k);
  const size_t count = kernels::scale_offset(tensor.layout, n, k);
  const size_t bad = find_first(codes, count, [](uint8_t code) { return code == 0; });
  if (bad != count) return value_error(tensor, Code::bad_value, bad, "a code is -128");
  const size_t groups = kernels::round_up(k, 4) / 4, panels = kernels::round_up(n, 32) / 32;
  const auto padding_error = [&](size_t at) {
    return value_error(tensor, Code::nonzero_padding, at, "a code in the padding of the tensor is not 0");
  };
  if (k % 4 != 0) {
    for (size_t panel = 0; panel < panels; ++panel) {
      const size_t group = (panel * groups + groups - 1) * 128;
      for (size_t i = 0; i < 128; ++i) {
        if (i % 4 >= k % 4 && codes[group + i] != 128) return padding_error(group + i);
      }
    }
  }
  if (n % 32 != 0) {
    for (size_t group = (panels - 1) * groups; group < panels * groups; ++group) {
      for (size_t i = n % 32 * 4; i < 128; ++i) {
        if (codes[group * 128 + i] != 128) return padding_error(group * 128 + i);
      }
    }
  }
  return check_scales(tensor);
}

// The padding of an int4 row: nibbles of value 0 after the last input.
Status check_i4_rows(const TensorView& tensor) noexcept {
  const auto* bytes = static_cast<const uint8_t*>(tensor.data);
  const size_t n = static_cast<size_t>(tensor.n), k = static_cast<size_t>(tensor.k);
  const size_t row_bytes = kernels::i4_row_bytes(k), groups = kernels::i4_groups(tensor.layout, k);
  const size_t last = (groups - 1) * 16, used = k - (groups - 1) * 32;
  for (size_t row = 0; row < n; ++row) {
    const size_t begin = row * row_bytes;
    const auto* scales = reinterpret_cast<const uint16_t*>(bytes + begin + groups * 16);
    const size_t bad = find_first(scales, groups, f16_not_finite);
    if (bad != groups) {
      return value_error(tensor, Code::non_finite, begin + groups * 16 + bad * 2, "a scale is not finite");
    }
    for (size_t i = used; i < 32; ++i) {
      const size_t at = begin + last + i % 16;
      if ((bytes[at] >> (i / 16 * 4) & 15) != 8) {
        return value_error(tensor, Code::nonzero_padding, at, "a code in the padding of the tensor is not 0");
      }
    }
  }
  return {};
}

// The padding of one pair of groups of which `channels` of 32 channels and `inputs` inputs exist.
Status check_i4_padding(const TensorView& tensor, size_t begin, size_t channels, size_t inputs) noexcept {
  const size_t group = kernels::group_size(tensor.layout);
  const bool minimum = kernels::has_minimum(tensor.layout);
  const auto* bytes = static_cast<const uint8_t*>(tensor.data) + begin;
  const unsigned zero = minimum ? 0 : 8;
  for (size_t at = 0; at < group * 32; ++at) {
    const bool channel = at % 128 / 4 < channels;
    const size_t input = at / 128 * 4 + at % 4;
    if ((!(channel && input < inputs) && (bytes[at] & 15u) != zero) ||
        (!(channel && group + input < inputs) && bytes[at] >> 4u != zero)) {
      return value_error(tensor, Code::nonzero_padding, begin + at, "a code in the padding of the tensor is not 0");
    }
  }
  const auto* halves = reinterpret_cast<const uint16_t*>(bytes + group * 32);
  for (size_t i = 0; i < (minimum ? 128 : 64); ++i) {
    if (!(i % 32 < channels && i / 32 % 2 * group < inputs) && halves[i] != 0) {
      return value_error(tensor, Code::nonzero_padding, begin + group * 32 + i * 2,
                         "a scale or minimum in the padding is not 0");
    }
  }
  return {};
}

Status check_i4_n32k4(const TensorView& tensor) noexcept {
  const auto* bytes = static_cast<const uint8_t*>(tensor.data);
  const size_t n = static_cast<size_t>(tensor.n), k = static_cast<size_t>(tensor.k);
  const size_t group = kernels::group_size(tensor.layout), pair_bytes = kernels::i4_pair_bytes(tensor.layout);
  const size_t pairs = kernels::i4_panel_bytes(tensor.layout, k) / pair_bytes;
  const size_t count = kernels::has_minimum(tensor.layout) ? 128 : 64;
  for (size_t first = 0; first < n; first += 32) {
    for (size_t pair = 0; pair < pairs; ++pair) {
      const size_t begin = (first / 32 * pairs + pair) * pair_bytes, halves = begin + group * 32;
      const size_t bad = find_first(reinterpret_cast<const uint16_t*>(bytes + halves), count, f16_not_finite);
      if (bad != count) {
        return value_error(tensor, Code::non_finite, halves + bad * 2, "a scale or minimum is not finite");
      }
      const size_t channels = n - first, inputs = k - pair * 2 * group;
      if (channels < 32 || inputs < 2 * group) ONEPASS_TRY(check_i4_padding(tensor, begin, channels, inputs));
    }
  }
  return {};
}

// Int4 of whole steps: nibbles and factors of what does not exist are 0, steps do not need the kernels' bound, and bit
// 7 of the factors, which the kernels ignore, is 0.
Status check_i4z_n32k4(const TensorView& tensor) noexcept {
  const auto* bytes = static_cast<const uint8_t*>(tensor.data);
  const size_t n = static_cast<size_t>(tensor.n), k = static_cast<size_t>(tensor.k);
  const size_t group = kernels::group_size(tensor.layout), pair_bytes = kernels::i4_pair_bytes(tensor.layout);
  const size_t pairs = kernels::i4_panel_bytes(tensor.layout, k) / pair_bytes;
  for (size_t first = 0; first < n; first += 32) {
    for (size_t pair = 0; pair < pairs; ++pair) {
      const size_t begin = (first / 32 * pairs + pair) * pair_bytes, factors = begin + group * 32;
      const size_t bad = find_first(bytes + factors, 64,
                                    [](uint8_t byte) { return byte >= 0x80 || (byte & 15) > kernels::largest_step; });
      if (bad != 64) return value_error(tensor, Code::bad_value, factors + bad, "a step is above 11");
      const size_t channels = n - first, inputs = k - pair * 2 * group;
      if (channels >= 32 && inputs >= 2 * group) continue;
      for (size_t at = 0; at < group * 32; ++at) {
        const bool channel = at % 128 / 4 < channels;
        const size_t input = at / 128 * 4 + at % 4;
        if ((!(channel && input < inputs) && (bytes[begin + at] & 15u) != 0) ||
            (!(channel && group + input < inputs) && bytes[begin + at] >> 4u != 0)) {
          return value_error(tensor, Code::nonzero_padding, begin + at, "a code in the padding of the tensor is not 0");
        }
      }
      for (size_t i = 0; i < 64; ++i) {
        if (!(i % 32 < channels && i / 32 * group < inputs) && bytes[factors + i] != 0) {
          return value_error(tensor, Code::nonzero_padding, factors + i, "a step in the padding is not 0");
        }
      }
    }
  }
  return check_scales(tensor);
}

Status check_hash(const Digest& actual, const Digest& declared, uint64_t offset, std::string_view where) noexcept {
  if (actual == declared) return {};
  return make_error(Code::hash_mismatch, offset, where, "the bytes do not match their SHA-256: fetch the file again");
}

}  // namespace

Digest root_hash_of(std::span<const uint8_t> head) noexcept {
  Sha256 hash;
  hash.update(head.first(root_hash_offset));
  hash.update(head.subspan(header_bytes, table_bytes - header_bytes));
  return hash.finish();
}

Digest weights_hash_of(std::span<const TensorView> tensors) noexcept {
  Sha256 hash;
  for (const TensorView& tensor : tensors) hash.update(tensor.hash);
  return hash.finish();
}

Status check_tensor_values(const TensorView& tensor) noexcept {
  switch (tensor.layout) {
    case Layout::f32_rows:
    case Layout::f32_n16:
      return check_f32(tensor);
    case Layout::f16_rows:
    case Layout::f16_n16:
      return check_f16(tensor);
    case Layout::bf16_rows:
    case Layout::bf16_n16:
      return check_bf16(tensor);
    case Layout::i8_rows:
      return check_i8_rows(tensor);
    case Layout::i8_n32k4:
      return check_i8_n32k4(tensor);
    case Layout::i4g32_rows:
      return check_i4_rows(tensor);
    case Layout::i4g32_n32k4:
    case Layout::i4g64_n32k4:
    case Layout::i4mg32_n32k4:
    case Layout::i4mg64_n32k4:
      return check_i4_n32k4(tensor);
    case Layout::i4zg32_n32k4:
    case Layout::i4zg64_n32k4:
      return check_i4z_n32k4(tensor);
    case Layout::none:
      break;
  }
  return make_error(Code::unknown_value, tensor.offset, tensor.name, "unknown layout");
}

Status verify_contents(std::span<const uint8_t> head, std::span<const uint8_t> file, const Contents& contents,
                       const MappedFile* mapping) noexcept {
  const SectionTable& table = contents.table;
  ONEPASS_TRY(check_hash(root_hash_of(head), table.root_hash, root_hash_offset, "header"));
  for (size_t i = 0; i + 1 < section_count; ++i) {
    const Section& section = table.at[i];
    const auto bytes = head.subspan(static_cast<size_t>(section.offset), static_cast<size_t>(section.size));
    ONEPASS_TRY(check_hash(sha256(bytes), section.hash, section.offset, sections[i].name));
  }
  const Section& weights = table[SectionId::weights];
  ONEPASS_TRY(check_hash(weights_hash_of(contents.tensors.span()), weights.hash, weights.offset, "weights"));
  uint64_t end = weights.offset;
  for (const TensorView& tensor : contents.tensors) {
    if (const uint64_t bad = first_nonzero(file, end, tensor.offset); bad != tensor.offset) {
      return make_error(Code::nonzero_padding, bad, tensor.name, "the gap before the tensor is not zero");
    }
    const auto bytes = file.subspan(static_cast<size_t>(tensor.offset), static_cast<size_t>(tensor.bytes));
    ONEPASS_TRY(check_hash(sha256(bytes), tensor.hash, tensor.offset, tensor.name));
    ONEPASS_TRY(check_tensor_values(tensor));
    if (mapping != nullptr && slot_specs()[static_cast<size_t>(tensor.slot)].role == Role::table) {
      mapping->release(bytes);
    }
    end = tensor.offset + tensor.bytes;
  }
  return {};
}

}  // namespace onepass::format
