#include "bench/support/progress.h"

#include <unistd.h>

#include <cstdio>

#include "bench/support/interleave.h"

namespace onepass::bench {

Progress::Progress(size_t steps) : shown_(isatty(STDERR_FILENO) == 1), steps_(steps), start_(seconds_now()) {}

Progress::~Progress() { clear(); }

void Progress::step(const std::string& what) {
  if (!shown_) return;
  const double elapsed = seconds_now() - start_;
  char left[40] = "";
  if (done_ > 0 && steps_ > done_) {
    std::snprintf(left, sizeof left, ", about %.0f s left",
                  elapsed / static_cast<double>(done_) * static_cast<double>(steps_ - done_));
  }
  std::fprintf(stderr, "\r\033[K[%zu/%zu] %s%s", ++done_, steps_, what.c_str(), left);
  std::fflush(stderr);
}

void Progress::clear() {
  if (!shown_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
}

}  // namespace onepass::bench
