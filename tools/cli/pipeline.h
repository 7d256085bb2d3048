// Work on a stream with many hands: one thread reads, some work, and the caller's writes, in the order of the input.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace onepass::cli {

// read(in) gives the next piece, false at the end; work(worker, in) runs on the thread of that worker; write(in, out)
// runs on the calling thread, piece by piece in order. What one of them throws comes out of here in its place: after
// everything before it was written. At most 2 * workers + 2 pieces are held.
template <class In, class Out>
void run_in_order(size_t workers, const std::function<bool(In&)>& read,
                  const std::function<Out(size_t worker, const In&)>& work,
                  const std::function<void(const In&, const Out&)>& write) {
  struct Piece {
    In in{};
    std::optional<Out> out{};
    std::exception_ptr error{};
    bool done = false;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::shared_ptr<Piece>> to_do, to_write;
  bool at_end = false, stop = false;
  const size_t most = 2 * workers + 2;

  const auto reading = [&] {
    for (bool more = true; more;) {
      auto piece = std::make_shared<Piece>();
      try {
        more = read(piece->in);
      } catch (...) {
        piece->error = std::current_exception();
        piece->done = true;
        more = false;
      }
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return stop || to_write.size() < most; });
      if (stop) return;
      if (more || piece->error) to_write.push_back(piece);
      if (more) to_do.push_back(std::move(piece));
      at_end = !more;
      changed.notify_all();
    }
  };
  const auto working = [&](size_t worker) {
    while (true) {
      std::shared_ptr<Piece> piece;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return stop || at_end || !to_do.empty(); });
        if (stop || to_do.empty()) return;
        piece = std::move(to_do.front());
        to_do.pop_front();
      }
      try {
        piece->out.emplace(work(worker, piece->in));
      } catch (...) {
        piece->error = std::current_exception();
      }
      const std::lock_guard lock(mutex);
      piece->done = true;
      changed.notify_all();
    }
  };

  // Ends the threads however this function is left.
  struct Team {
    std::vector<std::thread> threads;
    std::function<void()> end;
    ~Team() {
      end();
      for (std::thread& thread : threads) thread.join();
    }
  } team;
  team.end = [&] {
    const std::lock_guard lock(mutex);
    stop = true;
    changed.notify_all();
  };
  team.threads.emplace_back(reading);
  for (size_t w = 0; w < workers; ++w) team.threads.emplace_back(working, w);

  while (true) {
    std::shared_ptr<Piece> piece;
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return to_write.empty() ? at_end : to_write.front()->done; });
      if (to_write.empty()) return;
      piece = std::move(to_write.front());
      to_write.pop_front();
      changed.notify_all();
    }
    if (piece->error) std::rethrow_exception(piece->error);
    write(piece->in, *piece->out);
  }
}

}  // namespace onepass::cli
