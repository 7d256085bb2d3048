// MappedFile: the bytes of a file, mapped read-only or copied. The only place that knows a file system; one
// implementation for POSIX and one for Windows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/core/array.h"
#include "engine/core/result.h"

namespace onepass {

// A part of a file that the caller has opened, and keeps open for the call alone.
struct FilePart {
  int descriptor = -1;
  uint64_t offset = 0;
  uint64_t length = 0;  // 0: to the end of the file
};

class MappedFile {
 public:
  // Maps the whole file. A regular, non-empty file; anything else is an error (a FIFO never blocks).
  static Result<MappedFile> map(const char* path) noexcept;
  // Reads the whole file into 64-byte aligned memory.
  static Result<MappedFile> read(const char* path) noexcept;
  // The same of a part of an open file, whose position does not change. `map` needs an offset that is a multiple of 64.
  static Result<MappedFile> map(const FilePart& part) noexcept;
  static Result<MappedFile> read(const FilePart& part) noexcept;
  // Copies `bytes` into 64-byte aligned memory.
  static Result<MappedFile> copy(std::span<const uint8_t> bytes) noexcept;

  MappedFile() noexcept = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const uint8_t> bytes() const noexcept { return {data_, size_}; }

  // Says of `part` of bytes() that a few rows here and there will be read: the system then brings those pages into
  // memory and not what lies around them. Changes nothing of a file that is not mapped.
  void expect_scattered_reads(std::span<const uint8_t> part) const noexcept;
  // Gives the memory of `part` back until it is read again. Changes nothing of a file that is not mapped.
  void release(std::span<const uint8_t> part) const noexcept;

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  void* mapping_ = nullptr;  // begins at or before data_
  size_t mapping_size_ = 0;
  Array<uint8_t> copy_;
};

}  // namespace onepass
