#include <bit>
#include <cstring>

#include "engine/core/cursor.h"
#include "formats/f16.h"
#include "formats/gguf/gguf.h"

namespace onepass {

namespace {

template <class T>
Result<std::optional<T>> optional_of(Result<T> value) {
  if (!value.ok()) return value.error();
  return std::optional<T>(std::move(value).value());
}

}  // namespace

const GgufValue* GgufMetadata::find(std::string_view key) const noexcept {
  const auto at = values_.find(key);
  return at == values_.end() ? nullptr : &at->second;
}

Result<const GgufValue*> GgufMetadata::expect(std::string_view key, GgufType type) const {
  const GgufValue* value = find(key);
  if (value == nullptr) {
    return make_error(Code::missing_key, Error::no_offset, path_of(key),
                      "the file does not have this key; convert the model again with a current llama.cpp");
  }
  if (value->type != type) {
    return make_error(Code::bad_type, value->offset, path_of(key), "it is of type %s and must be of %s",
                      name_of(value->type), name_of(type));
  }
  return value;
}

Result<const GgufValue*> GgufMetadata::expect_array(std::string_view key, GgufType element) const {
  ONEPASS_TRY_ASSIGN(value, expect(key, GgufType::array));
  if (value->element != element) {
    return make_error(Code::bad_type, value->offset, path_of(key), "an array of %s, which must be of %s",
                      name_of(value->element), name_of(element));
  }
  return value;
}

Result<uint32_t> GgufMetadata::u32(std::string_view key) const {
  ONEPASS_TRY_ASSIGN(value, expect(key, GgufType::u32));
  return static_cast<uint32_t>(value->bits);
}

Result<float> GgufMetadata::f32(std::string_view key) const {
  ONEPASS_TRY_ASSIGN(value, expect(key, GgufType::f32));
  const float number = std::bit_cast<float>(static_cast<uint32_t>(value->bits));
  if (!is_finite_f32(number)) {
    return make_error(Code::non_finite, value->offset, path_of(key), "it is not a finite number");
  }
  return number;
}

Result<std::string> GgufMetadata::text(std::string_view key) const {
  ONEPASS_TRY_ASSIGN(value, expect(key, GgufType::string));
  return std::string(value->text);
}

Result<std::vector<std::string>> GgufMetadata::texts(std::string_view key) const {
  ONEPASS_TRY_ASSIGN(value, expect_array(key, GgufType::string));
  return std::vector<std::string>(value->texts);
}

Result<std::vector<float>> GgufMetadata::f32s(std::string_view key) const {
  ONEPASS_TRY_ASSIGN(value, expect_array(key, GgufType::f32));
  std::vector<float> out;
  out.reserve(static_cast<size_t>(value->count));
  Cursor cursor(value->numbers);
  for (uint64_t i = 0; i < value->count; ++i) {
    out.push_back(cursor.f32());
    if (!is_finite_f32(out.back())) {
      return make_error(Code::non_finite, value->offset + 12 + 4 * i, path_of(key), "element %llu is not finite",
                        static_cast<unsigned long long>(i));
    }
  }
  return out;
}

Result<std::vector<int32_t>> GgufMetadata::i32s(std::string_view key) const {
  ONEPASS_TRY_ASSIGN(value, expect_array(key, GgufType::i32));
  std::vector<int32_t> out;
  out.reserve(static_cast<size_t>(value->count));
  Cursor cursor(value->numbers);
  for (uint64_t i = 0; i < value->count; ++i) out.push_back(static_cast<int32_t>(cursor.u32()));
  return out;
}

Result<std::string> GgufMetadata::bytes(std::string_view key) const {
  const GgufValue* given = find(key);
  const bool is_signed = given != nullptr && given->type == GgufType::array && given->element == GgufType::i8;
  ONEPASS_TRY_ASSIGN(value, expect_array(key, is_signed ? GgufType::i8 : GgufType::u8));
  return std::string(value->numbers.begin(), value->numbers.end());
}

Result<std::vector<uint8_t>> GgufMetadata::booleans(std::string_view key) const {
  ONEPASS_TRY_ASSIGN(value, expect_array(key, GgufType::boolean));
  return std::vector<uint8_t>(value->numbers);
}

Result<std::optional<uint32_t>> GgufMetadata::optional_u32(std::string_view key) const {
  if (!has(key)) return std::optional<uint32_t>();
  return optional_of(u32(key));
}

Result<std::optional<float>> GgufMetadata::optional_f32(std::string_view key) const {
  if (!has(key)) return std::optional<float>();
  return optional_of(f32(key));
}

Result<std::optional<bool>> GgufMetadata::optional_boolean(std::string_view key) const {
  if (!has(key)) return std::optional<bool>();
  ONEPASS_TRY_ASSIGN(value, expect(key, GgufType::boolean));
  return std::optional<bool>(value->bits != 0);
}

Result<std::optional<std::string>> GgufMetadata::optional_text(std::string_view key) const {
  if (!has(key)) return std::optional<std::string>();
  return optional_of(text(key));
}

}  // namespace onepass
