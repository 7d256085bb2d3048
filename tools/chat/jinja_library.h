// What templates call by name: filters, tests, methods of strings and dicts.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/chat/jinja_value.h"

namespace onepass::chat {

struct Arguments {
  std::vector<Value> values;
  std::vector<std::pair<std::string, Value>> named;

  // By the names of parameters; undefined where none was given. Fails where there are more than these.
  std::vector<Value> read(std::initializer_list<std::string_view> parameters, const std::string& of) const;
};

// Each fails with Code::unsupported where there is none of that name.
Value apply_filter(const std::string& name, const Value& value, const Arguments& arguments);
bool apply_test(const std::string& name, const Value& value, const Arguments& arguments);
bool is_method(const Value& value, const std::string& name);
Value call_method(const std::string& name, const Value& value, const Arguments& arguments);
// range, dict, namespace, raise_exception
bool is_function(const std::string& name);
Value call_function(const std::string& name, const Arguments& arguments);

bool contains(const Value& all, const Value& one);
// value[key] of Python; undefined where there is none.
Value item_of(const Value& value, const Value& key);

}  // namespace onepass::chat
