#include "formats/safetensors/safetensors.h"

#include <algorithm>
#include <bit>
#include <cinttypes>
#include <cmath>
#include <limits>
#include <tuple>

#include "engine/core/cursor.h"
#include "engine/core/utf8.h"
#include "formats/f16.h"
#include "formats/json/json.h"

namespace onepass {

namespace {

constexpr uint64_t kLengthField = 8;
// Object, dtype, shape with its dims, data_offsets with its two: and as many strings of metadata.
constexpr size_t kMaxHeaderValues = size_t{kMaxCheckpointTensors} * (6 + kMaxTensorRank) * 2;

struct TypeRow {
  const char* name;
  SafetensorsType type;
  size_t size;
};
constexpr TypeRow kTypes[] = {
    {"F64", SafetensorsType::f64, 8},      {"F32", SafetensorsType::f32, 4}, {"F16", SafetensorsType::f16, 2},
    {"BF16", SafetensorsType::bf16, 2},    {"I64", SafetensorsType::i64, 8}, {"I32", SafetensorsType::i32, 4},
    {"I16", SafetensorsType::i16, 2},      {"I8", SafetensorsType::i8, 1},   {"U8", SafetensorsType::u8, 1},
    {"BOOL", SafetensorsType::boolean, 1},
};

const TypeRow& row_of(SafetensorsType type) {
  return *std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeRow& row) { return row.type == type; });
}

Result<SafetensorsType> read_dtype(const JsonNode& node) {
  ONEPASS_TRY_ASSIGN(name, node.string("dtype"));
  for (const TypeRow& row : kTypes) {
    if (name == row.name) return SafetensorsType{row.type};
  }
  return make_error(Code::bad_dtype, Error::no_offset, node.path_of("dtype"),
                    "unknown dtype \"%.40s\"; save the checkpoint as F32, F16 or BF16", name.c_str());
}

Status read_shape(const JsonNode& node, SafetensorsEntry& entry) {
  ONEPASS_TRY_ASSIGN(shape, node.array("shape"));
  if (shape.value().size() > kMaxTensorRank) {
    return make_error(Code::bad_shape, Error::no_offset, shape.path(), "rank %zu; at most %zu is read",
                      shape.value().size(), kMaxTensorRank);
  }
  ONEPASS_TRY_ASSIGN(dims, shape.elements());
  uint64_t product = 1;  // of the dims above zero, so that a zero hides no absurd shape
  bool empty = false;
  for (const JsonNode& dim : dims) {
    ONEPASS_TRY_ASSIGN(size, dim.as_u64(0, kMaxTensorDim));
    entry.shape.push_back(size);
    if (size == 0) empty = true;
    if (size != 0 && (!checked_mul(product, size, &product) || product > kMaxTensorElements)) {
      return make_error(Code::limit_exceeded, Error::no_offset, shape.path(), "more than 2^36 elements");
    }
  }
  entry.elements = empty ? 0 : product;
  return {};
}

Status read_entry(const JsonNode& node, uint64_t data_begin, uint64_t data_size, SafetensorsEntry& entry) {
  ONEPASS_TRY(node.only({"dtype", "shape", "data_offsets"}));
  ONEPASS_TRY_ASSIGN(dtype, read_dtype(node));
  entry.dtype = dtype;
  ONEPASS_TRY(read_shape(node, entry));
  ONEPASS_TRY_ASSIGN(offsets, node.array("data_offsets"));
  if (offsets.value().size() != 2) {
    return make_error(Code::bad_value, Error::no_offset, offsets.path(), "must hold 2 offsets, not %zu",
                      offsets.value().size());
  }
  ONEPASS_TRY_ASSIGN(ends, offsets.elements());
  ONEPASS_TRY_ASSIGN(begin, ends[0].as_u64(0, UINT64_MAX));
  ONEPASS_TRY_ASSIGN(end, ends[1].as_u64(0, UINT64_MAX));
  if (begin > end) {
    return make_error(Code::bad_value, Error::no_offset, offsets.path(), "ends before it begins");
  }
  if (end > data_size) {
    return make_error(Code::truncated, Error::no_offset, offsets.path(),
                      "ends at byte %" PRIu64 " of the data, which has %" PRIu64 "; download the file again", end,
                      data_size);
  }
  // elements <= 2^36, so the product cannot overflow.
  if (end - begin != entry.elements * size_of(entry.dtype)) {
    return make_error(Code::size_mismatch, data_begin + begin, offsets.path(),
                      "%" PRIu64 " bytes, but shape and dtype need %" PRIu64, end - begin,
                      entry.elements * size_of(entry.dtype));
  }
  entry.begin = data_begin + begin;
  entry.end = data_begin + end;
  return {};
}

Status read_metadata(const JsonNode& node, std::map<std::string, std::string>& metadata) {
  ONEPASS_TRY(node.expect_object());
  for (const auto& [key, value] : node.value().items()) {
    if (!value.is_string()) {
      return make_error(Code::bad_type, Error::no_offset, node.path_of(key), "must be a string, not %s",
                        value.type_name());
    }
    metadata.emplace(key, value.get_ref<const std::string&>());
  }
  return {};
}

Result<SafetensorsHeader> read_header(std::span<const uint8_t> prefix, uint64_t file_size, std::string_view where) {
  ONEPASS_TRY_ASSIGN(prefix_size, safetensors_prefix_size(prefix, file_size, where));
  if (prefix.size() < prefix_size) {
    return make_error(Code::truncated, prefix.size(), where, "the file ends inside its header; download it again");
  }
  std::string_view text(reinterpret_cast<const char*>(prefix.data()) + kLengthField,
                        static_cast<size_t>(prefix_size - kLengthField));
  if (text.front() != '{') {
    return make_error(Code::bad_syntax, kLengthField, where, "the header does not start with '{': not safetensors");
  }
  const size_t last = text.find_last_not_of(' ');
  if (text[last] == '\n' || text[last] == '\r' || text[last] == '\t') {
    return make_error(Code::trailing_bytes, kLengthField + last, where, "the header is padded by other than spaces");
  }
  auto parsed = parse_json(text.substr(0, last + 1), kMaxSafetensorsHeader, where, kMaxHeaderValues);
  if (!parsed.ok()) {
    Error error = parsed.error();
    if (error.offset != Error::no_offset) error.offset += kLengthField;
    return error;
  }
  const JsonNode root(parsed.value(), std::string(where));
  SafetensorsHeader header;
  header.data_begin = prefix_size;
  const uint64_t data_size = file_size - prefix_size;
  const auto& members = root.value().get_ref<const Json::object_t&>();
  if (members.size() > kMaxCheckpointTensors + 1) {
    return make_error(Code::limit_exceeded, Error::no_offset, where, "%zu tensors, of which at most %zu are read",
                      members.size(), kMaxCheckpointTensors);
  }
  header.entries.reserve(members.size());
  for (const auto& [name, value] : members) {
    const JsonNode node(value, root.path_of(name));
    if (name == "__metadata__") {
      ONEPASS_TRY(read_metadata(node, header.metadata));
      continue;
    }
    if (!is_valid_name(name)) {
      return make_error(Code::bad_name, Error::no_offset, node.path(),
                        "a tensor name must have 1 to 255 bytes and no NUL; this one has %zu bytes", name.size());
    }
    SafetensorsEntry entry;
    entry.name = name;
    ONEPASS_TRY(read_entry(node, header.data_begin, data_size, entry));
    header.entries.push_back(std::move(entry));
  }
  if (header.entries.size() > kMaxCheckpointTensors) {
    return make_error(Code::limit_exceeded, Error::no_offset, where, "more than %zu tensors", kMaxCheckpointTensors);
  }
  std::sort(header.entries.begin(), header.entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t covered = header.data_begin;
  for (const SafetensorsEntry& entry : header.entries) {
    if (entry.begin != covered) {
      return make_error(Code::bad_section, entry.begin, root.path_of(entry.name),
                        "%s the tensor before it; tensors must follow each other without gaps",
                        entry.begin < covered ? "overlaps" : "leaves a gap after");
    }
    covered = entry.end;
  }
  if (covered != file_size) {
    return make_error(Code::trailing_bytes, covered, where, "%" PRIu64 " bytes follow the last tensor",
                      file_size - covered);
  }
  return header;
}

uint64_t little_endian(const uint8_t* bytes, size_t n) {
  uint64_t value = 0;
  for (size_t i = 0; i < n; ++i) value |= uint64_t{bytes[i]} << (8 * i);
  return value;
}

float element_to_f32(SafetensorsType type, const uint8_t* at) {
  switch (type) {
    case SafetensorsType::f16:
      return f16_to_f32(static_cast<uint16_t>(little_endian(at, 2)));
    case SafetensorsType::bf16:
      return bf16_to_f32(static_cast<uint16_t>(little_endian(at, 2)));
    case SafetensorsType::f64: {
      const double value = std::bit_cast<double>(little_endian(at, 8));
      // The conversion of a double beyond the range of float is undefined in C++.
      return std::abs(value) > static_cast<double>(std::numeric_limits<float>::max())
                 ? std::numeric_limits<float>::infinity()
                 : static_cast<float>(value);
    }
    default:
      return std::bit_cast<float>(static_cast<uint32_t>(little_endian(at, 4)));
  }
}

}  // namespace

size_t size_of(SafetensorsType type) noexcept { return row_of(type).size; }
const char* name_of(SafetensorsType type) noexcept { return row_of(type).name; }

Result<uint64_t> safetensors_prefix_size(std::span<const uint8_t> first_bytes, uint64_t file_size,
                                         std::string_view where) noexcept {
  if (file_size < kLengthField || first_bytes.size() < kLengthField) {
    return make_error(Code::truncated, file_size, where, "%" PRIu64 " bytes are no safetensors file", file_size);
  }
  Cursor cursor(first_bytes);
  const uint64_t length = cursor.u64();
  if (length > kMaxSafetensorsHeader) {
    return make_error(Code::limit_exceeded, 0, where, "a header of %" PRIu64 " bytes; at most %" PRIu64 " are read",
                      length, kMaxSafetensorsHeader);
  }
  if (length < 2) {
    return make_error(Code::bad_value, 0, where, "a header of %" PRIu64 " bytes; \"{}\" has 2", length);
  }
  if (length > file_size - kLengthField) {
    return make_error(Code::truncated, 0, where, "the header ends after the file does; download the file again");
  }
  return kLengthField + length;
}

Result<SafetensorsHeader> parse_safetensors_header(std::span<const uint8_t> prefix, uint64_t file_size,
                                                   std::string_view where) noexcept {
  try {
    return read_header(prefix, file_size, where);
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, where, "out of memory while reading the header");
  }
}

Result<SafetensorsHeader> parse_safetensors(std::span<const uint8_t> file, std::string_view where) noexcept {
  return parse_safetensors_header(file, file.size(), where);
}

Status convert_to_f32(SafetensorsType type, std::span<const uint8_t> bytes, std::span<float> out, uint64_t first,
                      std::string_view where) noexcept {
  if (type != SafetensorsType::f64 && type != SafetensorsType::f32 && type != SafetensorsType::f16 &&
      type != SafetensorsType::bf16) {
    return make_error(Code::bad_dtype, Error::no_offset, where, "dtype %s where F64, F32, F16 or BF16 is needed",
                      name_of(type));
  }
  const size_t size = size_of(type);
  for (size_t i = 0; i < out.size(); ++i) {
    const float value = element_to_f32(type, bytes.data() + i * size);
    if (!is_finite_f32(value)) {
      return make_error(Code::non_finite, Error::no_offset, where,
                        "element %" PRIu64 " is not finite in f32; the checkpoint is damaged or diverged", first + i);
    }
    out[i] = value;
  }
  return {};
}

}  // namespace onepass
