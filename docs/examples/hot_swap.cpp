// A model is replaced while threads use it: each goes on with its old one until its call is over. hot_swap OLD NEW
#include <onepass/onepass.hpp>

#include <atomic>
#include <iostream>
#include <thread>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto old_model = onepass::Model::open(argv[1]), new_model = onepass::Model::open(argv[2]);
  if (!old_model || !new_model) return 1;
  auto slot = onepass::Slot::open(*old_model).value();
  std::atomic<bool> stop = false;
  std::atomic<size_t> by_old = 0, by_new = 0, failed = 0;
  const auto serve = [&] {
    for (bool seen_new = false; !stop || !seen_new;) {
      uint32_t generation = 0;
      const auto model = slot.acquire(&generation);
      auto session = onepass::Session::open(model).value();
      seen_new = model.get() == new_model->get();
      do {
        (session.classify("I love the happy dog!") ? seen_new ? by_new : by_old : failed)++;
      } while (!stop && generation == slot.generation());
    }
  };
  std::thread threads[4];
  for (auto& thread : threads) thread = std::thread(serve);
  while (by_old < 8) std::this_thread::yield();
  slot.publish(*new_model);
  while (by_new < 8) std::this_thread::yield();
  slot.commit();  // or slot.rollback()
  stop = true;
  for (auto& thread : threads) thread.join();
  std::cout << (failed == 0 ? "swapped" : "failed") << ": " << by_old << " by the old model, " << by_new
            << " by the new\n";
}
