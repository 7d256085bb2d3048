// Values of templates: Python's, as far as templates see them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "formats/json/json.h"

namespace onepass::chat {

// Ends a rendering; render() turns it into an Error.
struct Failure {
  Code code;
  size_t line;  // 0: not known yet
  std::string message;
};

struct Macro;
struct Value;
using List = std::vector<Value>;
using Dict = std::vector<std::pair<std::string, Value>>;  // in the order of insertion

struct Undefined {
  std::string name;
};
struct None {};
// A function of the environment, or a method with the value that it is of.
struct Function {
  std::string name;
  std::shared_ptr<const Value> self;
};

// Lists and dicts are shared and do not change, so what is in them lies not deeper, and is not more, than was counted
// when they were made. Only a namespace changes, and it is in nothing.
template <class Items>
struct Counted {
  Items items;
  int depth = 0;
  size_t weight = 0;
};
constexpr int kMaxValueDepth = 64;
constexpr size_t kMaxWeight = size_t{1} << 20;

struct Value {
  std::variant<Undefined, None, bool, int64_t, double, std::string, std::shared_ptr<const Counted<List>>,
               std::shared_ptr<const Counted<Dict>>, std::shared_ptr<Dict>, Function, const Macro*>
      is;

  Value() : is(Undefined{}) {}
  template <class T>
  Value(T value) : is(std::move(value)) {}
  Value(const char* text) : is(std::string(text)) {}

  template <class T>
  const T* as() const {
    return std::get_if<T>(&is);
  }
  const std::string* text() const { return as<std::string>(); }
  const List* list() const {
    const auto* counted = as<std::shared_ptr<const Counted<List>>>();
    return counted == nullptr ? nullptr : &(*counted)->items;
  }
  const Dict* dict() const {
    const auto* counted = as<std::shared_ptr<const Counted<Dict>>>();
    return counted == nullptr ? nullptr : &(*counted)->items;
  }
  Dict* names() const { return as<std::shared_ptr<Dict>>() == nullptr ? nullptr : as<std::shared_ptr<Dict>>()->get(); }
  bool undefined() const { return as<Undefined>() != nullptr; }
  bool none() const { return as<None>() != nullptr; }
  bool number() const { return as<bool>() != nullptr || as<int64_t>() != nullptr || as<double>() != nullptr; }
};

// Fail where the value would be too deep or too large.
Value make_list(List items);
Value make_dict(Dict items);
Value from_json(const Json& json);
const Value* find(const Dict& dict, const std::string& key);
// About how much there is to copy, compare and print, in units of 16 bytes.
size_t weight_of(const Value& value);

bool truth(const Value& value);
bool equal(const Value& a, const Value& b);
// <0, 0, >0; fails for values without an order.
int order(const Value& a, const Value& b);
double number_of(const Value& value, const char* what);
int64_t integer_of(const Value& value, const char* what);
const std::string& text_of(const Value& value, const char* what);
// "a string", "a list", ...
const char* kind_of(const Value& value);

std::string to_text(const Value& value);              // str(): what {{ }} prints
std::string to_repr(const Value& value);              // repr()
std::string to_json(const Value& value, int indent);  // json.dumps(ensure_ascii=False); indent < 0: on one line
// What a for loop runs over, `in` looks in, and join joins: the items, a dict's keys, a text's characters.
List items_of(const Value& value, const char* what);
// The characters of a text, each with all of its bytes.
std::vector<std::string> characters(const std::string& text);
// What Python's str.isspace() takes for white space.
bool is_space(std::string_view character);
std::string trim(const std::string& text, bool left, bool right, const std::string* which = nullptr);

}  // namespace onepass::chat
