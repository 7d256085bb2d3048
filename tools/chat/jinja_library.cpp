#include "tools/chat/jinja_library.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "tools/chat/jinja.h"

namespace onepass::chat {

namespace {

[[noreturn]] void fail(std::string message) { throw Failure{Code::bad_value, 0, std::move(message)}; }
[[noreturn]] void unsupported(std::string message) { throw Failure{Code::unsupported, 0, std::move(message)}; }

void check_length(const std::string& text) {
  if (text.size() > kMaxTemplateBytes) throw Failure{Code::limit_exceeded, 0, "a text of more than 1 MiB"};
}

template <class Change>
std::string ascii(const std::string& text, const std::string& name, Change change) {
  std::string out;
  bool starts = true;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) unsupported(name + " of letters beyond ASCII is not supported");
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    out += letter ? change(c, starts, out.empty()) : c;
    starts = !letter;
  }
  return out;
}
char upper(char c) { return static_cast<char>(c & ~0x20); }
char lower(char c) { return static_cast<char>(c | 0x20); }

std::string change_case(const std::string& text, const std::string& name) {
  return ascii(text, name, [&](char c, bool starts, bool first) {
    if (name == "upper") return upper(c);
    if (name == "lower") return lower(c);
    return (name == "title" ? starts : first) ? upper(c) : lower(c);
  });
}

std::string replace(const std::string& text, const std::string& from, const std::string& to, int64_t count) {
  std::string out;
  const std::vector<std::string> single = from.empty() ? characters(text) : std::vector<std::string>();
  if (from.empty()) {  // Python: between all characters
    for (const std::string& c : single) {
      if (count-- != 0)
        out += to;
      else
        ++count;
      out += c;
      check_length(out);
    }
    return count != 0 ? out + to : out;
  }
  size_t at = 0;
  while (count-- != 0) {
    const size_t found = text.find(from, at);
    if (found == std::string::npos) break;
    out.append(text, at, found - at).append(to);
    at = found + from.size();
    check_length(out);
  }
  return out.append(text, at);
}

Value split(const std::string& text, const Value& separator, int64_t most) {
  List parts;
  if (separator.undefined() || separator.none()) {
    // Words between white space; once `most` of them are taken, what is left is one more, with its white space.
    const std::vector<std::string> all = characters(text);
    size_t at = 0;
    const auto skip = [&](bool space) {
      while (at < all.size() && is_space(all[at]) == space) ++at;
    };
    for (skip(true); at < all.size(); skip(true)) {
      const size_t begin = at;
      if (most-- == 0) {
        at = all.size();
      } else {
        skip(false);
      }
      std::string part;
      for (size_t i = begin; i < at; ++i) part += all[i];
      parts.emplace_back(std::move(part));
    }
    return make_list(std::move(parts));
  }
  const std::string& by = text_of(separator, "split");
  if (by.empty()) fail("split by an empty string");
  size_t at = 0;
  while (most-- != 0) {
    const size_t found = text.find(by, at);
    if (found == std::string::npos) break;
    parts.emplace_back(text.substr(at, found - at));
    at = found + by.size();
  }
  parts.emplace_back(text.substr(at));
  return make_list(std::move(parts));
}

Value join(const List& items, const std::string& separator) {
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i != 0) out += separator;
    out += to_text(items[i]);
    check_length(out);
  }
  return {out};
}

std::string indent(const std::string& text, const std::string& by, bool first, bool blank) {
  std::string out;
  size_t at = 0;
  for (bool start = true; at <= text.size(); start = false) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    if (start ? first : blank || !line.empty()) out += by;
    out += line;
    if (end < text.size()) out += '\n';
    check_length(out);
    at = end + 1;
  }
  return out;
}

int64_t to_integer(const Value& value, int64_t otherwise) {
  if (const auto* d = value.as<double>()) {
    if (!(std::fabs(*d) < 9e18)) fail("int of a number that is too large");
    return static_cast<int64_t>(*d);
  }
  if (value.number()) return integer_of(value, "int");
  if (const auto* s = value.text()) {
    const std::string digits = trim(*s, true, true);
    int64_t out = 0;
    const char* const end = digits.data() + digits.size();
    const auto [rest, error] = std::from_chars(digits.data(), end, out);
    if (error == std::errc{} && rest == end) return out;
    double real = 0;
    const auto [tail, bad] = std::from_chars(digits.data(), end, real);
    if (bad == std::errc{} && tail == end && std::fabs(real) < 9e18) return static_cast<int64_t>(real);
  }
  return otherwise;
}

double to_real(const Value& value, double otherwise) {
  if (value.number()) return number_of(value, "float");
  if (const auto* s = value.text()) {
    const std::string digits = trim(*s, true, true);
    double out = 0;
    const char* const end = digits.data() + digits.size();
    const auto [rest, error] = std::from_chars(digits.data(), end, out);
    if (error == std::errc{} && rest == end) return out;
  }
  return otherwise;
}

// "a.b" of map(attribute="a.b"): each name in turn.
Value path_of(Value value, const std::string& path) {
  size_t at = 0;
  while (at <= path.size()) {
    const size_t end = std::min(path.find('.', at), path.size());
    value = item_of(value, {path.substr(at, end - at)});
    at = end + 1;
  }
  return value;
}

// select, reject, selectattr, rejectattr
Value chosen(const std::string& name, const Value& value, const Arguments& arguments) {
  const bool attribute = name.ends_with("attr"), keep = name.starts_with("select");
  Arguments rest = arguments;
  std::string path, test;
  if (attribute) {
    if (rest.values.empty()) fail(name + " takes the name of an attribute");
    path = text_of(rest.values[0], name.c_str());
    rest.values.erase(rest.values.begin());
  }
  if (!rest.values.empty()) {
    test = text_of(rest.values[0], name.c_str());
    rest.values.erase(rest.values.begin());
  }
  List out;
  for (const Value& item : items_of(value, name.c_str())) {
    const Value seen = attribute ? path_of(item, path) : item;
    if ((test.empty() ? truth(seen) : apply_test(test, seen, rest)) == keep) out.push_back(item);
  }
  return make_list(std::move(out));
}

Value mapped(const Value& value, const Arguments& arguments) {
  List out;
  Arguments rest = arguments;
  const auto named = [&](const char* parameter) -> Value {
    for (const auto& [name, given] : arguments.named) {
      if (name == parameter) return given;
    }
    return {};
  };
  if (const Value attribute = named("attribute"); !attribute.undefined()) {
    const Value otherwise = named("default");
    for (const Value& item : items_of(value, "map")) {
      Value found = path_of(item, text_of(attribute, "map"));
      out.push_back(found.undefined() ? otherwise : std::move(found));
    }
    return make_list(std::move(out));
  }
  if (rest.values.empty()) fail("map takes a filter or attribute=");
  const std::string filter = text_of(rest.values[0], "map");
  rest.values.erase(rest.values.begin());
  for (const Value& item : items_of(value, "map")) out.push_back(apply_filter(filter, item, rest));
  return make_list(std::move(out));
}

Value sorted(const Value& value, const Arguments& arguments) {
  const auto given = arguments.read({"reverse", "case_sensitive", "attribute"}, "sort");
  List items = items_of(value, "sort");
  const auto key = [&](const Value& item) {
    const Value seen = given[2].undefined() ? item : path_of(item, text_of(given[2], "sort"));
    return seen.text() != nullptr && !truth(given[1]) ? Value(change_case(*seen.text(), "lower")) : seen;
  };
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& item : items) keyed.emplace_back(key(item), std::move(item));
  for (const auto& [k, item] : keyed) (void)order(k, keyed[0].first);  // fails before the sort would
  const bool reverse = truth(given[0]);
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? order(b.first, a.first) < 0 : order(a.first, b.first) < 0;
  });
  List out;
  for (auto& [k, item] : keyed) out.push_back(std::move(item));
  return make_list(std::move(out));
}

Value pairs_of(const Value& value, const char* what) {
  if (value.undefined()) return make_list({});
  if (value.dict() == nullptr) fail(std::string(what) + " takes a dict, not " + kind_of(value));
  List out;
  for (const auto& [key, item] : *value.dict()) out.push_back(make_list({{key}, item}));
  return make_list(std::move(out));
}

using Filter = Value (*)(const Value&, const Arguments&);

const std::map<std::string, Filter>& filters() {
  static const std::map<std::string, Filter> all = [] {
    std::map<std::string, Filter> f;
    f["trim"] = [](const Value& v, const Arguments& a) -> Value {
      const auto given = a.read({"chars"}, "trim");
      return {trim(to_text(v), true, true, given[0].text())};
    };
    f["length"] = f["count"] = [](const Value& v, const Arguments& a) -> Value {
      (void)a.read({}, "length");
      return {static_cast<int64_t>(items_of(v, "length").size())};
    };
    f["upper"] = [](const Value& v, const Arguments&) -> Value { return {change_case(to_text(v), "upper")}; };
    f["lower"] = [](const Value& v, const Arguments&) -> Value { return {change_case(to_text(v), "lower")}; };
    f["title"] = [](const Value& v, const Arguments&) -> Value { return {change_case(to_text(v), "title")}; };
    f["capitalize"] = [](const Value& v, const Arguments&) -> Value { return {change_case(to_text(v), "capitalize")}; };
    f["string"] = [](const Value& v, const Arguments&) -> Value { return {to_text(v)}; };
    f["safe"] = [](const Value& v, const Arguments&) -> Value { return v; };
    f["list"] = [](const Value& v, const Arguments&) -> Value { return make_list(items_of(v, "list")); };
    f["int"] = [](const Value& v, const Arguments& a) -> Value {
      const auto given = a.read({"default"}, "int");
      return {to_integer(v, given[0].undefined() ? 0 : integer_of(given[0], "int"))};
    };
    f["float"] = [](const Value& v, const Arguments& a) -> Value {
      const auto given = a.read({"default"}, "float");
      return {to_real(v, given[0].undefined() ? 0 : number_of(given[0], "float"))};
    };
    f["abs"] = [](const Value& v, const Arguments&) -> Value {
      if (v.as<double>() != nullptr) return {std::fabs(*v.as<double>())};
      const int64_t i = integer_of(v, "abs");
      return {i < 0 ? static_cast<int64_t>(0 - static_cast<uint64_t>(i)) : i};
    };
    f["first"] = [](const Value& v, const Arguments&) -> Value {
      List items = items_of(v, "first");
      return items.empty() ? Value(Undefined{"the first of nothing"}) : items.front();
    };
    f["last"] = [](const Value& v, const Arguments&) -> Value {
      List items = items_of(v, "last");
      return items.empty() ? Value(Undefined{"the last of nothing"}) : items.back();
    };
    f["reverse"] = [](const Value& v, const Arguments&) -> Value {
      List items = items_of(v, "reverse");
      std::reverse(items.begin(), items.end());
      return v.text() != nullptr ? join(items, "") : make_list(std::move(items));
    };
    f["unique"] = [](const Value& v, const Arguments&) -> Value {
      List out;
      for (Value& item : items_of(v, "unique")) {
        if (std::none_of(out.begin(), out.end(), [&](const Value& o) { return equal(o, item); })) {
          if (out.size() >= 1000) throw Failure{Code::limit_exceeded, 0, "unique of more than 1000 values"};
          out.push_back(std::move(item));
        }
      }
      return make_list(std::move(out));
    };
    f["join"] = [](const Value& v, const Arguments& a) -> Value {
      const auto given = a.read({"d", "attribute"}, "join");
      List items = items_of(v, "join");
      if (!given[1].undefined()) {
        for (Value& item : items) item = path_of(item, text_of(given[1], "join"));
      }
      return join(items, to_text(given[0]));
    };
    f["replace"] = [](const Value& v, const Arguments& a) -> Value {
      const auto given = a.read({"old", "new", "count"}, "replace");
      const int64_t count = given[2].undefined() || given[2].none() ? -1 : integer_of(given[2], "replace");
      return {replace(to_text(v), to_text(given[0]), to_text(given[1]), count)};
    };
    f["default"] = f["d"] = [](const Value& v, const Arguments& a) -> Value {
      const auto given = a.read({"default_value", "boolean"}, "default");
      const bool missing = v.undefined() || (truth(given[1]) && !truth(v));
      return !missing ? v : given[0].undefined() ? Value("") : given[0];
    };
    f["tojson"] = [](const Value& v, const Arguments& a) -> Value {
      const auto given = a.read({"ensure_ascii", "indent", "separators", "sort_keys"}, "tojson");
      if (truth(given[0]) || truth(given[2]) || truth(given[3])) {
        unsupported("tojson with ensure_ascii, separators or sort_keys is not supported");
      }
      const bool flat = given[1].undefined() || given[1].none();
      const int64_t by = flat ? -1 : integer_of(given[1], "tojson");
      if (by > 16) fail("tojson with an indent of more than 16");
      return {to_json(v, static_cast<int>(by))};
    };
    f["indent"] = [](const Value& v, const Arguments& a) -> Value {
      const auto given = a.read({"width", "first", "blank"}, "indent");
      const std::string* by = given[0].text();
      const int64_t width = by != nullptr || given[0].undefined() ? 4 : integer_of(given[0], "indent");
      if (width < 0 || width > 64) fail("indent by less than 0 or more than 64");
      return {indent(to_text(v), by != nullptr ? *by : std::string(static_cast<size_t>(width), ' '), truth(given[1]),
                     truth(given[2]))};
    };
    f["items"] = [](const Value& v, const Arguments&) -> Value { return pairs_of(v, "items"); };
    f["dictsort"] = [](const Value& v, const Arguments& a) -> Value {
      (void)a.read({}, "dictsort");
      Arguments by_key;
      by_key.named.emplace_back("attribute", Value("0"));
      return sorted(pairs_of(v, "dictsort"), by_key);
    };
    f["map"] = mapped;
    f["sort"] = sorted;
    for (const char* name : {"select", "reject", "selectattr", "rejectattr"}) f[name] = nullptr;
    return f;
  }();
  return all;
}

}  // namespace

std::vector<Value> Arguments::read(std::initializer_list<std::string_view> parameters, const std::string& of) const {
  std::vector<Value> out(parameters.size());
  if (values.size() > out.size()) {
    fail(of + " takes " + std::to_string(out.size()) + " arguments at most, not " + std::to_string(values.size()));
  }
  std::copy(values.begin(), values.end(), out.begin());
  for (const auto& [name, value] : named) {
    const auto at = std::find(parameters.begin(), parameters.end(), name);
    if (at == parameters.end()) fail(of + " has no parameter '" + name + "'");
    out[static_cast<size_t>(at - parameters.begin())] = value;
  }
  return out;
}

Value apply_filter(const std::string& name, const Value& value, const Arguments& arguments) {
  const auto found = filters().find(name);
  if (found == filters().end()) unsupported("the filter '" + name + "' is not supported");
  if (value.names() != nullptr) fail("the filter '" + name + "' of a namespace");
  return found->second == nullptr ? chosen(name, value, arguments) : found->second(value, arguments);
}

bool apply_test(const std::string& name, const Value& v, const Arguments& arguments) {
  const auto one = [&] { return arguments.read({"other"}, name)[0]; };
  const auto whole = [&] { return v.as<int64_t>() != nullptr; };
  if (name == "defined") return !v.undefined();
  if (name == "undefined") return v.undefined();
  if (name == "none") return v.none();
  if (name == "string") return v.text() != nullptr;
  if (name == "mapping") return v.dict() != nullptr;
  if (name == "iterable" || name == "sequence") {
    return v.text() != nullptr || v.list() != nullptr || v.dict() != nullptr || v.undefined();
  }
  if (name == "number") return v.number();
  if (name == "integer") return whole();
  if (name == "float") return v.as<double>() != nullptr;
  if (name == "boolean") return v.as<bool>() != nullptr;
  if (name == "true") return v.as<bool>() != nullptr && *v.as<bool>();
  if (name == "false") return v.as<bool>() != nullptr && !*v.as<bool>();
  if (name == "callable") return v.as<Function>() != nullptr || v.as<const Macro*>() != nullptr;
  if (name == "even") return integer_of(v, "even") % 2 == 0;
  if (name == "odd") return integer_of(v, "odd") % 2 != 0;
  if (name == "divisibleby") {
    const int64_t by = integer_of(one(), "divisibleby");
    if (by == 0) fail("divisibleby 0");
    return by == -1 || integer_of(v, "divisibleby") % by == 0;
  }
  if (name == "eq" || name == "equalto" || name == "sameas") return equal(v, one());
  if (name == "ne") return !equal(v, one());
  if (name == "lt" || name == "lessthan") return order(v, one()) < 0;
  if (name == "le") return order(v, one()) <= 0;
  if (name == "gt" || name == "greaterthan") return order(v, one()) > 0;
  if (name == "ge") return order(v, one()) >= 0;
  if (name == "in") return contains(one(), v);
  unsupported("the test '" + name + "' is not supported");
}

bool contains(const Value& all, const Value& one) {
  if (const auto* text = all.text()) return text->find(text_of(one, "in")) != std::string::npos;
  if (const auto* pairs = all.dict()) return one.text() != nullptr && find(*pairs, *one.text()) != nullptr;
  const List items = items_of(all, "in");
  return std::any_of(items.begin(), items.end(), [&](const Value& item) { return equal(item, one); });
}

Value item_of(const Value& value, const Value& key) {
  if (value.undefined()) fail("'" + value.as<Undefined>()->name + "' is undefined");
  if (const Dict* pairs = value.dict() != nullptr ? value.dict() : value.names()) {
    const Value* found = key.text() == nullptr ? nullptr : find(*pairs, *key.text());
    return found != nullptr ? *found : Value(Undefined{to_text(key)});
  }
  const List* items = value.list();
  if (items == nullptr && value.text() == nullptr) return {Undefined{to_text(key)}};
  int64_t at = 0;
  if (key.as<int64_t>() != nullptr) {
    at = *key.as<int64_t>();
  } else if (key.text() != nullptr && !key.text()->empty() &&
             std::all_of(key.text()->begin(), key.text()->end(), [](char c) { return c >= '0' && c <= '9'; }) &&
             key.text()->size() < 10) {
    at = std::stoll(*key.text());
  } else {
    return {Undefined{to_text(key)}};
  }
  const List shown = items != nullptr ? List() : items_of(value, "[]");
  const List& all = items != nullptr ? *items : shown;
  const auto size = static_cast<int64_t>(all.size());
  if (at < -size || at >= size) return {Undefined{"an item beyond the end"}};
  return all[static_cast<size_t>(at < 0 ? at + size : at)];
}

bool is_method(const Value& value, const std::string& name) {
  static const std::vector<std::string> of_text = {"capitalize", "endswith", "find",   "join",  "lower",
                                                   "lstrip",     "replace",  "rstrip", "split", "startswith",
                                                   "strip",      "title",    "upper"};
  static const std::vector<std::string> of_dict = {"get", "items", "keys", "values"};
  const auto& all = value.text() != nullptr ? of_text : of_dict;
  return (value.text() != nullptr || value.dict() != nullptr) && std::find(all.begin(), all.end(), name) != all.end();
}

Value call_method(const std::string& name, const Value& value, const Arguments& a) {
  if (value.dict() != nullptr) {
    if (name == "items") return pairs_of(value, "items");
    if (name == "keys") return make_list(items_of(value, "keys"));
    if (name == "values") {
      List out;
      for (const auto& [key, item] : *value.dict()) out.push_back(item);
      return make_list(std::move(out));
    }
    const auto given = a.read({"key", "default"}, "get");
    const Value* found = given[0].text() == nullptr ? nullptr : find(*value.dict(), *given[0].text());
    return found != nullptr ? *found : given[1].undefined() ? Value(None{}) : given[1];
  }
  const std::string& text = *value.text();
  if (name == "upper" || name == "lower" || name == "title" || name == "capitalize") return {change_case(text, name)};
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const auto given = a.read({"chars"}, name);
    return {trim(text, name != "rstrip", name != "lstrip", given[0].text())};
  }
  if (name == "split") {
    const auto given = a.read({"sep", "maxsplit"}, name);
    return split(text, given[0], given[1].undefined() ? -1 : integer_of(given[1], "split"));
  }
  if (name == "join") return join(items_of(a.read({"items"}, name)[0], "join"), text);
  if (name == "replace") {
    const auto given = a.read({"old", "new", "count"}, name);
    return {replace(text, text_of(given[0], "replace"), text_of(given[1], "replace"),
                    given[2].undefined() ? -1 : integer_of(given[2], "replace"))};
  }
  if (name == "find") {
    const size_t at = text.find(text_of(a.read({"sub"}, name)[0], "find"));
    if (at == std::string::npos) return {int64_t{-1}};
    return {static_cast<int64_t>(characters(text.substr(0, at)).size())};
  }
  // startswith, endswith: a text or several
  const Value which = a.read({"which"}, name)[0];
  const List any = which.list() != nullptr ? *which.list() : List{which};
  return {std::any_of(any.begin(), any.end(), [&](const Value& part) {
    const std::string& t = text_of(part, name.c_str());
    return name == "startswith" ? text.starts_with(t) : text.ends_with(t);
  })};
}

bool is_function(const std::string& name) {
  return name == "range" || name == "dict" || name == "namespace" || name == "raise_exception";
}

Value call_function(const std::string& name, const Arguments& arguments) {
  if (name == "raise_exception") {
    fail("the template says: " + to_text(arguments.read({"message"}, name)[0]));
  }
  if (name == "range") {
    const auto given = arguments.read({"start", "stop", "step"}, name);
    int64_t start = 0, stop = integer_of(given[0], "range"), step = 1;
    if (!given[1].undefined()) start = std::exchange(stop, integer_of(given[1], "range"));
    if (!given[2].undefined()) step = integer_of(given[2], "range");
    if (step == 0) fail("range with a step of 0");
    constexpr int64_t limit = 100'000;  // as Jinja's sandbox
    const auto beyond = [](int64_t v) { return v > limit || v < -limit; };
    if (beyond(start) || beyond(stop) || beyond(step)) {
      throw Failure{Code::limit_exceeded, 0, "a range beyond 100000"};
    }
    List out;
    for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step) out.emplace_back(i);
    return make_list(std::move(out));
  }
  Dict out;
  if (!arguments.values.empty()) fail(name + " takes named arguments");
  for (const auto& [key, value] : arguments.named) out.emplace_back(key, value);
  if (name == "dict") return make_dict(std::move(out));
  for (const auto& [key, value] : out) {
    if (value.names() != nullptr) fail("a namespace with a namespace in it");
  }
  return {std::make_shared<Dict>(std::move(out))};
}

}  // namespace onepass::chat
