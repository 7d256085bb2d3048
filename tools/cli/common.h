// What the subcommands share: errors, inputs, progress, and JSON text with exact numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <istream>
#include <memory>
#include <onepass/onepass.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/result.h"

namespace onepass::cli {

// The input or a file is at fault: one line on stderr, exit status 1.
struct Failed {
  std::string line;  // "<what>: <where>: <why, and what to do>"
};
// The command line is at fault: exit status 2.
struct Misused {
  std::string line;
};
[[noreturn]] void fail(const std::string& what, const std::string& where, const std::string& why);
[[noreturn]] void fail(const std::string& what, const Failure& failure);
[[noreturn]] void fail(const std::string& what, const Error& error);

template <class T>
T take(Expected<T> result, const std::string& what) {
  if (!result) fail(what, result.error());
  return std::move(result).value();
}
template <class T>
T take(Result<T> result, const std::string& what) {
  if (!result.ok()) fail(what, result.error());
  return std::move(result).value();
}
inline void take(Status status, const std::string& what) {
  if (!status.ok()) fail(what, status.error());
}

// A progress bar on stderr while it lives, where stderr is a terminal.
class Progress {
 public:
  Progress(std::string label, size_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void advance(size_t done);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

bool stdout_is_terminal();

// JSON text of a string (invalid UTF-8 becomes U+FFFD) and of a number. Floats have 9 significant digits: equal text
// means equal bits.
std::string json_string(std::string_view text);
std::string json_float(float value);
std::string json_double(double value);

// The texts of a command: its arguments, or the lines of a file ("-": standard input), or the "text" of the JSON lines
// of a file whose name ends in .jsonl.
class TextSource {
 public:
  TextSource(std::vector<std::string> arguments, const std::string& input);
  // Up to `count` further texts; empty at the end.
  std::vector<std::string> next(size_t count);
  // Where text `index` (counted from 0) comes from, for error messages.
  std::string where(size_t index) const;
  // Number of texts where it is known before reading, else 0.
  size_t known_size() const { return input_.empty() ? arguments_.size() : 0; }

 private:
  bool next_line(std::string& line);

  std::vector<std::string> arguments_;
  std::string input_;
  bool json_lines_ = false;
  std::unique_ptr<std::istream> file_;
  std::istream* stream_ = nullptr;
  size_t position_ = 0;  // arguments or lines taken
};

// Options that several commands have.
struct SessionFlags {
  uint32_t threads = 1;
  std::string isa;
  bool copy = false;
  bool skip_verify = false;

  Model open_model(const std::string& path) const;
  Session open_session(const Model& model) const;
};

}  // namespace onepass::cli
