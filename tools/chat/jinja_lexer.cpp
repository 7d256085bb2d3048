#include <algorithm>
#include <cctype>

#include "tools/chat/jinja_syntax.h"

namespace onepass::chat {

namespace {

class Splitter {
 public:
  explicit Splitter(std::string_view source) {
    source_.reserve(source.size());
    for (size_t i = 0; i < source.size(); ++i) {
      if (source[i] == '\r') {
        if (i + 1 < source.size() && source[i + 1] == '\n') continue;
        source_ += '\n';
      } else {
        source_ += source[i];
      }
    }
    if (source_.ends_with('\n')) source_.pop_back();
  }

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t open = find_open();
      add_text(open);
      if (open == std::string::npos) break;
      const char kind = source_[open + 1];
      at_ = open + 2;
      if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) ++at_;
      if (kind == '#') {
        skip_comment();
      } else if (kind == '%' && raw()) {
        continue;
      } else {
        add(kind == '%' ? Token::Kind::begin_block : Token::Kind::begin_print, "");
        words(kind);
      }
    }
    add(Token::Kind::end, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const { throw Failure{Code::bad_syntax, line_, message}; }
  void add(Token::Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  size_t find_open() const {
    for (size_t i = at_; i + 1 < source_.size(); ++i) {
      if (source_[i] == '{' && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#')) return i;
    }
    return std::string::npos;
  }

  // The text up to `open`, cut as the tags on both of its sides ask.
  void add_text(size_t open) {
    const size_t end = open == std::string::npos ? source_.size() : open;
    std::string text = source_.substr(at_, end - at_);
    const size_t lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
    if (strip_next_) text = trim(text, true, false);
    if (cut_newline_ && text.starts_with('\n')) text.erase(0, 1);
    if (open != std::string::npos) {
      const char sign = open + 2 < source_.size() ? source_[open + 2] : '\0';
      if (sign == '-') {
        text = trim(text, false, true);
      } else if (source_[open + 1] != '{' && sign != '+') {
        // Only white space between the start of the line and a block goes. The start may lie before this text's.
        const size_t last = text.find_last_not_of(" \t\v\f");
        const bool starts_line = at_ == 0 || source_[at_ - 1] == '\n' || cut_newline_here();
        if (last == std::string::npos ? starts_line : text[last] == '\n') {
          text.resize(last == std::string::npos ? 0 : last + 1);
        }
      }
    }
    strip_next_ = cut_newline_ = false;
    if (!text.empty()) add(Token::Kind::text, std::move(text));
    line_ += lines;
    at_ = end;
  }
  bool cut_newline_here() const { return cut_newline_ && at_ < source_.size() && source_[at_] == '\n'; }

  void close(char kind, char sign) {
    at_ += 2;
    strip_next_ = sign == '-';
    cut_newline_ = kind != '{' && sign == '\0';
  }

  void skip_comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) fail("a comment {# has no end");
    line_ += static_cast<size_t>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                            source_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    const char before = end > at_ ? source_[end - 1] : '\0';
    at_ = end;
    close('#', before == '-' || before == '+' ? before : '\0');
  }

  // Behind {% `at` stands: where behind "word %}" it ends, or npos; and the sign before %}.
  size_t match_tag(size_t at, std::string_view word, char* sign) const {
    const auto skip = [&] {
      while (at < source_.size() && std::isspace(static_cast<unsigned char>(source_[at])) != 0) ++at;
    };
    skip();
    if (source_.compare(at, word.size(), word) != 0) return std::string::npos;
    at += word.size();
    skip();
    *sign = at < source_.size() && source_[at] == '-' ? '-' : '\0';
    if (*sign == '-') ++at;
    return source_.compare(at, 2, "%}") == 0 ? at + 2 : std::string::npos;
  }

  // {% raw %} ... {% endraw %}, whose text is none of ours.
  bool raw() {
    char strip = '\0', strip_after = '\0';
    const size_t start = match_tag(at_, "raw", &strip);
    if (start == std::string::npos) return false;
    size_t tag = start, end = std::string::npos;
    bool strip_before = false;
    for (;; ++tag) {
      tag = source_.find("{%", tag);
      if (tag == std::string::npos) fail("{% raw %} has no {% endraw %}");
      strip_before = source_.compare(tag + 2, 1, "-") == 0;
      end = match_tag(tag + (strip_before ? 3 : 2), "endraw", &strip_after);
      if (end != std::string::npos) break;
    }
    std::string text = source_.substr(start, tag - start);
    const size_t lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
    text = trim(text, strip == '-', strip_before);
    if (!text.empty()) add(Token::Kind::text, std::move(text));
    line_ += lines;
    at_ = end;
    strip_next_ = strip_after == '-';
    cut_newline_ = !strip_next_;
    return true;
  }

  void words(char kind) {
    const std::string end = kind == '%' ? "%}" : "}}";
    int open = 0;  // brackets: }} may end two dicts
    while (true) {
      while (at_ < source_.size() && std::isspace(static_cast<unsigned char>(source_[at_])) != 0) {
        line_ += source_[at_++] == '\n';
      }
      if (at_ >= source_.size()) fail("a tag has no " + end);
      const char c = source_[at_];
      const bool signed_end = (c == '-' || c == '+') && source_.compare(at_ + 1, 2, end) == 0;
      if (open == 0 && (signed_end || source_.compare(at_, 2, end) == 0)) {
        if (signed_end) ++at_;
        add(kind == '%' ? Token::Kind::end_block : Token::Kind::end_print, "");
        close(kind, signed_end ? c : '\0');
        return;
      }
      if (std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_') {
        name();
      } else if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
        number();
      } else if (c == '"' || c == '\'') {
        string(c);
      } else {
        open += c == '(' || c == '[' || c == '{' ? 1 : c == ')' || c == ']' || c == '}' ? -1 : 0;
        mark();
      }
    }
  }

  void name() {
    const size_t start = at_;
    while (at_ < source_.size() &&
           (std::isalnum(static_cast<unsigned char>(source_[at_])) != 0 || source_[at_] == '_')) {
      ++at_;
    }
    add(Token::Kind::name, source_.substr(start, at_ - start));
  }

  void number() {
    const auto digits = [&] {
      while (at_ < source_.size() &&
             (std::isdigit(static_cast<unsigned char>(source_[at_])) != 0 || source_[at_] == '_')) {
        ++at_;
      }
    };
    const size_t start = at_;
    Token::Kind kind = Token::Kind::integer;
    digits();
    if (at_ + 1 < source_.size() && source_[at_] == '.' &&
        std::isdigit(static_cast<unsigned char>(source_[at_ + 1])) != 0) {
      kind = Token::Kind::real;
      ++at_;
      digits();
    }
    if (at_ + 1 < source_.size() && (source_[at_] == 'e' || source_[at_] == 'E')) {
      const size_t sign = source_[at_ + 1] == '+' || source_[at_ + 1] == '-' ? 2 : 1;
      if (at_ + sign < source_.size() && std::isdigit(static_cast<unsigned char>(source_[at_ + sign])) != 0) {
        kind = Token::Kind::real;
        at_ += sign;
        digits();
      }
    }
    std::string text = source_.substr(start, at_ - start);
    std::erase(text, '_');
    add(kind, text);
  }

  void string(char quote) {
    std::string text;
    const size_t first_line = line_;
    for (++at_;; ++at_) {
      if (at_ >= source_.size()) fail("a string has no end");
      char c = source_[at_];
      if (c == quote) break;
      line_ += c == '\n';
      if (c == '\\' && at_ + 1 < source_.size()) {
        c = source_[++at_];
        line_ += c == '\n';
        if (c == 'x' || c == 'u' || c == 'U') {
          code_point(c == 'x' ? 2 : c == 'u' ? 4 : 8, text);
          continue;
        }
        constexpr std::string_view escapes = "n\nt\tr\rb\bf\fv\va\a0\0";
        if (c == '\n') continue;
        if (const size_t found = std::string_view("ntrbfva").find(c); found != std::string_view::npos) {
          text += escapes[2 * found + 1];
        } else if (c == '\\' || c == '\'' || c == '"') {
          text += c;
        } else if (std::isdigit(static_cast<unsigned char>(c)) != 0 || c == 'N') {
          fail(std::string("the escape \\") + c + " is not supported");
        } else {
          (text += '\\') += c;
        }
        continue;
      }
      text += c;
    }
    ++at_;
    tokens_.push_back({Token::Kind::string, std::move(text), first_line});
  }

  void code_point(size_t digits, std::string& text) {
    uint32_t value = 0;
    for (size_t i = 0; i < digits; ++i) {
      const char c = ++at_ < source_.size() ? source_[at_] : '\0';
      if (std::isxdigit(static_cast<unsigned char>(c)) == 0) fail("a string has an escape without its digits");
      value = value * 16 + static_cast<uint32_t>(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) fail("a string has an escape of no character");
    const auto byte = [&](uint32_t b) { text += static_cast<char>(b); };
    if (value < 0x80) {
      byte(value);
    } else if (value < 0x800) {
      byte(0xC0 | value >> 6), byte(0x80 | (value & 63));
    } else if (value < 0x10000) {
      byte(0xE0 | value >> 12), byte(0x80 | (value >> 6 & 63)), byte(0x80 | (value & 63));
    } else {
      byte(0xF0 | value >> 18), byte(0x80 | (value >> 12 & 63)), byte(0x80 | (value >> 6 & 63)),
          byte(0x80 | (value & 63));
    }
  }

  void mark() {
    constexpr std::string_view two[] = {"==", "!=", "<=", ">=", "//", "**"};
    for (const std::string_view m : two) {
      if (source_.compare(at_, 2, m) == 0) {
        add(Token::Kind::mark, std::string(m));
        at_ += 2;
        return;
      }
    }
    if (std::string_view("+-*/%~<>=()[]{}.,:|").find(source_[at_]) == std::string_view::npos) {
      fail(std::string("the character '") + source_[at_] + "' has no meaning here");
    }
    add(Token::Kind::mark, std::string(1, source_[at_++]));
  }

  std::string source_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  size_t line_ = 1;
  bool strip_next_ = false;   // the tag before ended with -
  bool cut_newline_ = false;  // trim_blocks: the tag before was a block or comment
};

}  // namespace

std::vector<Token> split(std::string_view source) { return Splitter(source).run(); }

}  // namespace onepass::chat
