#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "tools/chat/jinja.h"
#include "tools/chat/jinja_syntax.h"

namespace onepass::chat {

namespace {

using Kind = Expression::Kind;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Block run() {
    Block block = statements({});
    if (now().kind != Token::Kind::end) fail("{% " + peek_name() + " %} ends nothing");
    return block;
  }

 private:
  // Recursion is bounded: a template of brackets ends with an error, not with the stack.
  class Deeper {
   public:
    explicit Deeper(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxDepth) {
        throw Failure{Code::too_deep, parser_.now().line, "expressions and blocks are nested more than 100 deep"};
      }
    }
    ~Deeper() { --parser_.depth_; }

   private:
    Parser& parser_;
  };

  const Token& now() const { return tokens_[at_]; }
  [[noreturn]] void fail(const std::string& message) const { throw Failure{Code::bad_syntax, now().line, message}; }
  Token take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }

  bool is(Token::Kind kind, std::string_view text) const { return now().kind == kind && now().text == text; }
  bool mark(std::string_view text) {
    if (!is(Token::Kind::mark, text)) return false;
    ++at_;
    return true;
  }
  bool word(std::string_view text) {
    if (!is(Token::Kind::name, text)) return false;
    ++at_;
    return true;
  }
  void expect_mark(std::string_view text) {
    if (!mark(text)) fail("'" + std::string(text) + "' is expected" + seen());
  }
  std::string seen() const { return now().text.empty() ? "" : ", not '" + now().text + "'"; }
  std::string name() {
    if (now().kind != Token::Kind::name) fail("a name is expected" + seen());
    return take().text;
  }
  void end_block() {
    if (now().kind != Token::Kind::end_block) fail("%} is expected" + seen());
    ++at_;
  }
  std::string peek_name() const { return at_ + 1 < tokens_.size() ? tokens_[at_ + 1].text : ""; }
  void end_tag(std::string_view text) {
    if (now().kind != Token::Kind::begin_block || peek_name() != text)
      fail("{% " + std::string(text) + " %} is missing");
    at_ += 2;
    end_block();
  }

  // Up to one of the tags, which is not taken.
  Block statements(std::initializer_list<std::string_view> ends) {
    const Deeper deeper(*this);
    Block block;
    while (now().kind != Token::Kind::end) {
      const size_t line = now().line;
      if (now().kind == Token::Kind::text) {
        block.push_back({Statement::Kind::text, line, take().text});
      } else if (now().kind == Token::Kind::begin_print) {
        ++at_;
        Statement print{Statement::Kind::print, line};
        print.values.push_back(tuple());
        if (now().kind != Token::Kind::end_print) fail("}} is expected" + seen());
        ++at_;
        block.push_back(std::move(print));
      } else if (std::find(ends.begin(), ends.end(), peek_name()) != ends.end()) {
        return block;
      } else {
        const bool ends_another = peek_name() == "else" || peek_name() == "elif" || peek_name().starts_with("end");
        if (ends_another) fail("{% " + peek_name() + " %} ends nothing that is open here");
        ++at_;
        statement(line, block);
      }
    }
    if (ends.size() != 0) fail("{% " + std::string(*(ends.end() - 1)) + " %} is missing");
    return block;
  }

  void statement(size_t line, Block& block) {
    const std::string kind = name();
    if (kind == "if") return block.push_back(condition(line));
    if (kind == "for") return block.push_back(loop(line));
    if (kind == "set") return block.push_back(set(line));
    if (kind == "macro") return block.push_back(macro(line));
    if (kind == "break" || kind == "continue") {
      if (loops_ == 0) fail("{% " + kind + " %} stands in no loop");
      end_block();
      block.push_back({Statement::Kind::jump, line, kind});
      return;
    }
    if (kind == "generation") {  // transformers marks with it what the model is to write
      end_block();
      for (Statement& inner : statements({"endgeneration"})) block.push_back(std::move(inner));
      return end_tag("endgeneration");
    }
    throw Failure{Code::unsupported, line, "the statement {% " + kind + " %} is not supported"};
  }

  Statement condition(size_t line) {
    Statement out{Statement::Kind::condition, line};
    out.values.push_back(tuple());
    end_block();
    out.blocks.push_back(statements({"elif", "else", "endif"}));
    while (peek_name() == "elif") {
      at_ += 2;
      out.values.push_back(tuple());
      end_block();
      out.blocks.push_back(statements({"elif", "else", "endif"}));
    }
    if (peek_name() == "else") {
      at_ += 2;
      end_block();
      out.blocks.push_back(statements({"endif"}));
    }
    end_tag("endif");
    return out;
  }

  std::vector<std::string> targets() {
    std::vector<std::string> names;
    const bool brackets = mark("(");
    do {
      names.push_back(name());
      if (names.size() == 1 && mark(".")) names[0] += "." + name();
    } while (mark(","));
    if (brackets) expect_mark(")");
    return names;
  }

  Statement loop(size_t line) {
    Statement out{Statement::Kind::loop, line};
    out.targets = targets();
    if (!word("in")) fail("'in' is expected" + seen());
    out.values.push_back(tuple(false));
    if (word("if")) out.values.push_back(expression());
    if (is(Token::Kind::name, "recursive")) {
      throw Failure{Code::unsupported, line, "a recursive loop is not supported"};
    }
    end_block();
    ++loops_;
    out.blocks.push_back(statements({"else", "endfor"}));
    --loops_;
    if (peek_name() == "else") {
      at_ += 2;
      end_block();
      out.blocks.push_back(statements({"endfor"}));
    }
    end_tag("endfor");
    return out;
  }

  Statement set(size_t line) {
    Statement out{Statement::Kind::set, line};
    out.targets = targets();
    if (mark("=")) {
      out.values.push_back(tuple());
      end_block();
      return out;
    }
    out.kind = Statement::Kind::set_block;
    if (out.targets.size() != 1) fail("'=' is expected" + seen());
    if (is(Token::Kind::mark, "|")) {
      throw Failure{Code::unsupported, line, "filters of a {% set %} block are not supported"};
    }
    end_block();
    out.blocks.push_back(statements({"endset"}));
    end_tag("endset");
    return out;
  }

  Statement macro(size_t line) {
    Statement out{Statement::Kind::macro, line};
    out.macro = std::make_unique<Macro>();
    out.macro->name = name();
    expect_mark("(");
    while (!mark(")")) {
      out.macro->parameters.push_back(name());
      if (mark("=")) {
        out.macro->defaults.push_back(expression());
      } else if (!out.macro->defaults.empty()) {
        fail("a parameter without a default follows one with");
      }
      if (!is(Token::Kind::mark, ")")) expect_mark(",");
    }
    end_block();
    const int loops = std::exchange(loops_, 0);
    out.macro->body = statements({"endmacro"});
    loops_ = loops;
    end_tag("endmacro");
    return out;
  }

  ExpressionPtr make(Kind kind, size_t line) const { return ExpressionPtr(new Expression{kind, line}); }
  ExpressionPtr make(Kind kind, ExpressionPtr a, ExpressionPtr b = nullptr, std::string text = {}) const {
    ExpressionPtr out = make(kind, a->line);
    out->name = std::move(text);
    out->parts.push_back(std::move(a));
    if (b != nullptr) out->parts.push_back(std::move(b));
    return out;
  }

  // What commas join is a tuple, which is a list here.
  ExpressionPtr tuple(bool conditional = true) {
    const size_t line = now().line;
    ExpressionPtr first = conditional ? expression() : either();
    if (!is(Token::Kind::mark, ",")) return first;
    ExpressionPtr out = make(Kind::list, line);
    out->parts.push_back(std::move(first));
    while (mark(",")) {
      if (now().kind == Token::Kind::end_block || now().kind == Token::Kind::end_print) break;
      out->parts.push_back(conditional ? expression() : either());
    }
    return out;
  }

  ExpressionPtr expression() {
    const Deeper deeper(*this);
    ExpressionPtr value = either();
    int chained = 0;
    while (word("if")) {
      ExpressionPtr out = make(Kind::choose, std::move(value), either());
      if (word("else")) out->parts.push_back(expression());
      value = std::move(out);
      deepen(++chained);
    }
    return value;
  }

  // Chains grow a tree to one side: what walks it would go as deep as they are long.
  void deepen(int length) const {
    if (length > kMaxDepth) throw Failure{Code::too_deep, now().line, "an expression of more than 100 parts in a row"};
  }

  ExpressionPtr either() {
    ExpressionPtr left = both();
    for (int n = 0; word("or"); deepen(++n)) left = make(Kind::either, std::move(left), both());
    return left;
  }
  ExpressionPtr both() {
    ExpressionPtr left = inverted();
    for (int n = 0; word("and"); deepen(++n)) left = make(Kind::both, std::move(left), inverted());
    return left;
  }
  ExpressionPtr inverted() {
    const Deeper deeper(*this);
    if (word("not")) return make(Kind::invert, inverted());
    return comparison();
  }

  ExpressionPtr comparison() {
    ExpressionPtr first = sum();
    ExpressionPtr out;
    const auto next = [&](std::string op) {
      if (out == nullptr) out = make(Kind::compare, std::move(first));
      out->operators.push_back(std::move(op));
      out->parts.push_back(sum());
    };
    while (true) {
      const bool compares =
          now().kind == Token::Kind::mark && (now().text == "==" || now().text == "!=" || now().text == "<" ||
                                              now().text == "<=" || now().text == ">" || now().text == ">=");
      if (compares) {
        next(take().text);
      } else if (word("in")) {
        next("in");
      } else if (is(Token::Kind::name, "not") && tokens_[at_ + 1].kind == Token::Kind::name &&
                 tokens_[at_ + 1].text == "in") {
        at_ += 2;
        next("not in");
      } else {
        return out == nullptr ? std::move(first) : std::move(out);
      }
    }
  }

  ExpressionPtr sum() {
    ExpressionPtr left = joined();
    for (int n = 0; is(Token::Kind::mark, "+") || is(Token::Kind::mark, "-"); deepen(++n)) {
      const std::string op = take().text;
      left = make(Kind::binary, std::move(left), joined(), op);
    }
    return left;
  }
  ExpressionPtr joined() {
    ExpressionPtr left = product();
    for (int n = 0; mark("~"); deepen(++n)) left = make(Kind::binary, std::move(left), product(), "~");
    return left;
  }
  ExpressionPtr product() {
    ExpressionPtr left = power();
    const auto at_product = [&] {
      return now().kind == Token::Kind::mark &&
             (now().text == "*" || now().text == "/" || now().text == "//" || now().text == "%");
    };
    for (int n = 0; at_product(); deepen(++n)) {
      const std::string op = take().text;
      left = make(Kind::binary, std::move(left), power(), op);
    }
    return left;
  }
  ExpressionPtr power() {
    ExpressionPtr left = unary(true);
    for (int n = 0; mark("**"); deepen(++n)) left = make(Kind::binary, std::move(left), unary(true), "**");
    return left;
  }

  ExpressionPtr unary(bool filters) {
    const Deeper deeper(*this);
    ExpressionPtr value;
    if (mark("-")) {
      value = make(Kind::negate, unary(false));
    } else if (mark("+")) {
      value = make(Kind::plus, unary(false));
    } else {
      value = primary();
    }
    value = postfix(std::move(value));
    return filters ? filtered(std::move(value)) : std::move(value);
  }

  ExpressionPtr primary() {
    const Token token = take();
    ExpressionPtr out = make(Kind::constant, token.line);
    switch (token.kind) {
      case Token::Kind::name:
        if (token.text == "true" || token.text == "True") {
          out->constant = true;
        } else if (token.text == "false" || token.text == "False") {
          out->constant = false;
        } else if (token.text == "none" || token.text == "None") {
          out->constant = None{};
        } else {
          out->kind = Kind::name;
          out->name = token.text;
        }
        return out;
      case Token::Kind::string: {
        std::string text = token.text;
        while (now().kind == Token::Kind::string) text += take().text;
        out->constant = std::move(text);
        return out;
      }
      case Token::Kind::integer: {
        int64_t value = 0;
        const char* const end = token.text.data() + token.text.size();
        if (std::from_chars(token.text.data(), end, value).ec != std::errc{}) fail("a number is too large");
        out->constant = value;
        return out;
      }
      case Token::Kind::real: {
        double value = 0;
        const char* const end = token.text.data() + token.text.size();
        if (std::from_chars(token.text.data(), end, value).ec != std::errc{}) fail("a number is too large");
        out->constant = value;
        return out;
      }
      default:
        break;
    }
    if (token.kind == Token::Kind::mark && token.text == "(") {
      ExpressionPtr inner = is(Token::Kind::mark, ")") ? make(Kind::list, token.line) : bracketed_tuple();
      expect_mark(")");
      return inner;
    }
    if (token.kind == Token::Kind::mark && token.text == "[") {
      out->kind = Kind::list;
      while (!mark("]")) {
        out->parts.push_back(expression());
        if (!is(Token::Kind::mark, "]")) expect_mark(",");
      }
      return out;
    }
    if (token.kind == Token::Kind::mark && token.text == "{") {
      out->kind = Kind::dict;
      while (!mark("}")) {
        out->parts.push_back(expression());
        expect_mark(":");
        out->parts.push_back(expression());
        if (!is(Token::Kind::mark, "}")) expect_mark(",");
      }
      return out;
    }
    if (token.kind != Token::Kind::end) --at_;
    fail("a value is expected" + seen());
  }

  ExpressionPtr bracketed_tuple() {
    const size_t line = now().line;
    ExpressionPtr first = expression();
    if (!is(Token::Kind::mark, ",")) return first;
    ExpressionPtr out = make(Kind::list, line);
    out->parts.push_back(std::move(first));
    while (mark(",") && !is(Token::Kind::mark, ")")) out->parts.push_back(expression());
    return out;
  }

  ExpressionPtr postfix(ExpressionPtr value) {
    for (int n = 0;; deepen(++n)) {
      if (mark(".")) {
        if (now().kind == Token::Kind::integer) {
          ExpressionPtr index = primary();
          value = make(Kind::item, std::move(value), std::move(index));
        } else {
          const std::string attribute = name();
          value = make(Kind::attribute, std::move(value), nullptr, attribute);
        }
      } else if (mark("[")) {
        value = subscript(std::move(value));
      } else if (is(Token::Kind::mark, "(")) {
        value = make(Kind::call, std::move(value));
        value->arguments = arguments();
      } else {
        return value;
      }
    }
  }

  ExpressionPtr subscript(ExpressionPtr value) {
    ExpressionPtr bounds[3];
    int part = 0;
    bool slice = false;
    while (!mark("]")) {
      if (mark(":")) {
        slice = true;
        if (++part > 2) fail("a slice has three parts at most");
      } else if (bounds[part] != nullptr) {
        fail("']' is expected" + seen());
      } else {
        bounds[part] = expression();
      }
    }
    if (!slice) {
      if (bounds[0] == nullptr) fail("an index is expected");
      return make(Kind::item, std::move(value), std::move(bounds[0]));
    }
    ExpressionPtr out = make(Kind::slice, std::move(value));
    for (ExpressionPtr& bound : bounds) out->parts.push_back(std::move(bound));
    return out;
  }

  std::vector<Argument> arguments() {
    expect_mark("(");
    std::vector<Argument> out;
    while (!mark(")")) {
      Argument argument;
      if (now().kind == Token::Kind::name && tokens_[at_ + 1].kind == Token::Kind::mark &&
          tokens_[at_ + 1].text == "=") {
        argument.name = take().text;
        ++at_;
      } else if (!out.empty() && !out.back().name.empty()) {
        fail("an argument without a name follows one with");
      }
      argument.value = expression();
      out.push_back(std::move(argument));
      if (!is(Token::Kind::mark, ")")) expect_mark(",");
    }
    return out;
  }

  ExpressionPtr filtered(ExpressionPtr value) {
    for (int n = 0;; deepen(++n)) {
      if (mark("|")) {
        const std::string filter = name();
        value = make(Kind::filter, std::move(value), nullptr, filter);
        if (is(Token::Kind::mark, "(")) value->arguments = arguments();
      } else if (word("is")) {
        const bool inverted = word("not");
        const std::string test = name();
        value = make(Kind::test, std::move(value), nullptr, test);
        value->inverted = inverted;
        if (is(Token::Kind::mark, "(")) {
          value->arguments = arguments();
        } else if (bare_argument()) {
          value->arguments.push_back({"", postfix(primary())});
        }
      } else if (is(Token::Kind::mark, "(")) {
        value = make(Kind::call, std::move(value));
        value->arguments = arguments();
      } else {
        return value;
      }
    }
  }

  // A test may have its argument without brackets: `is divisibleby 3`.
  bool bare_argument() const {
    switch (now().kind) {
      case Token::Kind::string:
      case Token::Kind::integer:
      case Token::Kind::real:
        return true;
      case Token::Kind::mark:
        return now().text == "[" || now().text == "{";
      case Token::Kind::name:
        return now().text != "else" && now().text != "or" && now().text != "and" && now().text != "if" &&
               now().text != "is" && now().text != "in" && now().text != "not" && now().text != "recursive";
      default:
        return false;
    }
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;
};

}  // namespace

Block parse(std::string_view source) { return Parser(split(source)).run(); }

}  // namespace onepass::chat
