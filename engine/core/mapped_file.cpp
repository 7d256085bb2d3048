// What MappedFile is on every system.
#include "engine/core/mapped_file.h"

#include <cstring>
#include <utility>

namespace onepass {

Result<MappedFile> MappedFile::copy(std::span<const uint8_t> bytes) noexcept {
  MappedFile result;
  if (!result.copy_.resize_uninitialized(bytes.size())) {
    return make_error(Code::out_of_memory, Error::no_offset, "", "no memory for a copy of %zu bytes", bytes.size());
  }
  if (!bytes.empty()) std::memcpy(result.copy_.data(), bytes.data(), bytes.size());
  result.data_ = result.copy_.data();
  result.size_ = bytes.size();
  return result;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapping_(std::exchange(other.mapping_, nullptr)),
      mapping_size_(std::exchange(other.mapping_size_, 0)),
      copy_(std::move(other.copy_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapping_size_, other.mapping_size_);
  copy_ = std::move(other.copy_);
  return *this;
}

}  // namespace onepass
