#include "formats/onepass/model_file.h"

#include <bit>
#include <cstring>
#include <utility>

#include "formats/onepass/verify.h"

namespace onepass {

using format::Section;
using format::SectionId;

// Weights are used as they lie in the file, so the host's byte order must be the file's.
static_assert(std::endian::native == std::endian::little);

Result<ModelFile> ModelFile::open(const char* path, const OpenOptions& options) noexcept {
  auto file = options.mode == LoadMode::copy ? MappedFile::read(path) : MappedFile::map(path);
  if (!file.ok()) return file.error();
  const auto bytes = file->bytes();
  return load(std::move(file).value(), bytes, options);
}

Result<ModelFile> ModelFile::open(const FilePart& part, const OpenOptions& options) noexcept {
  auto file = options.mode == LoadMode::copy ? MappedFile::read(part) : MappedFile::map(part);
  if (!file.ok()) return file.error();
  const auto bytes = file->bytes();
  return load(std::move(file).value(), bytes, options);
}

Result<ModelFile> ModelFile::from_memory(std::span<const uint8_t> bytes, const OpenOptions& options) noexcept {
  if (bytes.empty()) return make_error(Code::truncated, 0, "header", "the file is empty");
  if (options.mode == LoadMode::copy) {
    auto file = MappedFile::copy(bytes);
    if (!file.ok()) return file.error();
    const auto copy = file->bytes();
    return load(std::move(file).value(), copy, options);
  }
  if (reinterpret_cast<uintptr_t>(bytes.data()) % format::tensor_alignment != 0) {
    return make_error(Code::misaligned, Error::no_offset, "",
                      "the memory that holds the model must be 64-byte aligned: align it, or have it copied");
  }
  return load(MappedFile(), bytes, options);
}

Result<ModelFile> ModelFile::load(MappedFile file, std::span<const uint8_t> bytes,
                                  const OpenOptions& options) noexcept {
  ModelFile model;
  model.file_ = std::move(file);
  model.bytes_ = bytes;
  model.private_ = options.mode == LoadMode::copy;
  ONEPASS_TRY(model.parse());
  if (options.verify) ONEPASS_TRY(model.verify());
  return model;
}

Status ModelFile::parse() noexcept {
  constexpr size_t most = format::header_bytes + format::max_sections * format::table_entry_bytes;
  alignas(64) uint8_t start[most];
  const size_t started = bytes_.size() < most ? bytes_.size() : most;
  std::memcpy(start, bytes_.data(), started);
  ONEPASS_TRY_ASSIGN(table, format::parse_section_table({start, started}, bytes_.size()));
  contents_.table = table;

  const uint64_t head_end = table[SectionId::self_test].end();
  if (!private_) {
    if (!head_copy_.resize_uninitialized(static_cast<size_t>(head_end))) return format::no_memory("header");
    std::memcpy(head_copy_.data(), bytes_.data(), head_copy_.size());
    std::memcpy(head_copy_.data(), start, format::table_bytes);  // what was checked, not a second reading
  }
  const Section& weights = table[SectionId::weights];
  if (const uint64_t bad = format::first_nonzero(bytes_, head_end, weights.offset); bad != weights.offset) {
    return make_error(Code::nonzero_padding, bad, "weights", "the gap before the section is not zero");
  }
  ONEPASS_TRY(format::parse_contents(head(), table, contents_));
  for (TensorView& tensor : contents_.tensors) tensor.data = bytes_.data() + tensor.offset;
  return {};
}

void ModelFile::expect_scattered_reads(const TensorView& tensor) const noexcept {
  file_.expect_scattered_reads({static_cast<const uint8_t*>(tensor.data), static_cast<size_t>(tensor.bytes)});
}

Status ModelFile::verify() const noexcept { return format::verify_contents(head(), bytes_, contents_, &file_); }

std::span<const uint8_t> ModelFile::head() const noexcept {
  return private_ ? bytes_.first(static_cast<size_t>(contents_.table[SectionId::self_test].end())) : head_copy_.span();
}

}  // namespace onepass
