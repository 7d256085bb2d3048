// The tensors section: the directory must be exactly the tensors of the config and the heads, in their order.
#include <cinttypes>
#include <cstring>

#include "engine/core/cursor.h"
#include "engine/core/utf8.h"
#include "formats/onepass/contents.h"

namespace onepass::format {

using kernels::Layout;

// Rule W: an integer product sums at most max_int8_k inputs. No config can ask for more.
static_assert(max_width <= kernels::max_int8_k);

namespace {

// The fields after the name, skipped.
bool skip_entry(Cursor& cursor) noexcept {
  cursor.bytes(8);  // dtype, layout
  const uint32_t rank = cursor.u32();
  cursor.bytes(uint64_t{rank} * 8 + 8 + 8 + 32);
  return cursor.ok();
}

bool directory_has(Cursor cursor, std::string_view name) noexcept {
  while (cursor.ok() && cursor.remaining() != 0) {
    if (cursor.string() == name && cursor.ok()) return true;
    if (!skip_entry(cursor)) return false;
  }
  return false;
}

bool model_has(const Contents& contents, std::span<const uint32_t> classes, std::string_view name) noexcept {
  bool found = false;
  const Status ignored = for_each_tensor(contents.config, classes, [&](const TensorNeed& need) noexcept -> Status {
    found = found || name == need.name;
    return {};
  });
  return found && ignored.ok();
}

// Why the entry called `name` at `at` is not the tensor `wanted`. `entries` is at the first entry.
Error name_error(const SectionBytes& section, const Contents& contents, std::span<const uint32_t> classes,
                 Cursor entries, uint64_t at, std::string_view name, const char* wanted) noexcept {
  if (!is_valid_utf8(name)) return make_error(Code::bad_utf8, at, section.name, "the name of a tensor is not UTF-8");
  if (!is_valid_name(name)) {
    return make_error(Code::bad_name, at, section.name, "the name of a tensor must be 1 to 255 bytes without NUL");
  }
  for (const TensorView& before : contents.tensors) {
    if (before.name == name) return make_error(Code::duplicate_name, at, name, "the tensor is stored twice");
  }
  if (!model_has(contents, classes, name)) {
    return make_error(Code::extra_tensor, at, name, "the model described by the config has no such tensor");
  }
  if (!directory_has(entries, wanted)) {
    return make_error(Code::missing_tensor, at, wanted, "the file lacks this tensor: convert the model again");
  }
  return make_error(Code::not_canonical, at, name, "the tensors are out of order: %s comes here", wanted);
}

Status parse_shape(Cursor& cursor, const SectionBytes& section, const TensorNeed& need, TensorView& tensor) noexcept {
  const uint64_t at = cursor.offset();
  const uint32_t rank = cursor.u32();
  if (!cursor.ok()) return section_truncated(section, at);
  const uint32_t wanted = need.spec->role == Role::vector ? 1 : 2;
  if (rank != wanted) {
    return make_error(Code::bad_shape, at, need.name, "the tensor has %" PRIu32 " dimensions, not %" PRIu32, rank,
                      wanted);
  }
  tensor.n = rank == 2 ? cursor.u64() : 1;
  tensor.k = cursor.u64();
  if (!cursor.ok()) return section_truncated(section, at);
  if (tensor.n != need.n || tensor.k != need.k) {
    return make_error(Code::bad_shape, at + 4, need.name,
                      "the tensor is [%" PRIu64 ", %" PRIu64 "], the config needs [%" PRIu64 ", %" PRIu64 "]", tensor.n,
                      tensor.k, need.n, need.k);
  }
  uint64_t elements = 0;
  if (!checked_mul(need.n, need.k, &elements) || elements > max_tensor_elements) {
    return make_error(Code::limit_exceeded, at + 4, need.name, "the tensor has more than 2^36 elements");
  }
  // Where size_t is narrow, packed_bytes must not overflow: padding adds at most 31 rows and 127 columns.
  if (sizeof(size_t) < 8 && (need.n + 31) * (need.k + 127) > SIZE_MAX / 16) {
    return make_error(Code::limit_exceeded, at + 4, need.name, "the tensor does not fit into the address space");
  }
  return {};
}

Status parse_entry(Cursor& cursor, const SectionBytes& section, const TensorNeed& need, AttentionType attention,
                   const Section& weights, uint64_t expected, TensorView& tensor) noexcept {
  const uint64_t at = cursor.offset();
  const uint32_t dtype = cursor.u32(), layout = cursor.u32();
  if (!cursor.ok()) return section_truncated(section, at);
  if (dtype < 1 || dtype > static_cast<uint32_t>(kernels::Dtype::bf16)) {
    return make_error(Code::unknown_value, at, need.name, "unknown element type %" PRIu32, dtype);
  }
  if (layout < 1 || layout >= kernels::layout_count) {
    return make_error(Code::unknown_value, at + 4, need.name, "unknown layout %" PRIu32, layout);
  }
  tensor.layout = static_cast<Layout>(layout);
  if (dtype != static_cast<uint32_t>(kernels::dtype_of(tensor.layout))) {
    return make_error(Code::bad_dtype, at, need.name, "the element type is not that of the layout");
  }
  if (!layout_fits(need.spec->role, tensor.layout, attention)) {
    return make_error(Code::bad_dtype, at + 4, need.name, "the layout does not fit the tensor's use");
  }
  ONEPASS_TRY(parse_shape(cursor, section, need, tensor));
  tensor.slot = need.spec->slot;
  tensor.index = need.index;

  const uint64_t place = cursor.offset();
  const uint64_t offset = cursor.u64();
  tensor.bytes = cursor.u64();
  const auto hash = cursor.bytes(tensor.hash.size());
  if (!cursor.ok()) return section_truncated(section, place);
  std::memcpy(tensor.hash.data(), hash.data(), hash.size());
  const uint64_t size =
      kernels::packed_bytes(tensor.layout, static_cast<size_t>(tensor.n), static_cast<size_t>(tensor.k));
  if (tensor.bytes != size) {
    return make_error(Code::size_mismatch, place + 8, need.name,
                      "the tensor has %" PRIu64 " bytes, its shape and layout need %" PRIu64, tensor.bytes, size);
  }
  if (offset % tensor_alignment != 0) {
    return make_error(Code::misaligned, place, need.name, "the tensor must start at a multiple of 64");
  }
  if (offset != expected) {
    return make_error(Code::not_canonical, place, need.name, "the tensor must start at %" PRIu64 " of the weights",
                      expected);
  }
  uint64_t end = 0;
  if (!checked_add(offset, tensor.bytes, &end) || end > weights.size) {
    return make_error(Code::truncated, place, need.name, "the weights end inside the tensor");
  }
  tensor.offset = weights.offset + offset;
  return {};
}

}  // namespace

Status parse_directory(const SectionBytes& section, Contents& out) noexcept {
  uint32_t classes[max_model_heads];
  for (size_t h = 0; h < out.heads.size(); ++h) classes[h] = static_cast<uint32_t>(out.heads[h].labels.size());
  const std::span<const uint32_t> all_classes(classes, out.heads.size());
  const Section& weights = out.table[SectionId::weights];

  Cursor cursor(section.bytes, section.offset);
  const uint32_t count = cursor.u32();
  if (!cursor.ok()) return section_truncated(section, section.offset);
  if (uint64_t{count} * min_tensor_bytes > cursor.remaining()) return section_truncated(section, section.offset);
  if (!out.tensors.reserve(count)) return no_memory(section.name);
  const Cursor entries = cursor;
  uint64_t end = 0;  // of the tensors so far, in the weights
  ONEPASS_TRY(for_each_tensor(out.config, all_classes, [&](const TensorNeed& need) noexcept -> Status {
    const uint64_t at = cursor.offset();
    if (out.tensors.size() == count) {
      return make_error(Code::missing_tensor, at, need.name, "the file lacks this tensor: convert the model again");
    }
    TensorView tensor;
    tensor.name = cursor.string();
    if (!cursor.ok()) return section_truncated(section, at);
    if (tensor.name != need.name) {
      return name_error(section, out, all_classes, entries, at, tensor.name, need.name);
    }
    uint64_t expected = 0;
    if (!checked_align(end, tensor_alignment, &expected)) {
      return make_error(Code::overflow, at, need.name, "the tensor's place overflows");
    }
    ONEPASS_TRY(parse_entry(cursor, section, need, out.config.attention, weights, expected, tensor));
    end = expected + tensor.bytes;
    if (!out.tensors.push_back(tensor)) return no_memory(section.name);
    return {};
  }));
  if (out.tensors.size() != count) {
    const uint64_t at = cursor.offset();
    const std::string_view name = cursor.string();
    if (!cursor.ok()) return section_truncated(section, at);
    return name_error(section, out, all_classes, entries, at, name, "the end of the directory");
  }
  if (cursor.remaining() != 0) {
    return make_error(Code::trailing_bytes, cursor.offset(), section.name, "the section goes on after its last value");
  }
  if (end != weights.size) {
    return make_error(Code::trailing_bytes, weights.offset + end, "weights",
                      "the section goes on after its last tensor");
  }
  return {};
}

}  // namespace onepass::format
