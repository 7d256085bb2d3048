/* The compression function of SHA-256, once an instruction set. Internal to sha256.cpp and its test. */
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace onepass {

// Absorbs `count` blocks of 64 bytes into the eight words of `state`. `data` has any alignment.
using Sha256BlocksFn = void (*)(uint32_t* state, const uint8_t* data, size_t count) noexcept;

void sha256_blocks_scalar(uint32_t* state, const uint8_t* data, size_t count) noexcept;
#if defined(__x86_64__)
void sha256_blocks_shani(uint32_t* state, const uint8_t* data, size_t count) noexcept;
#elif defined(__aarch64__)
void sha256_blocks_armv8(uint32_t* state, const uint8_t* data, size_t count) noexcept;
#endif

// The fastest function that this machine can run.
Sha256BlocksFn sha256_blocks_best() noexcept;

// The round constants, FIPS 180-4 section 4.2.2.
extern const uint32_t kSha256Rounds[64];

}  // namespace onepass
