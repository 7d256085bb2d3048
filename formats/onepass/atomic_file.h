// AtomicFile: a file that appears under its name whole and on the disk, or not at all.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "engine/core/result.h"

namespace onepass {

class AtomicFile {
 public:
  AtomicFile() = default;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();  // without commit() nothing is left

  // `path` must not exist, or be a regular file, which commit() replaces.
  Status open(const std::string& path);
  Status write(uint64_t offset, std::span<const uint8_t> bytes);
  Status commit();

 private:
  Status fail(const char* action, int code) const;

  std::string path_;
  std::string folder_;
  std::string temporary_;  // the name of the unfinished file; empty while it has none
  int fd_ = -1;
};

}  // namespace onepass
