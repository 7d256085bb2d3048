// MappedFile: the bytes of a file, mapped read-only or copied. The only place that knows a file system.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/core/array.h"
#include "engine/core/result.h"

namespace onepass {

class MappedFile {
 public:
  // Maps the whole file. A regular, non-empty file; anything else is an error (a FIFO never blocks).
  static Result<MappedFile> map(const char* path) noexcept;
  // Reads the whole file into 64-byte aligned memory.
  static Result<MappedFile> read(const char* path) noexcept;
  // Copies `bytes` into 64-byte aligned memory.
  static Result<MappedFile> copy(std::span<const uint8_t> bytes) noexcept;

  MappedFile() noexcept = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const uint8_t> bytes() const noexcept { return {data_, size_}; }

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  bool mapped_ = false;
  Array<uint8_t> copy_;
};

}  // namespace onepass
