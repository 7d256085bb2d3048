#ifndef __LP64__
#define _FILE_OFFSET_BITS 64  // parts of files beyond 2 GB on 32-bit systems
#endif

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#ifndef __wasi__
#include <sys/mman.h>
#endif
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "engine/core/mapped_file.h"
#include "engine/core/platform.h"

namespace onepass {

namespace {

constexpr const char* kDescriptor = "descriptor";

Error io_error(const char* path, const char* action, int code) noexcept {
  char text[96] = "";
#if defined(_GNU_SOURCE) && defined(__GLIBC__)
  const char* reason = strerror_r(code, text, sizeof(text));
#else
  strerror_r(code, text, sizeof(text));
  const char* reason = text;
#endif
  return make_error(Code::io_error, Error::no_offset, path, "cannot %s the file: %s", action, reason);
}

struct OpenFile {
  int fd = -1;
  size_t size = 0;
  explicit OpenFile(int descriptor) noexcept : fd(descriptor) {}
  OpenFile(OpenFile&& other) noexcept : fd(std::exchange(other.fd, -1)), size(other.size) {}
  ~OpenFile() {
    if (fd >= 0) close(fd);
  }
};

Result<size_t> regular_size(int fd, const char* path) noexcept {
  struct stat info {};
  if (fstat(fd, &info) != 0) return io_error(path, "inspect", errno);
  if (!S_ISREG(info.st_mode)) {
    return make_error(Code::io_error, Error::no_offset, path, "not a regular file");
  }
  if (info.st_size <= 0) return make_error(Code::truncated, 0, path, "the file is empty");
  if (static_cast<uint64_t>(info.st_size) > SIZE_MAX / 2) {
    return make_error(Code::limit_exceeded, 0, path, "the file does not fit into the address space");
  }
  return static_cast<size_t>(info.st_size);
}

Result<OpenFile> open_regular(const char* path) noexcept {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  OpenFile file(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.fd < 0) return io_error(path, "open", errno);
  ONEPASS_TRY_ASSIGN(size, regular_size(file.fd, path));
  file.size = size;
  return file;
}

// The length of a part, within its file.
Result<size_t> part_length(const FilePart& part) noexcept {
  ONEPASS_TRY_ASSIGN(size, regular_size(part.descriptor, kDescriptor));
  if (part.offset >= size || part.length > size - part.offset) {
    return make_error(Code::truncated, size, kDescriptor, "the file has %zu bytes, and the part ends behind them",
                      size);
  }
  return part.length == 0 ? size - static_cast<size_t>(part.offset) : static_cast<size_t>(part.length);
}

Result<Array<uint8_t>> read_all(int fd, const char* path, uint64_t offset, size_t size) noexcept {
  Array<uint8_t> bytes;
  if (!bytes.resize_uninitialized(size)) {
    return make_error(Code::out_of_memory, Error::no_offset, path, "no memory for the %zu bytes of the file", size);
  }
  for (size_t done = 0; done < size;) {
    const ssize_t n = pread(fd, bytes.data() + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error(path, "read", errno);
    if (n == 0) return make_error(Code::truncated, done, path, "the file became shorter while it was read");
    done += static_cast<size_t>(n);
  }
  return bytes;
}

}  // namespace

Result<MappedFile> MappedFile::read(const char* path) noexcept {
  ONEPASS_TRY_ASSIGN(file, open_regular(path));
  ONEPASS_TRY_ASSIGN(bytes, read_all(file.fd, path, 0, file.size));
  MappedFile result;
  result.copy_ = std::move(bytes);
  result.data_ = result.copy_.data();
  result.size_ = file.size;
  return result;
}

Result<MappedFile> MappedFile::read(const FilePart& part) noexcept {
  ONEPASS_TRY_ASSIGN(length, part_length(part));
  ONEPASS_TRY_ASSIGN(bytes, read_all(part.descriptor, kDescriptor, part.offset, length));
  MappedFile result;
  result.copy_ = std::move(bytes);
  result.data_ = result.copy_.data();
  result.size_ = length;
  return result;
}

#ifdef __wasi__

// WebAssembly's memory maps no files: they are read.
Result<MappedFile> MappedFile::map(const char* path) noexcept { return read(path); }
Result<MappedFile> MappedFile::map(const FilePart& part) noexcept { return read(part); }
void MappedFile::expect_scattered_reads(std::span<const uint8_t>) const noexcept {}
void MappedFile::release(std::span<const uint8_t>) const noexcept {}
MappedFile::~MappedFile() = default;

#else

Result<MappedFile> MappedFile::map(const char* path) noexcept {
  ONEPASS_TRY_ASSIGN(file, open_regular(path));
  void* data = mmap(nullptr, file.size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (data == MAP_FAILED) return io_error(path, "map", errno);
  MappedFile result;
  result.data_ = static_cast<const uint8_t*>(data);
  result.size_ = result.mapping_size_ = file.size;
  result.mapping_ = data;
  return result;
}

Result<MappedFile> MappedFile::map(const FilePart& part) noexcept {
  ONEPASS_TRY_ASSIGN(length, part_length(part));
  if (part.offset % 64 != 0) {
    return make_error(Code::misaligned, part.offset, kDescriptor,
                      "to be mapped, the model must begin at a multiple of 64: align it, or have it copied");
  }
  const auto before = static_cast<size_t>(part.offset % mapping_granularity());
  void* data =
      mmap(nullptr, before + length, PROT_READ, MAP_PRIVATE, part.descriptor, static_cast<off_t>(part.offset - before));
  if (data == MAP_FAILED) return io_error(kDescriptor, "map", errno);
  MappedFile result;
  result.data_ = static_cast<const uint8_t*>(data) + before;
  result.size_ = length;
  result.mapping_ = data;
  result.mapping_size_ = before + length;
  return result;
}

namespace {

// Whole pages of `part` alone: its neighbours are none of its business. Advice is all it is, so failures are nothing.
void advise(std::span<const uint8_t> part, int advice) noexcept {
  const size_t page = mapping_granularity();
  const auto first = reinterpret_cast<uintptr_t>(part.data()), last = first + part.size();
  const uintptr_t begin = (first + page - 1) / page * page, end = last / page * page;
  if (begin < end) madvise(const_cast<uint8_t*>(part.data() + (begin - first)), end - begin, advice);
}

}  // namespace

void MappedFile::expect_scattered_reads(std::span<const uint8_t> part) const noexcept {
  if (mapping_ == nullptr) return;
  advise(part, MADV_RANDOM);
#ifdef MADV_NOHUGEPAGE
  advise(part, MADV_NOHUGEPAGE);  // Linux would map 2 MiB of the page cache at a touch
#endif
}

void MappedFile::release(std::span<const uint8_t> part) const noexcept {
  if (mapping_ != nullptr) advise(part, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (mapping_ != nullptr) munmap(mapping_, mapping_size_);
}

#endif

}  // namespace onepass
