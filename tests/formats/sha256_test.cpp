// SHA-256 against FIPS 180-4, its example vectors, and between the implementations.
#include "engine/core/sha256.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/sha256_blocks.h"

namespace onepass::test {
namespace {

std::string hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t b : bytes) {
    char two[3];
    std::snprintf(two, sizeof(two), "%02x", b);
    text += two;
  }
  return text;
}

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

TEST(Sha256, PublishedVectors) {
  EXPECT_EQ(hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256(bytes_of("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256(bytes_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(
      hex(sha256(bytes_of("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlm"
                          "nopqrsmnopqrstnopqrstu"))),
      "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  EXPECT_EQ(hex(sha256(bytes_of(std::string(1'000'000, 'a')))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// Lengths around the padding's own boundaries; values from Python's hashlib.
TEST(Sha256, LengthsAroundTheBlock) {
  const struct {
    size_t length;
    const char* digest;
  } rows[] = {
      {55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
      {56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
      {57, "f13b2d724659eb3bf47f2dd6af1accc87b81f09f59f2b75e5c0bed6589dfe8c6"},
      {63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
      {64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
      {65, "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0"},
      {119, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb"},
      {120, "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c"},
  };
  for (const auto& row : rows) EXPECT_EQ(hex(sha256(bytes_of(std::string(row.length, 'a')))), row.digest) << row.length;
}

TEST(Sha256, AnySplitGivesTheSameDigest) {
  std::mt19937 random(1);
  std::vector<uint8_t> bytes(1000);
  for (auto& b : bytes) b = static_cast<uint8_t>(random());
  const auto whole = sha256(bytes);
  for (int trial = 0; trial < 2000; ++trial) {
    Sha256 hash;
    for (size_t pos = 0; pos < bytes.size();) {
      const size_t n = std::min<size_t>(random() % 150, bytes.size() - pos);
      hash.update(std::span(bytes).subspan(pos, n));
      pos += n;
    }
    ASSERT_EQ(hash.finish(), whole) << "trial " << trial;
  }
}

// The chosen function must be the one that the machine's flags promise: otherwise the hardware path goes untested.
TEST(Sha256, TheHardwareFunctionIsChosenWhereThereIsOne) {
#if defined(__x86_64__) && defined(__linux__)
  std::string flags;
  if (std::FILE* f = std::fopen("/proc/cpuinfo", "r")) {
    char buffer[4096];
    while (std::fgets(buffer, sizeof(buffer), f) != nullptr) flags += buffer;
    std::fclose(f);
  }
  if (flags.find(" sha_ni ") == std::string::npos) GTEST_SKIP() << "this machine has no SHA extensions";
  EXPECT_EQ(sha256_blocks_best(), &sha256_blocks_shani);
#elif defined(__aarch64__)
  EXPECT_EQ(sha256_blocks_best(), &sha256_blocks_armv8);
#else
  EXPECT_EQ(sha256_blocks_best(), &sha256_blocks_scalar);
#endif
}

TEST(Sha256, ScalarAndChosenFunctionAgreeOnAnyAlignment) {
  std::mt19937 random(2);
  std::vector<uint8_t> bytes(64 * 9 + 64);
  for (auto& b : bytes) b = static_cast<uint8_t>(random());
  for (size_t shift = 0; shift < 64; ++shift) {
    for (size_t count = 0; count <= 9; ++count) {
      uint32_t a[8], b[8];
      for (size_t i = 0; i < 8; ++i) a[i] = b[i] = static_cast<uint32_t>(random());
      sha256_blocks_scalar(a, bytes.data() + shift, count);
      sha256_blocks_best()(b, bytes.data() + shift, count);
      ASSERT_EQ(std::memcmp(a, b, sizeof(a)), 0) << "shift " << shift << ", blocks " << count;
    }
  }
}

}  // namespace
}  // namespace onepass::test
