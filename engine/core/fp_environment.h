// FpEnvironment: round to nearest, denormals kept, for as long as the object lives. An app (or a library that it
// loaded) that flushes denormals would otherwise change bits of the results.
#pragma once

#include <cstdint>

namespace onepass {

#if defined(__x86_64__) || defined(__i386__)

class FpEnvironment {
 public:
  FpEnvironment() noexcept : saved_(__builtin_ia32_stmxcsr()) {
    if (saved_ != kDefault) __builtin_ia32_ldmxcsr(kDefault);
  }
  // The flags of exceptions that occurred inside are dropped with the rest.
  ~FpEnvironment() { __builtin_ia32_ldmxcsr(saved_); }

 private:
  static constexpr unsigned kDefault = 0x1F80;
  unsigned saved_;

#elif defined(__aarch64__)

class FpEnvironment {
 public:
  FpEnvironment() noexcept {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    set(0);
  }
  ~FpEnvironment() { set(saved_); }

 private:
  static void set(uint64_t value) noexcept { asm volatile("msr fpcr, %0" : : "r"(value)); }
  uint64_t saved_ = 0;

#else

class FpEnvironment {
 public:
  FpEnvironment() noexcept {}
  ~FpEnvironment() {}

 private:
#endif
  FpEnvironment(const FpEnvironment&) = delete;
  FpEnvironment& operator=(const FpEnvironment&) = delete;
};

}  // namespace onepass
