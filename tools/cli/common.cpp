#include "tools/cli/common.h"

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "formats/json/json.h"

namespace onepass::cli {

void fail(const std::string& what, const std::string& where, const std::string& why) {
  std::string line = what + ": " + (where.empty() ? "" : where + ": ") + why;
  // One line, whatever a file is called.
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  throw Failed{std::move(line)};
}

namespace {

std::string located(const std::string& where, uint64_t offset) {
  if (offset == Error::no_offset) return where;
  return where + (where.empty() ? "byte " : " at byte ") + std::to_string(offset);
}

}  // namespace

void fail(const std::string& what, const Failure& f) {
  fail(what, located(f.where, f.offset), f.message + " (" + onepass_status_name(f.status) + ")");
}

void fail(const std::string& what, const Error& e) {
  fail(what, located(e.where, e.offset), std::string(e.message) + " (" + code_name(e.code) + ")");
}

struct Progress::State {
  using Clock = std::chrono::steady_clock;
  std::string label;
  size_t total;
  Clock::time_point start = Clock::now();
  Clock::time_point shown{};
  bool visible = isatty(STDERR_FILENO) != 0;
  bool drawn = false;
};

Progress::Progress(std::string label, size_t total) : state_(std::make_unique<State>()) {
  state_->label = std::move(label);
  state_->total = total;
}

void Progress::advance(size_t done) {
  State& s = *state_;
  if (!s.visible) return;
  const auto now = State::Clock::now();
  if (done < s.total && now - s.shown < std::chrono::milliseconds(100)) return;
  // Nothing flickers for work that is over at once.
  if (!s.drawn && now - s.start < std::chrono::milliseconds(300)) return;
  s.shown = now;
  s.drawn = true;
  const double elapsed = std::chrono::duration<double>(now - s.start).count();
  if (s.total == 0) {
    std::fprintf(stderr, "\r\033[K%s %zu  %.0f s", s.label.c_str(), done, elapsed);
    return;
  }
  const double part = static_cast<double>(done) / static_cast<double>(s.total);
  const int filled = static_cast<int>(part * 30);
  std::fprintf(stderr, "\r\033[K%s [%-30.*s] %3.0f %%  %.0f s left", s.label.c_str(), filled,
               "##############################", part * 100, part > 0 ? elapsed * (1 - part) / part : 0.0);
}

Progress::~Progress() {
  if (state_->drawn) std::fputs("\r\033[K", stderr);
}

bool stdout_is_terminal() { return isatty(STDOUT_FILENO) != 0; }

std::string json_string(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string json_float(float value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", static_cast<double>(value));
  return text;
}

std::string json_double(double value) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  std::snprintf(text, sizeof(text), "%.6g", value);
  return text;
}

TextSource::TextSource(std::vector<std::string> arguments, const std::string& input)
    : arguments_(std::move(arguments)), input_(input) {
  if (input_.empty()) return;
  json_lines_ = input_.size() >= 6 && input_.substr(input_.size() - 6) == ".jsonl";
  if (input_ == "-") {
    stream_ = &std::cin;
    return;
  }
  file_ = std::make_unique<std::ifstream>(input_, std::ios::binary);
  if (!*file_) fail("cannot read the texts", input_, "the file cannot be opened");
  stream_ = file_.get();
}

std::string TextSource::where(size_t index) const {
  return (input_.empty() ? "text argument " : input_ + " line ") + std::to_string(index + 1);
}

bool TextSource::next_line(std::string& line) {
  if (!std::getline(*stream_, line)) {
    if (stream_->bad()) fail("cannot read the texts", input_, "reading failed");
    return false;
  }
  if (!line.empty() && line.back() == '\r') line.pop_back();
  ++position_;
  return true;
}

std::vector<std::string> TextSource::next(size_t count) {
  std::vector<std::string> texts;
  if (input_.empty()) {
    while (texts.size() < count && position_ < arguments_.size()) texts.push_back(arguments_[position_++]);
    return texts;
  }
  std::string line;
  while (texts.size() < count && next_line(line)) {
    if (!json_lines_) {
      texts.push_back(line);
      continue;
    }
    const std::string place = where(position_ - 1);
    const Json json = take(parse_json(line, size_t{1} << 30, place), "cannot read the texts");
    texts.push_back(take(JsonNode(json, place).string("text"), "cannot read the texts"));
  }
  return texts;
}

Model SessionFlags::open_model(const std::string& path) const {
  onepass_model_options options = ONEPASS_INIT(onepass_model_options);
  options.copy = copy;
  options.skip_verify = skip_verify;
  auto model = Model::open(path, options);
  if (!model) fail("cannot open the model " + path, model.error());
  return std::move(model).value();
}

Session SessionFlags::open_session(const Model& model) const {
  onepass_session_options options = ONEPASS_INIT(onepass_session_options);
  options.threads = threads;
  options.isa = isa.empty() ? nullptr : isa.c_str();
  return take(Session::open(model, options), "cannot open a session");
}

}  // namespace onepass::cli
