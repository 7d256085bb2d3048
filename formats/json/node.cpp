#include <algorithm>
#include <cinttypes>

#include "formats/json/json.h"

namespace onepass {

namespace {

// Runs a function that may run out of memory as one that cannot throw.
template <class T, class F>
Result<T> guarded(const std::string& path, F&& body) noexcept {
  try {
    return body();
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, path, "out of memory while reading JSON values");
  }
}

Error type_error(const std::string& path, const Json& value, const char* wanted) {
  return make_error(Code::bad_type, Error::no_offset, path, "must be %s, not %s", wanted,
                    value.is_number_float() ? "a fractional or very large number" : value.type_name());
}

const Json* find_member(const Json& object, std::string_view key) {
  const auto& map = object.get_ref<const Json::object_t&>();
  const auto at = map.find(key);
  return at == map.end() ? nullptr : &at->second;
}

}  // namespace

std::string JsonNode::path_of(std::string_view key) const {
  std::string path = path_;
  // "config.json" + key is "config.json: key"; deeper keys are joined by dots.
  path += path.find(": ") == std::string::npos ? ": " : ".";
  path += key;
  return path;
}

std::string JsonNode::path_of(size_t index) const {
  std::string path = path_;
  if (path.find(": ") == std::string::npos) path += ": ";
  return path + "[" + std::to_string(index) + "]";
}

bool JsonNode::has(std::string_view key) const noexcept {
  if (!value_->is_object()) return false;
  const Json* member = find_member(*value_, key);
  return member != nullptr && !member->is_null();
}

Result<JsonNode> JsonNode::member(std::string_view key) const noexcept {
  return guarded<JsonNode>(path_, [&]() -> Result<JsonNode> {
    ONEPASS_TRY(expect_object());
    const Json* value = find_member(*value_, key);
    if (value == nullptr) return make_error(Code::missing_key, Error::no_offset, path_of(key), "the key is missing");
    return JsonNode(*value, path_of(key));
  });
}

Result<JsonNode> JsonNode::object(std::string_view key) const noexcept {
  ONEPASS_TRY_ASSIGN(node, member(key));
  ONEPASS_TRY(node.expect_object());
  return std::move(node);
}

Result<JsonNode> JsonNode::array(std::string_view key) const noexcept {
  ONEPASS_TRY_ASSIGN(node, member(key));
  ONEPASS_TRY(node.expect_array());
  return std::move(node);
}

Result<std::string> JsonNode::string(std::string_view key) const noexcept {
  ONEPASS_TRY_ASSIGN(node, member(key));
  return node.as_string();
}

Result<uint64_t> JsonNode::u64(std::string_view key, uint64_t min, uint64_t max) const noexcept {
  ONEPASS_TRY_ASSIGN(node, member(key));
  return node.as_u64(min, max);
}

Result<double> JsonNode::number(std::string_view key) const noexcept {
  ONEPASS_TRY_ASSIGN(node, member(key));
  return node.as_number();
}

Result<bool> JsonNode::boolean(std::string_view key) const noexcept {
  ONEPASS_TRY_ASSIGN(node, member(key));
  return node.as_boolean();
}

namespace {

template <class T, class F>
Result<std::optional<T>> optional_member(const JsonNode& node, std::string_view key, F&& get) noexcept {
  ONEPASS_TRY(node.expect_object());
  if (!node.has(key)) return std::optional<T>();
  ONEPASS_TRY_ASSIGN(value, get());
  return std::optional<T>(std::move(value));
}

}  // namespace

Result<std::optional<JsonNode>> JsonNode::optional_object(std::string_view key) const noexcept {
  return optional_member<JsonNode>(*this, key, [&] { return object(key); });
}

Result<std::optional<JsonNode>> JsonNode::optional_array(std::string_view key) const noexcept {
  return optional_member<JsonNode>(*this, key, [&] { return array(key); });
}

Result<std::optional<std::string>> JsonNode::optional_string(std::string_view key) const noexcept {
  return optional_member<std::string>(*this, key, [&] { return string(key); });
}

Result<std::optional<uint64_t>> JsonNode::optional_u64(std::string_view key, uint64_t min,
                                                       uint64_t max) const noexcept {
  return optional_member<uint64_t>(*this, key, [&] { return u64(key, min, max); });
}

Result<std::optional<double>> JsonNode::optional_number(std::string_view key) const noexcept {
  return optional_member<double>(*this, key, [&] { return number(key); });
}

Result<std::optional<bool>> JsonNode::optional_boolean(std::string_view key) const noexcept {
  return optional_member<bool>(*this, key, [&] { return boolean(key); });
}

Status JsonNode::expect_object() const noexcept {
  if (!value_->is_object()) return type_error(path_, *value_, "an object");
  return {};
}

Status JsonNode::expect_array() const noexcept {
  if (!value_->is_array()) return type_error(path_, *value_, "an array");
  return {};
}

Result<std::string> JsonNode::as_string() const noexcept {
  return guarded<std::string>(path_, [&]() -> Result<std::string> {
    if (!value_->is_string()) return type_error(path_, *value_, "a string");
    return std::string(value_->get_ref<const std::string&>());
  });
}

Result<uint64_t> JsonNode::as_u64(uint64_t min, uint64_t max) const noexcept {
  if (!value_->is_number_integer()) return type_error(path_, *value_, "an integer");
  // is_number_integer holds for both signs; a plain non-negative integer is stored as unsigned, "-0" as signed.
  const auto* natural = value_->get_ptr<const Json::number_unsigned_t*>();
  const Json::number_integer_t integer = *value_->get_ptr<const Json::number_integer_t*>();
  if (natural == nullptr && integer < 0) {
    return make_error(Code::bad_value, Error::no_offset, path_,
                      "must be an integer from %" PRIu64 " to %" PRIu64 ", not %" PRId64, min, max, integer);
  }
  const uint64_t number = natural == nullptr ? static_cast<uint64_t>(integer) : *natural;
  if (number < min || number > max) {
    return make_error(Code::bad_value, Error::no_offset, path_,
                      "must be an integer from %" PRIu64 " to %" PRIu64 ", not %" PRIu64, min, max, number);
  }
  return number;
}

Result<double> JsonNode::as_number() const noexcept {
  if (const auto* v = value_->get_ptr<const Json::number_float_t*>()) return *v;
  if (value_->is_number_unsigned()) return static_cast<double>(*value_->get_ptr<const Json::number_unsigned_t*>());
  if (const auto* v = value_->get_ptr<const Json::number_integer_t*>()) return static_cast<double>(*v);
  return type_error(path_, *value_, "a number");
}

Result<bool> JsonNode::as_boolean() const noexcept {
  const auto* v = value_->get_ptr<const bool*>();
  if (v == nullptr) return type_error(path_, *value_, "true or false");
  return *v;
}

Result<std::vector<std::string>> JsonNode::as_strings() const noexcept {
  return guarded<std::vector<std::string>>(path_, [&]() -> Result<std::vector<std::string>> {
    ONEPASS_TRY(expect_array());
    std::vector<std::string> strings;
    strings.reserve(value_->size());
    for (size_t i = 0; i < value_->size(); ++i) {
      const Json& element = (*value_)[i];
      if (!element.is_string()) return type_error(path_of(i), element, "a string");
      strings.push_back(element.get_ref<const std::string&>());
    }
    return strings;
  });
}

Result<std::vector<JsonNode>> JsonNode::elements() const noexcept {
  return guarded<std::vector<JsonNode>>(path_, [&]() -> Result<std::vector<JsonNode>> {
    ONEPASS_TRY(expect_array());
    std::vector<JsonNode> nodes;
    nodes.reserve(value_->size());
    for (size_t i = 0; i < value_->size(); ++i) nodes.emplace_back((*value_)[i], path_of(i));
    return nodes;
  });
}

Status JsonNode::only(std::initializer_list<std::string_view> keys, Code code) const noexcept {
  ONEPASS_TRY(expect_object());
  try {
    for (const auto& [key, value] : value_->get_ref<const Json::object_t&>()) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
        return make_error(code, Error::no_offset, path_of(key), "%s",
                          code == Code::unsupported ? "this option is not supported, and none is ignored"
                                                    : "unknown key; the format is closed, so remove it");
      }
    }
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, path_, "out of memory while reading JSON values");
  }
  return {};
}

}  // namespace onepass
