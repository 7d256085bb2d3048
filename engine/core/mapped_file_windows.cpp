#include <io.h>
#include <windows.h>

#include <algorithm>
#include <utility>

#include "engine/core/mapped_file.h"
#include "engine/core/platform.h"

namespace onepass {

namespace {

constexpr const char* kDescriptor = "descriptor";

Error io_error(const char* path, const char* action) noexcept {
  return make_error(Code::io_error, Error::no_offset, path, "cannot %s the file: system error %lu", action,
                    static_cast<unsigned long>(GetLastError()));
}

class Handle {
 public:
  explicit Handle(HANDLE handle) noexcept : handle_(handle) {}
  Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  ~Handle() {
    if (valid()) CloseHandle(handle_);
  }
  bool valid() const noexcept { return handle_ != nullptr && handle_ != INVALID_HANDLE_VALUE; }
  HANDLE get() const noexcept { return handle_; }

 private:
  HANDLE handle_;
};

Result<size_t> regular_size(HANDLE file, const char* path) noexcept {
  if (GetFileType(file) != FILE_TYPE_DISK) {
    return make_error(Code::io_error, Error::no_offset, path, "not a regular file");
  }
  LARGE_INTEGER size;
  if (GetFileSizeEx(file, &size) == 0) return io_error(path, "inspect");
  if (size.QuadPart <= 0) return make_error(Code::truncated, 0, path, "the file is empty");
  if (static_cast<uint64_t>(size.QuadPart) > SIZE_MAX / 2) {
    return make_error(Code::limit_exceeded, 0, path, "the file does not fit into the address space");
  }
  return static_cast<size_t>(size.QuadPart);
}

// Paths are UTF-8.
Result<Handle> open_file(const char* path) noexcept {
  wchar_t wide[4096];
  if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, 4096) == 0) {
    return make_error(Code::io_error, Error::no_offset, path, "the path is too long, or is not UTF-8");
  }
  Handle file(CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr, OPEN_EXISTING,
                          FILE_ATTRIBUTE_NORMAL, nullptr));
  if (!file.valid()) return io_error(path, "open");
  return file;
}

Result<HANDLE> handle_of(const FilePart& part) noexcept {
  const auto handle = reinterpret_cast<HANDLE>(_get_osfhandle(part.descriptor));
  if (handle == INVALID_HANDLE_VALUE) {
    return make_error(Code::io_error, Error::no_offset, kDescriptor, "it is not an open file");
  }
  return handle;
}

Result<size_t> part_length(HANDLE file, const FilePart& part) noexcept {
  ONEPASS_TRY_ASSIGN(size, regular_size(file, kDescriptor));
  if (part.offset >= size || part.length > size - part.offset) {
    return make_error(Code::truncated, size, kDescriptor, "the file has %zu bytes, and the part ends behind them",
                      size);
  }
  return part.length == 0 ? size - static_cast<size_t>(part.offset) : static_cast<size_t>(part.length);
}

struct View {
  void* base;
  size_t before;
};

Result<View> map_view(HANDLE file, const char* path, uint64_t offset, size_t length) noexcept {
  const Handle mapping(CreateFileMappingW(file, nullptr, PAGE_READONLY, 0, 0, nullptr));
  if (!mapping.valid()) return io_error(path, "map");
  const auto before = static_cast<size_t>(offset % mapping_granularity());
  const uint64_t from = offset - before;
  void* base = MapViewOfFile(mapping.get(), FILE_MAP_READ, static_cast<DWORD>(from >> 32),
                             static_cast<DWORD>(from & 0xFFFFFFFFu), before + length);
  if (base == nullptr) return io_error(path, "map");
  return View{base, before};
}

Result<Array<uint8_t>> read_all(HANDLE file, const char* path, uint64_t offset, size_t size) noexcept {
  Array<uint8_t> bytes;
  if (!bytes.resize_uninitialized(size)) {
    return make_error(Code::out_of_memory, Error::no_offset, path, "no memory for the %zu bytes of the file", size);
  }
  for (size_t done = 0; done < size;) {
    OVERLAPPED at{};
    at.Offset = static_cast<DWORD>((offset + done) & 0xFFFFFFFFu);
    at.OffsetHigh = static_cast<DWORD>((offset + done) >> 32);
    DWORD n = 0;
    const auto most = static_cast<DWORD>(std::min<size_t>(size - done, size_t{1} << 30));
    if (ReadFile(file, bytes.data() + done, most, &n, &at) == 0) return io_error(path, "read");
    if (n == 0) return make_error(Code::truncated, done, path, "the file became shorter while it was read");
    done += n;
  }
  return bytes;
}

}  // namespace

Result<MappedFile> MappedFile::map(const char* path) noexcept {
  ONEPASS_TRY_ASSIGN(file, open_file(path));
  ONEPASS_TRY_ASSIGN(size, regular_size(file.get(), path));
  ONEPASS_TRY_ASSIGN(view, map_view(file.get(), path, 0, size));
  MappedFile result;
  result.data_ = static_cast<const uint8_t*>(view.base);
  result.size_ = result.mapping_size_ = size;
  result.mapping_ = view.base;
  return result;
}

Result<MappedFile> MappedFile::map(const FilePart& part) noexcept {
  ONEPASS_TRY_ASSIGN(file, handle_of(part));
  ONEPASS_TRY_ASSIGN(length, part_length(file, part));
  if (part.offset % 64 != 0) {
    return make_error(Code::misaligned, part.offset, kDescriptor,
                      "to be mapped, the model must begin at a multiple of 64: align it, or have it copied");
  }
  ONEPASS_TRY_ASSIGN(view, map_view(file, kDescriptor, part.offset, length));
  MappedFile result;
  result.data_ = static_cast<const uint8_t*>(view.base) + view.before;
  result.size_ = length;
  result.mapping_ = view.base;
  result.mapping_size_ = view.before + length;
  return result;
}

Result<MappedFile> MappedFile::read(const char* path) noexcept {
  ONEPASS_TRY_ASSIGN(file, open_file(path));
  ONEPASS_TRY_ASSIGN(size, regular_size(file.get(), path));
  ONEPASS_TRY_ASSIGN(bytes, read_all(file.get(), path, 0, size));
  MappedFile result;
  result.copy_ = std::move(bytes);
  result.data_ = result.copy_.data();
  result.size_ = size;
  return result;
}

Result<MappedFile> MappedFile::read(const FilePart& part) noexcept {
  ONEPASS_TRY_ASSIGN(file, handle_of(part));
  ONEPASS_TRY_ASSIGN(length, part_length(file, part));
  ONEPASS_TRY_ASSIGN(bytes, read_all(file, kDescriptor, part.offset, length));
  MappedFile result;
  result.copy_ = std::move(bytes);
  result.data_ = result.copy_.data();
  result.size_ = length;
  return result;
}

// A page is the unit there is.
void MappedFile::expect_scattered_reads(std::span<const uint8_t>) const noexcept {}
void MappedFile::release(std::span<const uint8_t>) const noexcept {}

MappedFile::~MappedFile() {
  if (mapping_ != nullptr) UnmapViewOfFile(mapping_);
}

}  // namespace onepass
