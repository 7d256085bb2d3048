#include "engine/core/sha256.h"

#include <atomic>
#include <bit>
#include <cstring>

#include "engine/core/sha256_blocks.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace onepass {

alignas(64) const uint32_t kSha256Rounds[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

namespace {

uint32_t load_big_endian(const uint8_t* p) noexcept {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | uint32_t{p[3]};
}

void store_big_endian(uint32_t value, uint8_t* p) noexcept {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(value >> (24 - 8 * i));
}

Sha256BlocksFn detect() noexcept {
#if defined(__x86_64__)
  // SSE state is saved by every 64-bit operating system, so CPUID alone decides.
  uint32_t eax, ebx, ecx, edx;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0) return sha256_blocks_scalar;
  const bool ssse3 = (ecx >> 9 & 1) != 0, sse41 = (ecx >> 19 & 1) != 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return sha256_blocks_scalar;
  const bool sha = (ebx >> 29 & 1) != 0;
  return ssse3 && sse41 && sha ? sha256_blocks_shani : sha256_blocks_scalar;
#elif defined(__aarch64__) && defined(__APPLE__)
  return sha256_blocks_armv8;  // every 64-bit Apple processor
#elif defined(__aarch64__) && defined(__linux__)
  constexpr unsigned long hwcap_sha2 = 1ul << 6;
  return (getauxval(AT_HWCAP) & hwcap_sha2) != 0 ? sha256_blocks_armv8 : sha256_blocks_scalar;
#else
  return sha256_blocks_scalar;
#endif
}

}  // namespace

void sha256_blocks_scalar(uint32_t* state, const uint8_t* data, size_t count) noexcept {
  for (; count != 0; --count, data += 64) {
    uint32_t w[64];
    for (size_t t = 0; t < 16; ++t) w[t] = load_big_endian(data + 4 * t);
    for (size_t t = 16; t < 64; ++t) {
      const uint32_t s0 = std::rotr(w[t - 15], 7) ^ std::rotr(w[t - 15], 18) ^ (w[t - 15] >> 3);
      const uint32_t s1 = std::rotr(w[t - 2], 17) ^ std::rotr(w[t - 2], 19) ^ (w[t - 2] >> 10);
      w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (size_t t = 0; t < 64; ++t) {
      const uint32_t sum1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
      const uint32_t t1 = h + sum1 + ((e & f) ^ (~e & g)) + kSha256Rounds[t] + w[t];
      const uint32_t sum0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
      const uint32_t t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = d + t1;
      d = c;
      c = b;
      b = a;
      a = t1 + t2;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
  }
}

Sha256BlocksFn sha256_blocks_best() noexcept {
  // CPUID traps in a virtual machine, so its answer is kept. Threads that race store the same value.
  static constinit std::atomic<Sha256BlocksFn> chosen{nullptr};
  Sha256BlocksFn fn = chosen.load(std::memory_order_relaxed);
  if (fn == nullptr) {
    fn = detect();
    chosen.store(fn, std::memory_order_relaxed);
  }
  return fn;
}

Sha256::Sha256() noexcept
    : state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19} {}

void Sha256::update(std::span<const uint8_t> bytes) noexcept {
  if (bytes.empty()) return;
  const Sha256BlocksFn blocks = sha256_blocks_best();
  const size_t held = static_cast<size_t>(length_ % 64);
  length_ += bytes.size();
  if (held != 0) {
    const size_t wanted = 64 - held;
    if (bytes.size() < wanted) {
      std::memcpy(block_.data() + held, bytes.data(), bytes.size());
      return;
    }
    std::memcpy(block_.data() + held, bytes.data(), wanted);
    blocks(state_.data(), block_.data(), 1);
    bytes = bytes.subspan(wanted);
  }
  const size_t whole = bytes.size() / 64;
  if (whole != 0) blocks(state_.data(), bytes.data(), whole);
  bytes = bytes.subspan(whole * 64);
  if (!bytes.empty()) std::memcpy(block_.data(), bytes.data(), bytes.size());
}

std::array<uint8_t, 32> Sha256::finish() noexcept {
  const uint64_t bits = length_ * 8;
  size_t held = static_cast<size_t>(length_ % 64);
  const Sha256BlocksFn blocks = sha256_blocks_best();
  block_[held++] = 0x80;
  if (held > 56) {
    std::memset(block_.data() + held, 0, 64 - held);
    blocks(state_.data(), block_.data(), 1);
    held = 0;
  }
  std::memset(block_.data() + held, 0, 56 - held);
  store_big_endian(static_cast<uint32_t>(bits >> 32), block_.data() + 56);
  store_big_endian(static_cast<uint32_t>(bits), block_.data() + 60);
  blocks(state_.data(), block_.data(), 1);
  std::array<uint8_t, 32> digest;
  for (size_t i = 0; i < 8; ++i) store_big_endian(state_[i], digest.data() + 4 * i);
  return digest;
}

}  // namespace onepass
