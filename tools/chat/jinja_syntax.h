// A template as a tree.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tools/chat/jinja_value.h"

namespace onepass::chat {

// What stands between {{ }} or {% %}, word by word, and the text between them.
struct Token {
  enum class Kind { text, begin_print, end_print, begin_block, end_block, name, string, integer, real, mark, end };
  Kind kind = Kind::end;
  std::string text;
  size_t line = 1;
};

// The words of a template, its whitespace already as trim_blocks, lstrip_blocks and the signs - and + have it.
std::vector<Token> split(std::string_view source);

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Argument {
  std::string name;  // empty: by position
  ExpressionPtr value;
};

struct Expression {
  enum class Kind {
    constant,
    name,
    list,
    dict,
    attribute,
    item,
    slice,
    call,
    filter,
    test,
    negate,
    plus,
    invert,
    both,
    either,
    choose,
    binary,
    compare
  };
  Kind kind;
  size_t line;
  std::string name{};  // of a name, attribute, filter, test or operator
  Value constant{};
  bool inverted = false;                 // `is not`
  std::vector<ExpressionPtr> parts{};    // operands; of a slice: value, first, last, step, where null is left out
  std::vector<std::string> operators{};  // of a comparison: between its parts
  std::vector<Argument> arguments{};
};

struct Statement;
using Block = std::vector<Statement>;

struct Macro {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<ExpressionPtr> defaults;  // of the last parameters
  Block body;
};

struct Statement {
  enum class Kind { text, print, condition, loop, set, set_block, macro, jump };
  Kind kind;
  size_t line;
  std::string text{};                   // of a text; "break" or "continue" of a jump
  std::vector<std::string> targets{};   // of set and for; "space.name" where a namespace's
  std::vector<ExpressionPtr> values{};  // printed, tested in turn, run over and filtered by, assigned
  std::vector<Block> blocks{};          // of the conditions, and of else
  std::unique_ptr<Macro> macro{};
};

Block parse(std::string_view source);

}  // namespace onepass::chat
