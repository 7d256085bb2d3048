// Crew: threads that work on the same rows. Each computes its share of what a step computes, and waits for the others
// where the next step reads what they made. A crew of one is a thread alone, which never waits.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "engine/core/parallel.h"

namespace onepass {

class Crew {
 public:
  // How often each member has come to sync(); a cache line each. Zeroed before the crew begins.
  static constexpr size_t flag_stride = 64 / sizeof(uint32_t);

  Crew() noexcept = default;
  // flags [members][flag_stride], cache-line aligned. Every member runs at the same time as the others
  // (Executor::run_together), and calls sync() as often.
  Crew(size_t member, size_t members, uint32_t* flags) noexcept : member_(member), members_(members), flags_(flags) {}

  size_t member() const noexcept { return member_; }
  size_t members() const noexcept { return members_; }
  bool alone() const noexcept { return members_ == 1; }

  // This member's part of `count` things, cut at multiples of `unit`.
  Range share(size_t count, size_t unit = 1) const noexcept {
    const Range units = split_range((count + unit - 1) / unit, member_, members_);
    const auto cut = [&](size_t units_before) { return units_before * unit < count ? units_before * unit : count; };
    return {cut(units.begin), cut(units.end)};
  }

  // Returns when every member has called it as often as this one; what each wrote before is then seen by all.
  void sync() noexcept {
    if (alone()) return;
    ++turn_;
    std::atomic_ref<uint32_t>(flags_[member_ * flag_stride]).store(turn_, std::memory_order_release);
    for (size_t m = 0; m < members_; ++m) {
      const std::atomic_ref<uint32_t> flag(flags_[m * flag_stride]);
      // Turns are compared by their difference, since they may wrap.
      for (size_t spins = 0; static_cast<int32_t>(flag.load(std::memory_order_acquire) - turn_) < 0; ++spins) {
        wait_a_little(spins);
      }
    }
  }

 private:
  size_t member_ = 0, members_ = 1;
  uint32_t* flags_ = nullptr;
  uint32_t turn_ = 0;
};

}  // namespace onepass
