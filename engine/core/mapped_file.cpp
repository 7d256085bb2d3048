#include "engine/core/mapped_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

namespace onepass {

namespace {

Error io_error(const char* path, const char* action, int code) noexcept {
  char text[96] = "";
#if defined(_GNU_SOURCE)
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

Result<OpenFile> open_regular(const char* path) noexcept {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  OpenFile file(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.fd < 0) return io_error(path, "open", errno);
  struct stat info {};
  if (fstat(file.fd, &info) != 0) return io_error(path, "inspect", errno);
  if (!S_ISREG(info.st_mode)) {
    return make_error(Code::io_error, Error::no_offset, path, "not a regular file");
  }
  if (info.st_size <= 0) return make_error(Code::truncated, 0, path, "the file is empty");
  if (static_cast<uint64_t>(info.st_size) > SIZE_MAX / 2) {
    return make_error(Code::limit_exceeded, 0, path, "the file does not fit into the address space");
  }
  file.size = static_cast<size_t>(info.st_size);
  return file;
}

}  // namespace

Result<MappedFile> MappedFile::map(const char* path) noexcept {
  ONEPASS_TRY_ASSIGN(file, open_regular(path));
  void* data = mmap(nullptr, file.size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (data == MAP_FAILED) return io_error(path, "map", errno);
  MappedFile result;
  result.data_ = static_cast<const uint8_t*>(data);
  result.size_ = file.size;
  result.mapped_ = true;
  return result;
}

Result<MappedFile> MappedFile::read(const char* path) noexcept {
  ONEPASS_TRY_ASSIGN(file, open_regular(path));
  MappedFile result;
  if (!result.copy_.resize_uninitialized(file.size)) {
    return make_error(Code::out_of_memory, Error::no_offset, path, "no memory for the %zu bytes of the file",
                      file.size);
  }
  for (size_t done = 0; done < file.size;) {
    const ssize_t n = ::read(file.fd, result.copy_.data() + done, file.size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error(path, "read", errno);
    if (n == 0) return make_error(Code::truncated, done, path, "the file became shorter while it was read");
    done += static_cast<size_t>(n);
  }
  result.data_ = result.copy_.data();
  result.size_ = file.size;
  return result;
}

Result<MappedFile> MappedFile::copy(std::span<const uint8_t> bytes) noexcept {
  MappedFile result;
  if (!result.copy_.resize_uninitialized(bytes.size())) {
    return make_error(Code::out_of_memory, Error::no_offset, "", "no memory for a copy of %zu bytes", bytes.size());
  }
  if (!bytes.empty()) memcpy(result.copy_.data(), bytes.data(), bytes.size());
  result.data_ = result.copy_.data();
  result.size_ = bytes.size();
  return result;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_(std::exchange(other.mapped_, false)),
      copy_(std::move(other.copy_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_, other.mapped_);
  copy_ = std::move(other.copy_);
  return *this;
}

MappedFile::~MappedFile() {
  if (mapped_) munmap(const_cast<uint8_t*>(data_), size_);
}

}  // namespace onepass
