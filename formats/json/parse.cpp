#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

#include "engine/core/utf8.h"
#include "formats/json/json.h"
#include "formats/json/serde_number.h"

namespace onepass {

namespace {

// An iterator that leaves behind how far the parser has read: its callbacks are given no position.
class TrackedIterator {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  TrackedIterator(const char* at, const char** seen) : at_(at), seen_(seen) {}
  reference operator*() const { return *at_; }
  TrackedIterator& operator++() {
    *seen_ = at_++;
    return *this;
  }
  TrackedIterator operator++(int) {
    TrackedIterator old = *this;
    ++*this;
    return old;
  }
  bool operator==(const TrackedIterator& other) const { return at_ == other.at_; }
  bool operator!=(const TrackedIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** seen_;
};

// Builds the document. nlohmann's own builder keeps the last of two equal keys and has no limits.
class Builder {
 public:
  Builder(std::string_view text, std::string_view where, size_t max_values, JsonNumbers numbers)
      : text_(text), where_(where), max_values_(max_values), numbers_(numbers) {}

  const char* seen = nullptr;  // the last byte read
  Json root;
  Error error;

  bool null() { return add(nullptr) != nullptr; }
  bool boolean(bool v) { return add(v) != nullptr; }
  bool number_integer(Json::number_integer_t v) { return add(v) != nullptr; }
  bool number_unsigned(Json::number_unsigned_t v) { return add(v) != nullptr; }
  bool number_float(Json::number_float_t v, const std::string& s) {
    return add(numbers_ == JsonNumbers::as_serde ? serde_number(s) : v) != nullptr;
  }
  bool string(std::string& v) { return add(std::move(v)) != nullptr; }
  bool binary(Json::binary_t&) { return false; }  // JSON text has none
  bool start_object(size_t) { return open(Json::object()); }
  bool end_object() { return close(); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    auto& object = stack_.back()->get_ref<Json::object_t&>();
    const auto [at, fresh] = object.try_emplace(std::move(name));
    if (!fresh) {
      return fail(Code::duplicate_name, offset(), "the key \"%.80s\" occurs twice in one object; remove one of them",
                  at->first.c_str());
    }
    slot_ = &at->second;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& what) {
    const uint64_t at = position == 0 ? 0 : position - 1 < text_.size() ? position - 1 : text_.size();
    if (done_) return fail(Code::trailing_bytes, at, "bytes follow the JSON value; remove them");
    if (what.id == 406) return fail(Code::bad_value, at, "a number is outside the range of double");
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    const char* message = std::strstr(what.what(), "] ");
    return fail(Code::bad_syntax, at, "not JSON (RFC 8259): %s", message == nullptr ? what.what() : message + 2);
  }

 private:
  uint64_t offset() const { return seen == nullptr ? 0 : static_cast<uint64_t>(seen - text_.data()); }

  template <class... Args>
  bool fail(Code code, uint64_t at, const char* format, Args... args) {
    error = make_error(code, at, where_, format, args...);
    return false;
  }
  bool fail(Code code, uint64_t at, const char* message) {
    error = make_error(code, at, where_, "%s", message);
    return false;
  }

  template <class T>
  Json* add(T&& value) {
    if (++values_ > max_values_) {
      fail(Code::limit_exceeded, offset(), "more than %zu JSON values", max_values_);
      return nullptr;
    }
    Json* at = &root;
    if (!stack_.empty() && stack_.back()->is_array()) {
      at = &stack_.back()->get_ref<Json::array_t&>().emplace_back();
    } else if (!stack_.empty()) {
      at = slot_;
    }
    *at = Json(std::forward<T>(value));
    done_ = stack_.empty();
    return at;
  }

  bool open(Json&& container) {
    if (stack_.size() >= kMaxJsonDepth) {
      return fail(Code::too_deep, offset(), "more than %u nested arrays and objects", kMaxJsonDepth);
    }
    Json* at = add(std::move(container));
    if (at == nullptr) return false;
    done_ = false;
    stack_.push_back(at);
    return true;
  }

  bool close() {
    stack_.pop_back();
    done_ = stack_.empty();
    return true;
  }

  std::string_view text_;
  std::string_view where_;
  size_t max_values_;
  JsonNumbers numbers_;
  size_t values_ = 0;
  std::vector<Json*> stack_;  // open containers; only the innermost one grows, so the pointers stay valid
  Json* slot_ = nullptr;      // the value of the key read last
  bool done_ = false;
};

Status check_bytes(std::string_view text, size_t max_bytes, std::string_view where) {
  if (text.size() > max_bytes) {
    return make_error(Code::limit_exceeded, Error::no_offset, where, "%zu bytes of JSON, of which at most %zu are read",
                      text.size(), max_bytes);
  }
  if (text.starts_with("\xEF\xBB\xBF")) {
    return make_error(Code::bad_syntax, 0, where, "starts with a byte order mark; save it as UTF-8 without one");
  }
  // nlohmann takes a NUL byte for the end of the input.
  if (const size_t at = text.find('\0'); at != std::string_view::npos) {
    return make_error(Code::bad_syntax, at, where, "holds a NUL byte, which JSON text cannot");
  }
  for (size_t pos = 0; pos < text.size();) {
    const Utf8Char c = decode_utf8(text, pos);
    if (!c.valid) return make_error(Code::bad_utf8, pos, where, "not valid UTF-8; save the file as UTF-8");
    pos += c.length;
  }
  return {};
}

std::string file_name(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  return name.empty() ? path.string() : name;
}

}  // namespace

Result<Json> parse_json(std::string_view text, size_t max_bytes, std::string_view where, size_t max_values,
                        JsonNumbers numbers) noexcept {
  try {
    ONEPASS_TRY(check_bytes(text, max_bytes, where));
    Builder builder(text, where, max_values, numbers);
    const char* end = text.data() + text.size();
    const bool ok = Json::sax_parse(TrackedIterator(text.data(), &builder.seen), TrackedIterator(end, &builder.seen),
                                    &builder, Json::input_format_t::json, true);
    if (!ok) return builder.error;
    return std::move(builder.root);
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, where, "out of memory while parsing JSON");
  }
}

Result<std::string> read_text_file(const std::filesystem::path& path, size_t max_bytes) noexcept {
  try {
    const std::string name = file_name(path);
    std::error_code problem;
    const auto status = std::filesystem::status(path, problem);
    if (status.type() == std::filesystem::file_type::not_found) {
      return make_error(Code::io_error, Error::no_offset, name, "no such file: %s", path.string().c_str());
    }
    // A pipe or device has no size and may never end.
    if (problem || !std::filesystem::is_regular_file(status)) {
      return make_error(Code::io_error, Error::no_offset, name, "not a regular file: %s", path.string().c_str());
    }
    std::ifstream file(path, std::ios::binary);
    if (!file) {
      return make_error(Code::io_error, Error::no_offset, name, "cannot be opened; check its permissions: %s",
                        path.string().c_str());
    }
    std::string text;
    std::vector<char> block(size_t{1} << 16);
    while (file) {
      file.read(block.data(), static_cast<std::streamsize>(block.size()));
      const auto n = static_cast<size_t>(file.gcount());
      if (n > max_bytes - text.size()) {
        return make_error(Code::limit_exceeded, max_bytes, name, "larger than the %zu bytes that this file may have",
                          max_bytes);
      }
      text.append(block.data(), n);
    }
    if (file.bad()) return make_error(Code::io_error, text.size(), name, "cannot be read: %s", path.string().c_str());
    return text;
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, "file", "out of memory while reading a file");
  }
}

Result<Json> read_json_file(const std::filesystem::path& path, size_t max_bytes) noexcept {
  ONEPASS_TRY_ASSIGN(text, read_text_file(path, max_bytes));
  try {
    return parse_json(text, max_bytes, file_name(path));
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, "file", "out of memory while reading a file");
  }
}

}  // namespace onepass
