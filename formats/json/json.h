// Strict JSON (RFC 8259) as values: no exception leaves these functions, and a document that two
// parsers could read differently is an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/result.h"

namespace onepass {

// Its destructor allocates: without memory for that the process ends. So documents stay in the converter, and the
// runtime never sees one.
using Json = nlohmann::json;

constexpr uint32_t kMaxJsonDepth = 64;
// A value of a parsed document takes up to about 100 bytes of memory whatever its text is, so the
// count is capped beside the size (rule G3). Two million merges of a tokenizer.json stay below it.
constexpr size_t kMaxJsonValues = size_t{1} << 23;

// What a number with a fraction or exponent becomes: the nearest double, or what the tokenizers library makes of it
// (serde_number.h).
enum class JsonNumbers { nearest, as_serde };

// Parses the whole of `text`. Errors, each with the byte offset where it was found and `where` as place:
// limit_exceeded (more than max_bytes, or max_values values), bad_utf8, bad_syntax (not the grammar; a byte order
// mark; NaN; a NUL byte), bad_value (a number outside the range of double), duplicate_name (a key twice in one
// object), too_deep (more than kMaxJsonDepth nested arrays and objects), trailing_bytes.
Result<Json> parse_json(std::string_view text, size_t max_bytes, std::string_view where,
                        size_t max_values = kMaxJsonValues, JsonNumbers numbers = JsonNumbers::nearest) noexcept;

// Reads a regular file (links are followed) of at most max_bytes; `where` of an error is the file's name.
Result<std::string> read_text_file(const std::filesystem::path& path, size_t max_bytes) noexcept;

// read_text_file and parse_json.
Result<Json> read_json_file(const std::filesystem::path& path, size_t max_bytes) noexcept;

// A value inside a document together with its path, e.g. "config.json: model.vocab", which becomes the place of
// every error. It refers to the document: the document must outlive it and stay unmodified.
//
// Getters take a key of an object. A missing key is missing_key, a wrong type bad_type, a number outside the
// limits bad_value, a value that is no object where a key is asked for bad_type. The optional_ forms give nullopt
// for a key that is absent or null.
class JsonNode {
 public:
  JsonNode(const Json& value, std::string path) noexcept : value_(&value), path_(std::move(path)) {}

  const Json& value() const noexcept { return *value_; }
  const std::string& path() const noexcept { return path_; }
  // The path of a member or element, for error messages.
  std::string path_of(std::string_view key) const;
  std::string path_of(size_t index) const;

  // True where this is an object with that key and the value is not null.
  bool has(std::string_view key) const noexcept;

  Result<JsonNode> member(std::string_view key) const noexcept;  // of any type, null included
  Result<JsonNode> object(std::string_view key) const noexcept;
  Result<JsonNode> array(std::string_view key) const noexcept;
  Result<std::string> string(std::string_view key) const noexcept;
  Result<uint64_t> u64(std::string_view key, uint64_t min, uint64_t max) const noexcept;
  Result<double> number(std::string_view key) const noexcept;
  Result<bool> boolean(std::string_view key) const noexcept;

  Result<std::optional<JsonNode>> optional_object(std::string_view key) const noexcept;
  Result<std::optional<JsonNode>> optional_array(std::string_view key) const noexcept;
  Result<std::optional<std::string>> optional_string(std::string_view key) const noexcept;
  Result<std::optional<uint64_t>> optional_u64(std::string_view key, uint64_t min, uint64_t max) const noexcept;
  Result<std::optional<double>> optional_number(std::string_view key) const noexcept;
  Result<std::optional<bool>> optional_boolean(std::string_view key) const noexcept;

  // This value itself.
  Status expect_object() const noexcept;
  Status expect_array() const noexcept;
  Result<std::string> as_string() const noexcept;
  Result<uint64_t> as_u64(uint64_t min, uint64_t max) const noexcept;
  Result<double> as_number() const noexcept;
  Result<bool> as_boolean() const noexcept;
  Result<std::vector<std::string>> as_strings() const noexcept;
  // The elements of an array.
  Result<std::vector<JsonNode>> elements() const noexcept;

  // An error with `code` that names the first key outside `keys`: for objects whose format is closed.
  Status only(std::initializer_list<std::string_view> keys, Code code = Code::unknown_key) const noexcept;

 private:
  const Json* value_;
  std::string path_;
};

}  // namespace onepass
