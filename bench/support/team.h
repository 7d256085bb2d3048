// Two or more threads, each on a core of its own, that start together by spinning: what a fork costs is the cores'
// round trip and nothing else.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

namespace onepass::bench {

class Team {
 public:
  // The calling thread is part 0. Threads are pinned to the first `threads` cores that the process may use; throws
  // when there are fewer.
  explicit Team(unsigned threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // Calls task(part) on every thread and returns when all are done.
  void run(const std::function<void(size_t part)>& task);
  size_t size() const { return workers_.size() + 1; }

 private:
  // A line each: a worker that reports must not disturb one that waits.
  struct alignas(64) Flag {
    std::atomic<size_t> value{0};
  };
  Flag start_;
  std::vector<Flag> done_;
  const std::function<void(size_t)>* task_ = nullptr;
  std::atomic<bool> stop_{false};
  size_t turn_ = 0;
  std::vector<std::thread> workers_;
};

// Nanoseconds from one core to another and back, by a flag that two pinned threads hand to and fro: the median of
// many. 0 on a machine with one core.
double round_trip_ns();

}  // namespace onepass::bench
