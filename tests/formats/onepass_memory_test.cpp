// What a mapped file takes of a process's memory, as Linux counts it: of a table, the rows that were read.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "engine/core/mapped_file.h"
#include "formats/onepass/atomic_file.h"
#include "tests/formats/onepass_raw.h"
#include "tests/support/temp_folder.h"

namespace onepass::test {
namespace {

constexpr size_t mib = size_t{1} << 20;

// Pages of files that are in this process's memory, or 0 where the system does not say.
size_t resident_bytes() {
  std::ifstream in("/proc/self/status");
  size_t bytes = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("RssFile:") || line.starts_with("RssShmem:")) bytes += std::stoul(line.substr(9)) << 10;
  }
  return bytes;
}

// Reads a byte every `step` bytes, and says how much memory that took.
size_t taken_by_reading(std::span<const uint8_t> bytes, size_t step) {
  const size_t before = resident_bytes();
  volatile uint8_t sink = 0;
  for (size_t i = 0; i < bytes.size(); i += step) sink = static_cast<uint8_t>(sink + bytes[i]);
  const size_t after = resident_bytes();
  return after - std::min(before, after);
}

class Memory : public testing::Test {
 protected:
  void SetUp() override {
    if (resident_bytes() == 0) GTEST_SKIP() << "this system does not say what is in memory";
  }
  std::string path() const { return (folder_.path() / "file").string(); }
  TempFolder folder_;
};

TEST_F(Memory, RowsOfAFileJustWrittenTakeLittle) {
  const std::vector<uint8_t> bytes(64 * mib, 7);
  AtomicFile file;
  ASSERT_TRUE(file.open(path()).ok());
  ASSERT_TRUE(file.write(0, bytes).ok());
  ASSERT_TRUE(file.commit().ok());
  const auto mapped = MappedFile::map(path().c_str());
  ASSERT_TRUE(mapped.ok());
  mapped->expect_scattered_reads(mapped->bytes());
  EXPECT_LE(taken_by_reading(mapped->bytes(), 2 * mib), 8 * mib);
}

TEST_F(Memory, WhatIsReleasedIsGivenBackAndReadAgain) {
  const std::vector<uint8_t> bytes(32 * mib, 7);
  folder_.write("file", std::span<const uint8_t>(bytes));
  const auto mapped = MappedFile::map(path().c_str());
  ASSERT_TRUE(mapped.ok());
  EXPECT_GE(taken_by_reading(mapped->bytes(), 4096), 31 * mib);
  const size_t before = resident_bytes();
  // Pages that hold a byte of something else stay.
  mapped->release(mapped->bytes().subspan(1, 16 * mib));
  EXPECT_LE(resident_bytes() + 15 * mib, before);
  EXPECT_GE(resident_bytes() + 17 * mib, before);
  EXPECT_EQ(mapped->bytes()[8 * mib], 7);
  mapped->release(mapped->bytes().first(100));
  mapped->release({});
}

// A copy has no file to be read from again.
TEST_F(Memory, CopiesAreLeftAlone) {
  const std::vector<uint8_t> bytes(mib, 7);
  const auto copied = MappedFile::copy(bytes);
  ASSERT_TRUE(copied.ok());
  copied->expect_scattered_reads(copied->bytes());
  copied->release(copied->bytes());
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), copied->bytes().begin()));
}

TEST_F(Memory, VerificationLeavesNoTableBehind) {
  ModelContent model = tiny_model();
  model.config.vocab = 1u << 20;
  for (TensorContent& tensor : model.tensors) {
    if (tensor.name != "embed.token.w") continue;
    tensor.n = model.config.vocab;
    tensor.payload.assign(kernels::packed_bytes(tensor.layout, model.config.vocab, model.config.width), 0);
    for (size_t i = kernels::scale_offset(tensor.layout, tensor.n, tensor.k); i + 3 < tensor.payload.size(); i += 4) {
      tensor.payload[i + 3] = 0x3c;
    }
  }
  const Status written = write_model(model, path());
  ASSERT_TRUE(written.ok()) << written.error().where << ": " << written.error().message;
  const size_t before = resident_bytes();
  const auto file = ModelFile::open(path().c_str(), {.mode = LoadMode::map, .verify = true});
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_GE(file->file_size(), 8 * mib);
  EXPECT_LE(resident_bytes(), before + 2 * mib);
}

}  // namespace
}  // namespace onepass::test
