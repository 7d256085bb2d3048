#include "formats/gguf/gguf.h"

#include <algorithm>
#include <cinttypes>
#include <set>

#include "engine/core/cursor.h"
#include "engine/core/utf8.h"

namespace onepass {

namespace {

constexpr const char* kTypeNames[gguf_type_count] = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                                     "int32",  "float32", "bool",   "string", "array",
                                                     "uint64", "int64",   "float64"};
// Bytes of a value of the type; of a string and an array, of the smallest one.
constexpr uint32_t kTypeBytes[gguf_type_count] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

constexpr uint64_t kMinKeyBytes = 8 + 1 + 4 + 1;             // name, type, value
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;  // name, rank, one dimension, type, offset

uint32_t swap_bytes(uint32_t v) { return v >> 24 | (v >> 8 & 0xFF00u) | (v << 8 & 0xFF0000u) | v << 24; }

// The next multiple. No sum here overflows: a tensor has at most 2^38 bytes, there are 2^16 of them, and what else is
// added lies inside the file.
uint64_t align(uint64_t offset, uint64_t alignment) { return (offset + alignment - 1) & ~(alignment - 1); }

class Parser {
 public:
  Parser(std::span<const uint8_t> file, std::string_view where) : file_(file), cursor_(file), where_(where) {}

  Result<GgufHeader> run() {
    GgufHeader header;
    header.metadata = GgufMetadata(where_);
    ONEPASS_TRY(read_prefix(header));
    for (uint64_t i = 0; i < keys_; ++i) ONEPASS_TRY(read_key(header.metadata));
    ONEPASS_TRY(read_alignment(header));
    header.tensors.reserve(static_cast<size_t>(tensors_));
    for (uint64_t i = 0; i < tensors_; ++i) ONEPASS_TRY(read_tensor(header));
    ONEPASS_TRY(place_tensors(header));
    return header;
  }

 private:
  Error truncated(uint64_t offset, const std::string& what) const {
    return make_error(Code::truncated, offset, what, "the file ends inside it; download the file again");
  }

  Status read_prefix(GgufHeader& header) {
    if (file_.size() < 4) {
      return make_error(Code::truncated, file_.size(), where_, "%zu bytes are no GGUF file", file_.size());
    }
    const auto magic = cursor_.bytes(4);
    if (!std::equal(magic.begin(), magic.end(), "GGUF")) {
      return make_error(Code::bad_magic, 0, where_, "not a GGUF file: it does not begin with \"GGUF\"");
    }
    header.version = cursor_.u32();
    if (!cursor_.ok()) return truncated(4, where_);
    if (const uint32_t swapped = swap_bytes(header.version); swapped == 2 || swapped == 3) {
      return make_error(Code::bad_endian, 4, where_,
                        "a big-endian GGUF file; convert the model again as little-endian");
    }
    if (header.version != 2 && header.version != 3) {
      return make_error(Code::bad_version, 4, where_,
                        "GGUF version %" PRIu32 "; 2 and 3 are read: convert the model again with a current llama.cpp",
                        header.version);
    }
    const uint64_t at = cursor_.offset();
    tensors_ = cursor_.u64();
    keys_ = cursor_.u64();
    if (!cursor_.ok()) return truncated(at, where_);
    if (tensors_ > kMaxGgufTensors) {
      return make_error(Code::limit_exceeded, at, where_, "%" PRIu64 " tensors, of which at most %" PRIu64 " are read",
                        tensors_, kMaxGgufTensors);
    }
    if (keys_ > kMaxGgufKeys) {
      return make_error(Code::limit_exceeded, at + 8, where_, "%" PRIu64 " keys, of which at most %" PRIu64 " are read",
                        keys_, kMaxGgufKeys);
    }
    // Neither product overflows.
    if (keys_ * kMinKeyBytes + tensors_ * kMinTensorBytes > cursor_.remaining()) {
      return make_error(Code::truncated, at, where_,
                        "%" PRIu64 " tensors and %" PRIu64 " keys do not fit the file; download it again", tensors_,
                        keys_);
    }
    return {};
  }

  // A length and so many bytes of UTF-8.
  Result<std::string_view> read_string(const std::string& what, uint64_t limit, Code too_long) {
    const uint64_t at = cursor_.offset();
    const uint64_t size = cursor_.u64();
    if (!cursor_.ok()) return truncated(at, what);
    if (size > limit) {
      return make_error(too_long, at, what, "a string of %" PRIu64 " bytes; at most %" PRIu64 " are read", size, limit);
    }
    const auto bytes = cursor_.bytes(size);
    if (!cursor_.ok()) return truncated(at, what);
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  Result<std::string> read_name(const std::string& what, size_t limit) {
    const uint64_t at = cursor_.offset();
    ONEPASS_TRY_ASSIGN(name, read_string(what, limit, Code::bad_name));
    if (name.empty() || name.find('\0') != name.npos) {
      return make_error(Code::bad_name, at, what, "a name must have 1 to %zu bytes and no NUL", limit);
    }
    if (!is_valid_utf8(name)) return make_error(Code::bad_utf8, at, what, "a name that is not UTF-8");
    return std::string(name);
  }

  Result<std::string> read_text(const std::string& what) {
    const uint64_t at = cursor_.offset();
    ONEPASS_TRY_ASSIGN(text, read_string(what, kMaxGgufString, Code::limit_exceeded));
    if (!is_valid_utf8(text)) return make_error(Code::bad_utf8, at, what, "a string that is not UTF-8");
    return std::string(text);
  }

  Result<GgufType> read_type(const std::string& what) {
    const uint64_t at = cursor_.offset();
    const uint32_t type = cursor_.u32();
    if (!cursor_.ok()) return truncated(at, what);
    if (type >= gguf_type_count) {
      return make_error(Code::unknown_value, at, what, "a value of the unknown type %" PRIu32, type);
    }
    return static_cast<GgufType>(type);
  }

  Status check_boolean(uint8_t value, uint64_t at, const std::string& what) const {
    if (value <= 1) return {};
    return make_error(Code::bad_value, at, what, "%u is neither true (1) nor false (0)", unsigned{value});
  }

  Status read_array(const std::string& what, GgufValue& value) {
    ONEPASS_TRY_ASSIGN(element, read_type(what));
    value.element = element;
    const uint64_t at = cursor_.offset();
    if (element == GgufType::array) {
      return make_error(Code::too_deep, at - 4, what, "an array of arrays; no key of a model that is read has one");
    }
    value.count = cursor_.u64();
    if (!cursor_.ok()) return truncated(at, what);
    if (value.count > kMaxGgufArray) {
      return make_error(Code::limit_exceeded, at, what, "an array of %" PRIu64 "; at most %" PRIu64 " are read",
                        value.count, kMaxGgufArray);
    }
    const uint64_t bytes = value.count * kTypeBytes[static_cast<size_t>(element)];
    if (bytes > cursor_.remaining()) return truncated(at, what);
    if (element == GgufType::string) {
      value.texts.reserve(static_cast<size_t>(value.count));
      for (uint64_t i = 0; i < value.count; ++i) {
        ONEPASS_TRY_ASSIGN(text, read_text(what));
        value.texts.push_back(std::move(text));
      }
      return {};
    }
    const uint64_t begin = cursor_.offset();
    const auto numbers = cursor_.bytes(bytes);
    value.numbers.assign(numbers.begin(), numbers.end());
    if (element == GgufType::boolean) {
      for (size_t i = 0; i < value.numbers.size(); ++i) {
        ONEPASS_TRY(check_boolean(value.numbers[i], begin + i, what));
      }
    }
    return {};
  }

  Status read_key(GgufMetadata& metadata) {
    const uint64_t at = cursor_.offset();
    ONEPASS_TRY_ASSIGN(name, read_name(where_, kMaxGgufKeyBytes));
    const std::string what = metadata.path_of(name);
    GgufValue value;
    ONEPASS_TRY_ASSIGN(type, read_type(what));
    value.type = type;
    value.offset = cursor_.offset();
    if (type == GgufType::string) {
      ONEPASS_TRY_ASSIGN(text, read_text(what));
      value.text = std::move(text);
    } else if (type == GgufType::array) {
      ONEPASS_TRY(read_array(what, value));
    } else {
      switch (kTypeBytes[static_cast<size_t>(type)]) {
        case 1:
          value.bits = cursor_.u8();
          break;
        case 2:
          value.bits = cursor_.u16();
          break;
        case 4:
          value.bits = cursor_.u32();
          break;
        default:
          value.bits = cursor_.u64();
          break;
      }
      if (!cursor_.ok()) return truncated(value.offset, what);
      if (type == GgufType::boolean) {
        ONEPASS_TRY(check_boolean(static_cast<uint8_t>(value.bits), value.offset, what));
      }
    }
    if (!metadata.add(name, std::move(value))) {
      return make_error(Code::duplicate_name, at, what, "the key is in the file twice; convert the model again");
    }
    return {};
  }

  Status read_alignment(GgufHeader& header) {
    constexpr std::string_view kKey = "general.alignment";
    ONEPASS_TRY_ASSIGN(given, header.metadata.optional_u32(kKey));
    header.alignment = given.value_or(kGgufDefaultAlignment);
    if (header.alignment < 8 || header.alignment > 65'536 || (header.alignment & (header.alignment - 1)) != 0) {
      return make_error(Code::bad_value, header.metadata.find(kKey)->offset, header.metadata.path_of(kKey),
                        "%" PRIu32 "; it must be a power of two from 8 to 65,536", header.alignment);
    }
    return {};
  }

  Status read_shape(const std::string& what, GgufTensor& tensor) {
    const uint64_t at = cursor_.offset();
    const uint32_t rank = cursor_.u32();
    if (!cursor_.ok()) return truncated(at, what);
    if (rank < 1 || rank > kMaxGgufRank) {
      return make_error(Code::bad_shape, at, what, "%" PRIu32 " dimensions; a tensor has 1 to %" PRIu32, rank,
                        kMaxGgufRank);
    }
    tensor.elements = 1;
    for (uint32_t i = 0; i < rank; ++i) {
      const uint64_t dim_at = cursor_.offset();
      const uint64_t dim = cursor_.u64();
      if (!cursor_.ok()) return truncated(dim_at, what);
      if (dim == 0) return make_error(Code::bad_shape, dim_at, what, "a dimension of 0");
      if (dim > kMaxGgufDim || !checked_mul(tensor.elements, dim, &tensor.elements) ||
          tensor.elements > kMaxGgufElements) {
        return make_error(Code::limit_exceeded, dim_at, what,
                          "a dimension of %" PRIu64 "; a tensor has at most 2^31 - 1 in one, and 2^36 elements", dim);
      }
      tensor.shape.push_back(dim);
    }
    std::reverse(tensor.shape.begin(), tensor.shape.end());
    return {};
  }

  Status read_tensor(GgufHeader& header) {
    const uint64_t at = cursor_.offset();
    ONEPASS_TRY_ASSIGN(name,
                       read_name(where_ + ": tensor " + std::to_string(header.tensors.size()), kMaxGgufTensorName));
    const std::string what = header.metadata.path_of(name);
    GgufTensor tensor;
    tensor.name = name;
    if (!names_.insert(name).second) {
      return make_error(Code::duplicate_name, at, what, "the tensor is in the file twice; convert the model again");
    }
    ONEPASS_TRY(read_shape(what, tensor));
    const uint64_t type_at = cursor_.offset();
    const uint32_t number = cursor_.u32();
    if (!cursor_.ok()) return truncated(type_at, what);
    const GgmlTypeInfo* type = find_ggml_type(number);
    if (type == nullptr) {
      const char* known = ggml_type_name(number);
      return make_error(Code::bad_dtype, type_at, what,
                        "the type %" PRIu32
                        "%s%s%s is not read; quantise the model to Q8_0, Q4_0, Q4_K or another of "
                        "docs/convert.md",
                        number, known == nullptr ? "" : " (", known == nullptr ? "" : known,
                        known == nullptr ? "" : ")");
    }
    tensor.type = type->type;
    if (tensor.shape.back() % type->block != 0) {
      return make_error(Code::bad_shape, type_at, what,
                        "rows of %" PRIu64 " elements; %s has blocks of %" PRIu32 ", which do not cross rows",
                        tensor.shape.back(), type->name, type->block);
    }
    const uint64_t offset_at = cursor_.offset();
    const uint64_t offset = cursor_.u64();
    if (!cursor_.ok()) return truncated(offset_at, what);
    if (offset % header.alignment != 0) {
      return make_error(Code::misaligned, offset_at, what,
                        "it begins at %" PRIu64 ", no multiple of the alignment %" PRIu32, offset, header.alignment);
    }
    if (offset != next_) {
      return make_error(Code::bad_section, offset_at, what,
                        "it begins at %" PRIu64 " of the data and must at %" PRIu64 ", behind the tensor before it",
                        offset, next_);
    }
    tensor.begin = offset;
    tensor.end = offset + tensor.elements / type->block * type->bytes;
    next_ = align(tensor.end, header.alignment);
    header.tensors.push_back(std::move(tensor));
    return {};
  }

  Status expect_zeros(uint64_t begin, uint64_t end) const {
    for (uint64_t i = begin; i < end; ++i) {
      if (file_[static_cast<size_t>(i)] != 0) {
        return make_error(Code::nonzero_padding, i, where_, "a byte between the tensors that is not zero");
      }
    }
    return {};
  }

  // From offsets in the data to offsets in the file.
  Status place_tensors(GgufHeader& header) {
    const uint64_t size = file_.size();
    const uint64_t infos_end = cursor_.offset();
    const uint64_t data = align(infos_end, header.alignment);
    uint64_t covered = infos_end;
    for (GgufTensor& tensor : header.tensors) {
      const std::string what = header.metadata.path_of(tensor.name);
      tensor.begin += data;
      tensor.end += data;
      if (tensor.end > size) {
        return make_error(Code::truncated, tensor.begin, what,
                          "it ends at byte %" PRIu64 " of a file of %" PRIu64 "; download the file again", tensor.end,
                          size);
      }
      ONEPASS_TRY(expect_zeros(covered, tensor.begin));
      covered = tensor.end;
    }
    // Writers fill the last tensor up to the alignment, or do not.
    if (covered == size) return {};
    if (size != align(covered, header.alignment)) {
      return make_error(Code::trailing_bytes, covered, where_, "%" PRIu64 " bytes follow the last tensor",
                        size - covered);
    }
    return expect_zeros(covered, size);
  }

  std::span<const uint8_t> file_;
  Cursor cursor_;
  std::string where_;
  uint64_t tensors_ = 0, keys_ = 0;
  uint64_t next_ = 0;  // where the next tensor begins in the data
  std::set<std::string, std::less<>> names_;
};

}  // namespace

const char* name_of(GgufType type) noexcept { return kTypeNames[static_cast<size_t>(type)]; }

Result<GgufHeader> parse_gguf(std::span<const uint8_t> file, std::string_view where) noexcept {
  try {
    return Parser(file, where).run();
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, where, "out of memory while reading the header");
  }
}

}  // namespace onepass
