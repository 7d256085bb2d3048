#include "bench/support/team.h"

#include <pthread.h>
#include <sched.h>

#include <stdexcept>
#include <string>

#include "bench/support/interleave.h"
#include "bench/support/statistics.h"

namespace onepass::bench {

namespace {

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) cores.push_back(i);
  }
  return cores;
}

void pin(pthread_t thread, int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(thread, sizeof set, &set);
}

// Gives a waiting hyperthread its turn; not a system call.
void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

void wait_for(const std::atomic<size_t>& flag, size_t value) {
  while (flag.load(std::memory_order_acquire) != value) relax();
}

}  // namespace

Team::Team(unsigned threads) : done_(threads == 0 ? 0 : threads - 1) {
  const std::vector<int> cores = allowed_cores();
  if (threads > 1 && cores.size() < threads) {
    throw std::runtime_error(std::to_string(threads) + " threads: this process may use " +
                             std::to_string(cores.size()) + " cores");
  }
  for (size_t i = 0; i < done_.size(); ++i) {
    workers_.emplace_back([this, i] {
      for (size_t turn = 1;; ++turn) {
        wait_for(start_.value, turn);
        if (stop_.load(std::memory_order_relaxed)) return;
        (*task_)(i + 1);
        done_[i].value.store(turn, std::memory_order_release);
      }
    });
    pin(workers_.back().native_handle(), cores[i + 1]);
  }
  if (threads > 1) pin(pthread_self(), cores[0]);
}

Team::~Team() {
  stop_.store(true, std::memory_order_relaxed);
  start_.value.store(turn_ + 1, std::memory_order_release);
  for (std::thread& worker : workers_) worker.join();
  if (workers_.empty()) return;
  // Every core again, for whatever runs next on this thread.
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int i = 0; i < CPU_SETSIZE; ++i) CPU_SET(i, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

void Team::run(const std::function<void(size_t)>& task) {
  task_ = &task;
  ++turn_;
  start_.value.store(turn_, std::memory_order_release);
  task(0);
  for (const Flag& done : done_) wait_for(done.value, turn_);
}

double round_trip_ns() {
  if (allowed_cores().size() < 2) return 0;
  Team team(2);
  const std::function<void(size_t)> nothing = [](size_t) {};
  constexpr size_t kTrips = 1000, kSamples = 51;
  std::vector<double> samples;
  for (size_t s = 0; s < kSamples; ++s) {
    const double start = seconds_now();
    for (size_t i = 0; i < kTrips; ++i) team.run(nothing);
    samples.push_back((seconds_now() - start) / kTrips * 1e9);
  }
  return quantile(samples, 0.5);
}

}  // namespace onepass::bench
