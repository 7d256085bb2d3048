#include "formats/onepass/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <system_error>

namespace onepass {

namespace {

std::string temporary_name(const std::string& folder) {
  static std::atomic<unsigned> counter{0};
  return folder + "/.onepass-" + std::to_string(getpid()) + "-" + std::to_string(counter.fetch_add(1)) + ".tmp";
}

#if defined(O_TMPFILE)
std::string descriptor_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

// A file without a name: it vanishes with the process that writes it. -1 where the file system has none, or
// where it could not be given a name later.
int open_nameless(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
  if (fd >= 0 && access(descriptor_path(fd).c_str(), F_OK) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

bool give_name(int fd, const std::string& name) {
  return linkat(AT_FDCWD, descriptor_path(fd).c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
}
#else
int open_nameless(const std::string&) { return -1; }
bool give_name(int, const std::string&) { return false; }
#endif

}  // namespace

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) close(fd_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

Status AtomicFile::fail(const char* action, int code) const {
  return make_error(Code::io_error, Error::no_offset, path_, "cannot %s the file: %s", action,
                    std::generic_category().message(code).c_str());
}

Status AtomicFile::open(const std::string& path) {
  path_ = path;
  const size_t slash = path.rfind('/');
  folder_ = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  struct stat info {};
  if (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return make_error(Code::io_error, Error::no_offset, path, "the target exists and is not a regular file");
  }
  fd_ = open_nameless(folder_);
  if (fd_ >= 0) return {};
  temporary_ = temporary_name(folder_);
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) {
    const int code = errno;
    temporary_.clear();
    return fail("create", code);
  }
  return {};
}

Status AtomicFile::write(uint64_t offset, std::span<const uint8_t> bytes) {
  // Linux keeps what one call writes in pieces of up to 2 MiB, and maps a piece whole where it is touched: a row of an
  // embedding table would then take as much of a process's memory. Pieces of short calls are no longer than those.
  constexpr size_t most = size_t{64} << 10;
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd_, bytes.data(), std::min(bytes.size(), most), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail("write", errno);
    offset += static_cast<uint64_t>(n);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Status AtomicFile::commit() {
  if (fsync(fd_) != 0) return fail("store", errno);
  if (temporary_.empty()) {
    if (!give_name(fd_, path_)) {
      if (errno != EEXIST) return fail("name", errno);
      // A link replaces nothing: the finished file gets a name of its own first.
      const std::string name = temporary_name(folder_);
      if (!give_name(fd_, name)) return fail("name", errno);
      temporary_ = name;
    }
  }
  if (!temporary_.empty()) {
    if (rename(temporary_.c_str(), path_.c_str()) != 0) return fail("rename", errno);
    temporary_.clear();
  }
  // The new name is on the disk once its folder is. Some file systems cannot do it; the file is then still whole.
  const int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    fsync(folder);
    close(folder);
  }
  return {};
}

}  // namespace onepass
