#include <algorithm>
#include <cmath>
#include <new>

#include "tools/chat/jinja.h"
#include "tools/chat/jinja_library.h"
#include "tools/chat/jinja_syntax.h"

namespace onepass::chat {

namespace {

using Kind = Expression::Kind;
enum class Flow { next, leave_loop, next_item };

[[noreturn]] void fail(std::string message) { throw Failure{Code::bad_value, 0, std::move(message)}; }

// The names of one block that has names of its own: the template, a loop's body, a macro.
struct Scope {
  Dict names;
  Scope* outer = nullptr;
};

class Evaluator {
 public:
  explicit Evaluator(const Json& variables) {
    for (const auto& [name, value] : variables.items()) globals_.names.emplace_back(name, from_json(value));
  }

  std::string run(const Block& block) {
    std::string out;
    (void)run(block, globals_, out);
    return out;
  }

 private:
  class Deeper {
   public:
    explicit Deeper(int& depth) : depth_(depth) {
      if (++depth_ > 4 * kMaxDepth) throw Failure{Code::too_deep, 0, "expressions and calls are nested too deep"};
    }
    ~Deeper() { --depth_; }

   private:
    int& depth_;
  };

  void charge(size_t steps) {
    steps_ += steps;
    if (steps_ > kMaxSteps) throw Failure{Code::limit_exceeded, 0, "it takes more than 100000 steps"};
  }
  void emit(std::string& out, const std::string& text) const {
    out += text;
    if (out.size() > kMaxTemplateBytes) throw Failure{Code::limit_exceeded, 0, "it makes more than 1 MiB of text"};
  }

  Flow run(const Block& block, Scope& scope, std::string& out) {
    const Deeper deeper(depth_);
    for (const Statement& s : block) {
      try {
        const Flow flow = run(s, scope, out);
        if (flow != Flow::next) return flow;
      } catch (Failure& failure) {
        if (failure.line == 0) failure.line = s.line;
        throw;
      }
    }
    return Flow::next;
  }

  Flow run(const Statement& s, Scope& scope, std::string& out) {
    charge(1);
    switch (s.kind) {
      case Statement::Kind::text:
        emit(out, s.text);
        break;
      case Statement::Kind::print:
        emit(out, to_text(value(*s.values[0], scope)));
        break;
      case Statement::Kind::condition:
        for (size_t i = 0; i < s.values.size(); ++i) {
          if (truth(value(*s.values[i], scope))) return run(s.blocks[i], scope, out);
        }
        if (s.blocks.size() > s.values.size()) return run(s.blocks.back(), scope, out);
        break;
      case Statement::Kind::loop:
        return loop(s, scope, out);
      case Statement::Kind::set:
        assign(s.targets, value(*s.values[0], scope), scope);
        break;
      case Statement::Kind::set_block: {
        std::string text;
        Scope inner{{}, &scope};
        (void)run(s.blocks[0], inner, text);
        assign(s.targets, {std::move(text)}, scope);
        break;
      }
      case Statement::Kind::macro:
        set(scope, s.macro->name, {static_cast<const Macro*>(s.macro.get())});
        break;
      case Statement::Kind::jump:
        return s.text == "break" ? Flow::leave_loop : Flow::next_item;
    }
    return Flow::next;
  }

  static void set(Scope& scope, const std::string& name, Value value) {
    for (auto& [known, old] : scope.names) {
      if (known == name) {
        old = std::move(value);
        return;
      }
    }
    scope.names.emplace_back(name, std::move(value));
  }

  void assign(const std::vector<std::string>& targets, const Value& value, Scope& scope) {
    if (targets.size() == 1) {
      const size_t dot = targets[0].find('.');
      if (dot == std::string::npos) return set(scope, targets[0], value);
      const Value space = lookup(targets[0].substr(0, dot), scope);
      if (space.names() == nullptr) fail(targets[0] + " is set, but " + targets[0].substr(0, dot) + " is no namespace");
      if (value.names() != nullptr) fail("a namespace with a namespace in it");
      Dict& names = *space.names();
      const std::string name = targets[0].substr(dot + 1);
      const auto at = std::find_if(names.begin(), names.end(), [&](const auto& pair) { return pair.first == name; });
      if (at != names.end()) {
        at->second = value;
      } else {
        names.emplace_back(name, value);
      }
      return;
    }
    const List items = items_of(value, "assignment to several names");
    if (items.size() != targets.size()) {
      fail(std::to_string(targets.size()) + " names for " + std::to_string(items.size()) + " values");
    }
    for (size_t i = 0; i < items.size(); ++i) set(scope, targets[i], items[i]);
  }

  Flow loop(const Statement& s, Scope& scope, std::string& out) {
    List items = items_of(value(*s.values[0], scope), "for");
    charge(items.size());
    if (s.values.size() > 1) {
      List kept;
      for (Value& item : items) {
        Scope inner{{}, &scope};
        assign(s.targets, item, inner);
        if (truth(value(*s.values[1], inner))) kept.push_back(std::move(item));
      }
      items = std::move(kept);
    }
    if (items.empty() && s.blocks.size() > 1) return run(s.blocks[1], scope, out);
    const auto n = static_cast<int64_t>(items.size());
    for (int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<size_t>(i);
      Scope inner{{}, &scope};
      Dict names{{"index", {i + 1}},  {"index0", {i}},        {"revindex", {n - i}}, {"revindex0", {n - i - 1}},
                 {"first", {i == 0}}, {"last", {i == n - 1}}, {"length", {n}}};
      if (i > 0) names.emplace_back("previtem", items[at - 1]);
      if (i + 1 < n) names.emplace_back("nextitem", items[at + 1]);
      inner.names.emplace_back("loop", Value(std::make_shared<Dict>(std::move(names))));
      assign(s.targets, items[at], inner);
      if (run(s.blocks[0], inner, out) == Flow::leave_loop) break;
    }
    return Flow::next;
  }

  Value lookup(const std::string& name, const Scope& scope) const {
    for (const Scope* s = &scope; s != nullptr; s = s->outer) {
      if (const Value* found = find(s->names, name)) return *found;
    }
    if (is_function(name)) return {Function{name, nullptr}};
    return {Undefined{name}};
  }

  Value value(const Expression& e, Scope& scope) {
    const Deeper deeper(depth_);
    charge(1);
    try {
      Value out = compute(e, scope);
      charge(weight_of(out) / 16);
      if (out.text() != nullptr && out.text()->size() > kMaxTemplateBytes) {
        throw Failure{Code::limit_exceeded, 0, "a text of more than 1 MiB"};
      }
      return out;
    } catch (Failure& failure) {
      if (failure.line == 0) failure.line = e.line;
      throw;
    }
  }

  Value compute(const Expression& e, Scope& scope) {
    switch (e.kind) {
      case Kind::constant:
        return e.constant;
      case Kind::name:
        return lookup(e.name, scope);
      case Kind::list: {
        List items;
        for (const ExpressionPtr& part : e.parts) items.push_back(value(*part, scope));
        return make_list(std::move(items));
      }
      case Kind::dict:
        return dict(e, scope);
      case Kind::attribute:
        return attribute(value(*e.parts[0], scope), e.name);
      case Kind::item: {
        const Value of = value(*e.parts[0], scope);
        const Value key = value(*e.parts[1], scope);
        Value found = item_of(of, key);
        if (found.undefined() && key.text() != nullptr && is_method(of, *key.text())) return attribute(of, *key.text());
        return found;
      }
      case Kind::slice:
        return slice(e, scope);
      case Kind::call:
        return call(value(*e.parts[0], scope), arguments(e, scope));
      case Kind::filter:
        return apply_filter(e.name, value(*e.parts[0], scope), arguments(e, scope));
      case Kind::test:
        return {apply_test(e.name, value(*e.parts[0], scope), arguments(e, scope)) != e.inverted};
      case Kind::negate:
        return negative(value(*e.parts[0], scope));
      case Kind::plus: {
        Value of = value(*e.parts[0], scope);
        (void)number_of(of, "+");
        return of;
      }
      case Kind::invert:
        return {!truth(value(*e.parts[0], scope))};
      case Kind::both: {
        Value left = value(*e.parts[0], scope);
        return truth(left) ? value(*e.parts[1], scope) : left;
      }
      case Kind::either: {
        Value left = value(*e.parts[0], scope);
        return truth(left) ? left : value(*e.parts[1], scope);
      }
      case Kind::choose:
        if (truth(value(*e.parts[1], scope))) return value(*e.parts[0], scope);
        return e.parts.size() > 2 ? value(*e.parts[2], scope) : Value(Undefined{"an if without else"});
      case Kind::binary:
        return binary(e.name, value(*e.parts[0], scope), value(*e.parts[1], scope));
      case Kind::compare:
        return compare(e, scope);
    }
    return {};
  }

  Value dict(const Expression& e, Scope& scope) {
    Dict items;
    for (size_t i = 0; i + 1 < e.parts.size(); i += 2) {
      const Value key = value(*e.parts[i], scope);
      Value item = value(*e.parts[i + 1], scope);
      const std::string& name = text_of(key, "a dict's key");
      const auto at = std::find_if(items.begin(), items.end(), [&](const auto& pair) { return pair.first == name; });
      if (at != items.end()) {
        at->second = std::move(item);
      } else {
        items.emplace_back(name, std::move(item));
      }
    }
    return make_dict(std::move(items));
  }

  static Value attribute(const Value& of, const std::string& name) {
    if (is_method(of, name)) return {Function{name, std::make_shared<const Value>(of)}};
    if (of.list() != nullptr || of.text() != nullptr) return {Undefined{name}};
    return item_of(of, {name});
  }

  Value slice(const Expression& e, Scope& scope) {
    const Value of = value(*e.parts[0], scope);
    const List all = items_of(of, "a slice");
    const auto size = static_cast<int64_t>(all.size());
    const auto bound = [&](size_t part, int64_t otherwise) {
      if (e.parts[part] == nullptr) return otherwise;
      const Value given = value(*e.parts[part], scope);
      return given.none() ? otherwise : integer_of(given, "a slice");
    };
    const int64_t step = bound(3, 1);
    if (step == 0) fail("a slice with a step of 0");
    const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    const auto place = [&](size_t part, int64_t otherwise) {
      int64_t at = bound(part, otherwise);
      if (e.parts[part] == nullptr) return at;
      if (at < 0) at = at < -size ? low - size : at;
      return std::clamp(at < 0 ? at + size : at, low, high);
    };
    const int64_t first = place(1, step > 0 ? 0 : size - 1), last = place(2, step > 0 ? size : -1);
    List out;
    const int64_t stride = std::clamp<int64_t>(step, -size - 1, size + 1);
    for (int64_t i = first; step > 0 ? i < last : i > last; i += stride) out.push_back(all[static_cast<size_t>(i)]);
    if (of.text() == nullptr) return make_list(std::move(out));
    std::string text;
    for (const Value& c : out) text += *c.text();
    return {std::move(text)};
  }

  Arguments arguments(const Expression& e, Scope& scope) {
    Arguments out;
    for (const Argument& argument : e.arguments) {
      Value given = value(*argument.value, scope);
      if (argument.name.empty()) {
        out.values.push_back(std::move(given));
      } else {
        out.named.emplace_back(argument.name, std::move(given));
      }
    }
    return out;
  }

  Value call(const Value& callee, const Arguments& given) {
    if (const auto* function = callee.as<Function>()) {
      return function->self == nullptr ? call_function(function->name, given)
                                       : call_method(function->name, *function->self, given);
    }
    if (const auto* macro = callee.as<const Macro*>()) return expand(**macro, given);
    if (callee.undefined()) {
      const std::string& name = callee.as<Undefined>()->name;
      throw Failure{Code::unsupported, 0, "the function or method '" + name + "' is not supported"};
    }
    fail(std::string("a call of ") + kind_of(callee));
  }

  Value expand(const Macro& macro, const Arguments& given) {
    const Deeper deeper(depth_);
    Scope scope{{}, &globals_};
    const size_t count = macro.parameters.size();
    if (given.values.size() > count) fail("the macro " + macro.name + " takes fewer arguments");
    for (size_t i = 0; i < given.values.size(); ++i) set(scope, macro.parameters[i], given.values[i]);
    for (const auto& [name, value] : given.named) {
      if (std::find(macro.parameters.begin(), macro.parameters.end(), name) == macro.parameters.end()) {
        fail("the macro " + macro.name + " has no parameter '" + name + "'");
      }
      set(scope, name, value);
    }
    for (size_t i = 0; i < count; ++i) {
      if (find(scope.names, macro.parameters[i]) != nullptr) continue;
      const size_t without = count - macro.defaults.size();
      set(scope, macro.parameters[i],
          i < without ? Value(Undefined{macro.parameters[i]}) : value(*macro.defaults[i - without], scope));
    }
    std::string out;
    (void)run(macro.body, scope, out);
    return {std::move(out)};
  }

  static Value negative(const Value& of) {
    if (of.as<double>() != nullptr) return {-*of.as<double>()};
    int64_t out = 0;
    if (__builtin_sub_overflow(int64_t{0}, integer_of(of, "-"), &out)) fail("a number is too large");
    return {out};
  }

  static Value binary(const std::string& op, const Value& a, const Value& b) {
    if (op == "~") return {to_text(a) + to_text(b)};
    for (const Value* v : {&a, &b}) {
      if (v->undefined()) fail("'" + v->as<Undefined>()->name + "' is undefined");
    }
    if (op == "+" && a.text() != nullptr && b.text() != nullptr) return {*a.text() + *b.text()};
    if (op == "+" && a.list() != nullptr && b.list() != nullptr) {
      List all = *a.list();
      all.insert(all.end(), b.list()->begin(), b.list()->end());
      return make_list(std::move(all));
    }
    if (op == "*" && a.text() != nullptr && b.as<int64_t>() != nullptr) {
      const int64_t times = std::max<int64_t>(0, *b.as<int64_t>());
      if (a.text()->empty()) return {std::string()};
      if (static_cast<uint64_t>(times) > kMaxTemplateBytes / a.text()->size()) {
        throw Failure{Code::limit_exceeded, 0, "a text of more than 1 MiB"};
      }
      std::string out;
      for (int64_t i = 0; i < times; ++i) out += *a.text();
      return {std::move(out)};
    }
    if (op == "%" && a.text() != nullptr) {
      throw Failure{Code::unsupported, 0, "a format of % is not supported"};
    }
    if (!a.number() || !b.number()) {
      fail("no " + op + " of " + kind_of(a) + " and " + kind_of(b));
    }
    const bool whole = a.as<double>() == nullptr && b.as<double>() == nullptr;
    if (!whole || op == "/" || op == "**") return real(op, number_of(a, "+"), number_of(b, "+"), whole);
    const int64_t x = integer_of(a, "+"), y = integer_of(b, "+");
    int64_t out = 0;
    bool over = false;
    if (op == "+") over = __builtin_add_overflow(x, y, &out);
    if (op == "-") over = __builtin_sub_overflow(x, y, &out);
    if (op == "*") over = __builtin_mul_overflow(x, y, &out);
    if (op == "//" || op == "%") {
      if (y == 0) fail("division by 0");
      if (y == -1) {
        over = op == "//" && __builtin_sub_overflow(int64_t{0}, x, &out);
      } else {  // towards minus infinity, as Python
        const int64_t rest = x % y, lower = rest != 0 && (rest < 0) != (y < 0);
        out = op == "//" ? x / y - lower : rest + lower * y;
      }
    }
    if (over) fail("a number is too large");
    return {out};
  }

  static Value real(const std::string& op, double x, double y, bool whole) {
    if ((op == "/" || op == "//" || op == "%") && y == 0) fail("division by 0");
    if (op == "+") return {x + y};
    if (op == "-") return {x - y};
    if (op == "*") return {x * y};
    if (op == "/") return {x / y};
    if (op == "//") return {std::floor(x / y)};
    if (op == "%") return {x - y * std::floor(x / y)};
    const double power = std::pow(x, y);
    if (!whole || y < 0) return {power};
    if (!(std::fabs(power) < 9e15)) fail("a number is too large");
    return {static_cast<int64_t>(power)};
  }

  Value compare(const Expression& e, Scope& scope) {
    Value left = value(*e.parts[0], scope);
    for (size_t i = 0; i < e.operators.size(); ++i) {
      const std::string& op = e.operators[i];
      Value right = value(*e.parts[i + 1], scope);
      bool holds = false;
      if (op == "==" || op == "!=") {
        holds = equal(left, right) == (op == "==");
      } else if (op == "in" || op == "not in") {
        holds = contains(right, left) == (op == "in");
      } else {
        const int way = order(left, right);
        holds = op == "<" ? way < 0 : op == "<=" ? way <= 0 : op == ">" ? way > 0 : way >= 0;
      }
      if (!holds) return {false};
      left = std::move(right);
    }
    return {true};
  }

  Scope globals_;
  size_t steps_ = 0;
  int depth_ = 0;
};

}  // namespace

Result<std::string> render(std::string_view source, const Json& variables, std::string_view where) {
  if (source.size() > kMaxTemplateBytes) {
    return make_error(Code::limit_exceeded, Error::no_offset, where, "a chat template of more than 1 MiB");
  }
  try {
    const Block block = parse(source);
    return Evaluator(variables).run(block);
  } catch (const Failure& failure) {
    return make_error(failure.code, Error::no_offset, where, "line %zu of the chat template: %s", failure.line,
                      failure.message.c_str());
  } catch (const std::bad_alloc&) {
    return make_error(Code::out_of_memory, Error::no_offset, where, "no memory for the chat template");
  }
}

}  // namespace onepass::chat
