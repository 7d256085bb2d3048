// A line on stderr that says how far a run is, when stderr is a terminal.
#pragma once

#include <cstddef>
#include <string>

namespace onepass::bench {

class Progress {
 public:
  explicit Progress(size_t steps);
  ~Progress();
  // The step that begins now.
  void step(const std::string& what);
  // Erases the line, before something is printed.
  void clear();

 private:
  bool shown_;
  size_t steps_, done_ = 0;
  double start_;
};

}  // namespace onepass::bench
