// Every allocation and every system call of the reader, failed in turn: an error, and nothing is left behind.
// Linked with --wrap for each of them: the runtime has no other way to memory and files.
#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <set>

#include "tests/formats/onepass_raw.h"

namespace {

// What happens between arm() and disarm() on behalf of the reader.
struct Watch {
  bool armed = false;
  size_t calls = 0;
  size_t fail_at = 0;  // counted from 1
  std::set<const void*> blocks, mappings;
  std::set<int> descriptors;

  // True when this call is the one to fail.
  bool fails() { return ++calls == fail_at; }
  void arm(size_t at) {
    calls = 0;
    fail_at = at;
    armed = true;
  }
  size_t disarm() {
    armed = false;
    return blocks.size() + mappings.size() + descriptors.size();
  }
};

Watch watch;

// The set of live things allocates, too: not to be counted.
template <class F>
void unwatched(F&& f) {
  watch.armed = false;
  f();
  watch.armed = true;
}

}  // namespace

extern "C" {
void* __real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void* block);
int __real_open(const char* path, int flags, ...);
int __real_close(int fd);
int __real_fstat(int fd, struct stat* info);
ssize_t __real_pread(int fd, void* data, size_t size, off_t offset);
void* __real_mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_munmap(void* at, size_t size);

void* __wrap_aligned_alloc(size_t alignment, size_t size) {
  if (!watch.armed) return __real_aligned_alloc(alignment, size);
  if (watch.fails()) return nullptr;
  void* block = __real_aligned_alloc(alignment, size);
  unwatched([&] { watch.blocks.insert(block); });
  return block;
}

void __wrap_free(void* block) {
  if (watch.armed) unwatched([&] { watch.blocks.erase(block); });
  __real_free(block);
}

int __wrap_open(const char* path, int flags, ...) {
  if (!watch.armed) return __real_open(path, flags, 0600);
  if (watch.fails()) {
    errno = EMFILE;
    return -1;
  }
  const int fd = __real_open(path, flags);
  unwatched([&] { watch.descriptors.insert(fd); });
  return fd;
}

int __wrap_close(int fd) {
  if (watch.armed) unwatched([&] { watch.descriptors.erase(fd); });
  return __real_close(fd);
}

int __wrap_fstat(int fd, struct stat* info) {
  if (watch.armed && watch.fails()) {
    errno = EIO;
    return -1;
  }
  return __real_fstat(fd, info);
}

ssize_t __wrap_pread(int fd, void* data, size_t size, off_t offset) {
  if (watch.armed && watch.fails()) {
    errno = EIO;
    return -1;
  }
  // Short reads are the rule on some file systems.
  return __real_pread(fd, data, watch.armed && size > 5000 ? 5000 : size, offset);
}

void* __wrap_mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
  if (!watch.armed) return __real_mmap(at, size, protection, flags, fd, offset);
  if (watch.fails()) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  void* data = __real_mmap(at, size, protection, flags, fd, offset);
  unwatched([&] { watch.mappings.insert(data); });
  return data;
}

int __wrap_munmap(void* at, size_t size) {
  if (watch.armed) unwatched([&] { watch.mappings.erase(at); });
  return __real_munmap(at, size);
}
}

namespace onepass::test {
namespace {

// Opens until nothing fails. Returns how many calls that takes.
template <class Open>
size_t fail_each(Open&& open, std::set<Code> expected) {
  for (size_t fail_at = 1; fail_at < 1000; ++fail_at) {
    Code code = Code::ok;
    watch.arm(fail_at);
    {
      const auto opened = open();
      code = opened.code();
    }
    const size_t calls = watch.calls;
    EXPECT_EQ(watch.disarm(), 0u) << "leaked after call " << fail_at << " failed";
    if (code == Code::ok) {
      EXPECT_EQ(calls + 1, fail_at);
      return calls;
    }
    EXPECT_TRUE(expected.contains(code)) << "call " << fail_at << ": " << code_name(code);
  }
  ADD_FAILURE() << "no end";
  return 0;
}

TEST(OnepassFailure, EachAllocationFromMemory) {
  const auto file = raw_of(tiny_model()).encode();
  const AlignedBytes bytes(file);
  for (const LoadMode mode : {LoadMode::map, LoadMode::copy}) {
    const size_t calls =
        fail_each([&] { return ModelFile::from_memory(bytes.span(), {.mode = mode}); }, {Code::out_of_memory});
    EXPECT_GE(calls, 10u);
  }
}

TEST(OnepassFailure, EachCallOfAFile) {
  std::string path = testing::TempDir() + "/onepass-failure-XXXXXX";
  const int fd = mkstemp(path.data());
  ASSERT_GE(fd, 0);
  ASSERT_EQ(close(fd), 0);
  ASSERT_TRUE(write_model(tiny_model(), path).ok());
  for (const LoadMode mode : {LoadMode::map, LoadMode::copy}) {
    const size_t calls =
        fail_each([&] { return ModelFile::open(path.c_str(), {.mode = mode}); }, {Code::out_of_memory, Code::io_error});
    EXPECT_GE(calls, 13u);
  }
  ASSERT_EQ(unlink(path.c_str()), 0);
}

// A model behind other bytes, as an asset in an app's package.
TEST(OnepassFailure, EachCallOfAPartOfAFile) {
  std::string path = testing::TempDir() + "/onepass-part-XXXXXX";
  const int fd = mkstemp(path.data());
  ASSERT_GE(fd, 0);
  const auto file = raw_of(tiny_model()).encode();
  for (const off_t offset : {off_t{0}, off_t{64}, off_t{4096}, off_t{8256}}) {
    ASSERT_EQ(pwrite(fd, file.data(), file.size(), offset), static_cast<ssize_t>(file.size()));
    for (const LoadMode mode : {LoadMode::map, LoadMode::copy}) {
      const FilePart part{fd, static_cast<uint64_t>(offset), file.size()};
      const size_t calls =
          fail_each([&] { return ModelFile::open(part, {.mode = mode}); }, {Code::out_of_memory, Code::io_error});
      EXPECT_GE(calls, 12u);
    }
  }
  EXPECT_EQ(fcntl(fd, F_GETFD), 0) << "the descriptor stays the caller's";
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0) << "and its position, too";
  // To the end of the file, which is that of the model: the last one written.
  EXPECT_TRUE(ModelFile::open(FilePart{fd, 8256, 0}, {}).ok());
  const auto code = [&](uint64_t offset, uint64_t length, LoadMode mode = LoadMode::map) {
    return ModelFile::open(FilePart{fd, offset, length}, {.mode = mode}).code();
  };
  EXPECT_EQ(code(8256, file.size() + 1), Code::truncated);
  EXPECT_EQ(code(8256 + file.size(), 0), Code::truncated);
  EXPECT_EQ(code(UINT64_MAX, 1), Code::truncated);
  EXPECT_EQ(code(64, UINT64_MAX), Code::truncated);
  EXPECT_EQ(code(8257, 0), Code::misaligned);
  EXPECT_EQ(code(8257, 0, LoadMode::copy), Code::bad_magic);
  ASSERT_EQ(pwrite(fd, file.data(), file.size(), 8257), static_cast<ssize_t>(file.size()));
  EXPECT_EQ(code(8257, file.size(), LoadMode::copy), Code::ok) << "a copy lies where it should";
  ASSERT_EQ(ftruncate(fd, 0), 0);
  EXPECT_EQ(code(0, 0), Code::truncated);
  ASSERT_EQ(close(fd), 0);
  EXPECT_EQ(code(0, 0), Code::io_error);
  EXPECT_EQ(ModelFile::open(FilePart{-1, 0, 0}, {}).code(), Code::io_error);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(ModelFile::open(FilePart{ends[0], 0, 0}, {}).code(), Code::io_error) << "a pipe";
  close(ends[0]);
  close(ends[1]);
  ASSERT_EQ(unlink(path.c_str()), 0);
}

}  // namespace
}  // namespace onepass::test
