#include "tools/chat/jinja_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace onepass::chat {

namespace {

[[noreturn]] void fail(std::string message) { throw Failure{Code::bad_value, 0, std::move(message)}; }

std::string number_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const double magnitude = std::fabs(value);
  const bool plain = magnitude == 0 || (magnitude >= 1e-4 && magnitude < 1e16);
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value,
                                 plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(buffer, end.ptr);
  if (plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::string quoted(const std::string& text) {
  const char quote = text.find('\'') != std::string::npos && text.find('"') == std::string::npos ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      if (c == '\\' || c == quote) out += '\\';
      out += c;
    }
  }
  return out += quote;
}

}  // namespace

size_t weight_of(const Value& value) {
  if (const auto* text = value.text()) return 1 + text->size() / 16;
  if (const auto* list = value.as<std::shared_ptr<const Counted<List>>>()) return (*list)->weight;
  if (const auto* dict = value.as<std::shared_ptr<const Counted<Dict>>>()) return (*dict)->weight;
  return 1;
}

namespace {

template <class Items>
void count(const Value& value, Counted<Items>& in) {
  if (value.names() != nullptr || value.as<Function>() != nullptr) {
    fail(std::string("a list or dict with ") + kind_of(value) + " in it");
  }
  int depth = 0;
  if (const auto* list = value.as<std::shared_ptr<const Counted<List>>>()) depth = (*list)->depth;
  if (const auto* dict = value.as<std::shared_ptr<const Counted<Dict>>>()) depth = (*dict)->depth;
  in.depth = std::max(in.depth, depth + 1);
  in.weight += weight_of(value);
  if (in.depth > kMaxValueDepth) throw Failure{Code::too_deep, 0, "a value of more than 64 nested lists and dicts"};
  if (in.weight > kMaxWeight) throw Failure{Code::limit_exceeded, 0, "a list or dict of more than 16 MiB"};
}

}  // namespace

Value make_list(List items) {
  Counted<List> counted{{}, 0, 1};
  for (const Value& item : items) count(item, counted);
  counted.items = std::move(items);
  return {std::make_shared<const Counted<List>>(std::move(counted))};
}

Value make_dict(Dict items) {
  Counted<Dict> counted{{}, 0, 1};
  for (const auto& [key, item] : items) {
    counted.weight += 1 + key.size() / 16;
    count(item, counted);
  }
  counted.items = std::move(items);
  return {std::make_shared<const Counted<Dict>>(std::move(counted))};
}

Value from_json(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return {json.get<bool>()};
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return {json.get<int64_t>()};
    case Json::value_t::number_float:
      return {json.get<double>()};
    case Json::value_t::string:
      return {json.get<std::string>()};
    case Json::value_t::array: {
      List items;
      for (const Json& item : json) items.push_back(from_json(item));
      return make_list(std::move(items));
    }
    case Json::value_t::object: {
      Dict items;
      for (const auto& [key, item] : json.items()) items.emplace_back(key, from_json(item));
      return make_dict(std::move(items));
    }
    default:
      return {None{}};
  }
}

const Value* find(const Dict& dict, const std::string& key) {
  for (const auto& [name, value] : dict) {
    if (name == key) return &value;
  }
  return nullptr;
}

bool truth(const Value& value) {
  if (const auto* b = value.as<bool>()) return *b;
  if (const auto* i = value.as<int64_t>()) return *i != 0;
  if (const auto* d = value.as<double>()) return *d != 0;
  if (const auto* s = value.text()) return !s->empty();
  if (const auto* l = value.list()) return !l->empty();
  if (const auto* d = value.dict()) return !d->empty();
  return !value.undefined() && !value.none();
}

double number_of(const Value& value, const char* what) {
  if (const auto* b = value.as<bool>()) return *b;
  if (const auto* i = value.as<int64_t>()) return static_cast<double>(*i);
  if (const auto* d = value.as<double>()) return *d;
  fail(std::string(what) + " takes a number, not " + kind_of(value));
}

int64_t integer_of(const Value& value, const char* what) {
  if (const auto* b = value.as<bool>()) return *b;
  if (const auto* i = value.as<int64_t>()) return *i;
  fail(std::string(what) + " takes a whole number, not " + kind_of(value));
}

const std::string& text_of(const Value& value, const char* what) {
  if (const auto* s = value.text()) return *s;
  fail(std::string(what) + " takes a string, not " + kind_of(value));
}

const char* kind_of(const Value& value) {
  constexpr const char* names[] = {
      "an undefined value", "none",       "a boolean", "an integer", "a float", "a string", "a list", "a dict",
      "a namespace",        "a function", "a macro"};
  return names[value.is.index()];
}

bool equal(const Value& a, const Value& b) {
  if (a.number() && b.number()) return number_of(a, "==") == number_of(b, "==");
  if (a.is.index() != b.is.index()) return false;
  if (a.text() != nullptr) return *a.text() == *b.text();
  if (a.list() != nullptr) {
    return std::equal(a.list()->begin(), a.list()->end(), b.list()->begin(), b.list()->end(), equal);
  }
  if (a.dict() != nullptr) {
    if (a.dict()->size() != b.dict()->size()) return false;
    return std::all_of(a.dict()->begin(), a.dict()->end(), [&](const auto& item) {
      const Value* other = find(*b.dict(), item.first);
      return other != nullptr && equal(item.second, *other);
    });
  }
  if (a.as<const Macro*>() != nullptr) return *a.as<const Macro*>() == *b.as<const Macro*>();
  return a.undefined() || a.none();
}

int order(const Value& a, const Value& b) {
  if (a.number() && b.number()) {
    const double x = number_of(a, "<"), y = number_of(b, "<");
    return x < y ? -1 : x > y ? 1 : 0;
  }
  if (a.text() != nullptr && b.text() != nullptr) return a.text()->compare(*b.text());
  fail(std::string("no order between ") + kind_of(a) + " and " + kind_of(b));
}

std::string to_text(const Value& value) {
  if (const auto* s = value.text()) return *s;
  if (value.undefined()) return {};
  return to_repr(value);
}

std::string to_repr(const Value& value) {
  if (const auto* b = value.as<bool>()) return *b ? "True" : "False";
  if (const auto* i = value.as<int64_t>()) return std::to_string(*i);
  if (const auto* d = value.as<double>()) return number_text(*d);
  if (const auto* s = value.text()) return quoted(*s);
  if (value.none()) return "None";
  if (value.undefined()) return "Undefined";
  std::string out;
  if (const auto* items = value.list()) {
    for (const Value& item : *items) out += (out.empty() ? "" : ", ") + to_repr(item);
    return "[" + out + "]";
  }
  if (const auto* items = value.dict()) {
    for (const auto& [key, item] : *items) out += (out.empty() ? "" : ", ") + quoted(key) + ": " + to_repr(item);
    return "{" + out + "}";
  }
  fail(std::string("printing ") + kind_of(value));
}

namespace {

void add_json(const Value& value, int indent, size_t depth, std::string& out) {
  const auto new_line = [&](size_t level) {
    if (indent < 0) return;
    out += '\n';
    out.append(level * static_cast<size_t>(indent), ' ');
  };
  const char* const comma = indent < 0 ? ", " : ",";
  if (value.none()) {
    out += "null";
  } else if (const auto* b = value.as<bool>()) {
    out += *b ? "true" : "false";
  } else if (value.as<int64_t>() != nullptr || value.as<double>() != nullptr) {
    out += to_repr(value);
  } else if (const auto* s = value.text()) {
    out += Json(*s).dump(-1, ' ', false, Json::error_handler_t::replace);
  } else if (const auto* items = value.list()) {
    out += '[';
    for (size_t i = 0; i < items->size(); ++i) {
      if (i != 0) out += comma;
      new_line(depth + 1);
      add_json((*items)[i], indent, depth + 1, out);
    }
    if (!items->empty()) new_line(depth);
    out += ']';
  } else if (const auto* pairs = value.dict()) {
    out += '{';
    for (size_t i = 0; i < pairs->size(); ++i) {
      if (i != 0) out += comma;
      new_line(depth + 1);
      out += Json((*pairs)[i].first).dump(-1, ' ', false, Json::error_handler_t::replace) + ": ";
      add_json((*pairs)[i].second, indent, depth + 1, out);
    }
    if (!pairs->empty()) new_line(depth);
    out += '}';
  } else {
    fail(std::string("tojson of ") + kind_of(value));
  }
}

}  // namespace

std::string to_json(const Value& value, int indent) {
  std::string out;
  add_json(value, indent, 0, out);
  return out;
}

std::vector<std::string> characters(const std::string& text) {
  std::vector<std::string> out;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xC0) != 0x80 || out.empty()) out.emplace_back();
    out.back() += c;
  }
  return out;
}

List items_of(const Value& value, const char* what) {
  if (value.undefined()) return {};
  if (const auto* items = value.list()) return *items;
  List out;
  if (const auto* pairs = value.dict()) {
    for (const auto& pair : *pairs) out.emplace_back(pair.first);
    return out;
  }
  if (const auto* text = value.text()) {
    for (std::string& c : characters(*text)) out.emplace_back(std::move(c));
    return out;
  }
  fail(std::string(what) + " takes a list, not " + kind_of(value));
}

bool is_space(std::string_view character) {
  constexpr std::string_view space[] = {"\t",     "\n",     "\v",     "\f",     "\r",     "\x1c",   "\x1d",   "\x1e",
                                        "\x1f",   " ",      "\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002",
                                        "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
                                        "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
  return std::find(std::begin(space), std::end(space), character) != std::end(space);
}

std::string trim(const std::string& text, bool left, bool right, const std::string* which) {
  const std::vector<std::string> chosen = which == nullptr ? std::vector<std::string>() : characters(*which);
  const auto goes = [&](std::string_view c) {
    return which == nullptr ? is_space(c) : std::find(chosen.begin(), chosen.end(), c) != chosen.end();
  };
  const auto inside = [&](size_t at) { return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80; };
  size_t begin = 0, end = text.size();
  while (left && begin < end) {
    size_t next = begin + 1;
    while (next < end && inside(next)) ++next;
    if (!goes(std::string_view(text).substr(begin, next - begin))) break;
    begin = next;
  }
  while (right && begin < end) {
    size_t last = end - 1;
    while (last > begin && inside(last)) --last;
    if (!goes(std::string_view(text).substr(last, end - last))) break;
    end = last;
  }
  return text.substr(begin, end - begin);
}

}  // namespace onepass::chat
