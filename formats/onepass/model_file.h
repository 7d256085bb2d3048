// ModelFile: a .onepass file, opened, checked, and held. docs/format.md is the specification.
//
// Weights are used where they lie in the mapping (or in the copy); everything else is parsed from a
// private copy of the part before them. Nothing in here trusts the file.
#pragma once

#include <cstdint>
#include <span>

#include "engine/core/array.h"
#include "engine/core/mapped_file.h"
#include "engine/core/result.h"
#include "formats/onepass/contents.h"

namespace onepass {

// How a file is brought into memory.
enum class LoadMode : uint8_t {
  map,   // the file must not change while it is open (it is read where it lies)
  copy,  // one read into private memory
};

struct OpenOptions {
  LoadMode mode = LoadMode::map;
  // False skips the hashes, the gaps between tensors, and the scan of the weights' values. Every other rule
  // is still checked, and a pass over such a file is still memory-safe.
  bool verify = true;
};

class ModelFile {
 public:
  static Result<ModelFile> open(const char* path, const OpenOptions& options) noexcept;
  // A part of a file that is open; where it is mapped, its offset is a multiple of 64.
  static Result<ModelFile> open(const FilePart& part, const OpenOptions& options) noexcept;
  // `bytes` must be 64-byte aligned and outlive the ModelFile, unless options.mode is copy.
  static Result<ModelFile> from_memory(std::span<const uint8_t> bytes, const OpenOptions& options) noexcept;

  ModelFile(ModelFile&&) noexcept = default;
  ModelFile& operator=(ModelFile&&) noexcept = default;

  const Config& config() const noexcept { return contents_.config; }
  const Metadata& metadata() const noexcept { return contents_.metadata; }
  std::span<const HeadView> heads() const noexcept { return contents_.heads.span(); }
  std::span<const TensorView> tensors() const noexcept { return contents_.tensors.span(); }  // in file order
  std::span<const SelfTestView> self_tests() const noexcept { return contents_.self_tests.span(); }
  std::span<const uint8_t> tokenizer_section() const noexcept { return contents_.tokenizer; }
  uint64_t tokenizer_offset() const noexcept { return contents_.table[format::SectionId::tokenizer].offset; }
  const Digest& root_hash() const noexcept { return contents_.table.root_hash; }
  uint64_t file_size() const noexcept { return bytes_.size(); }
  uint32_t total_classes() const noexcept { return contents_.total_classes; }  // sum of C over heads

  // Of a mapped file: `tensor` is a table, of which a text reads a few rows.
  void expect_scattered_reads(const TensorView& tensor) const noexcept;

  // Re-hashes everything and scans the weights, as open() with verify does.
  Status verify() const noexcept;

 private:
  ModelFile() noexcept = default;
  static Result<ModelFile> load(MappedFile file, std::span<const uint8_t> bytes, const OpenOptions& options) noexcept;
  Status parse() noexcept;
  std::span<const uint8_t> head() const noexcept;  // private: up to the end of the self_test section

  MappedFile file_;                 // the mapping or the copy; empty for from_memory without copying
  std::span<const uint8_t> bytes_;  // the whole file
  bool private_ = false;            // nobody else can write to bytes_
  Array<uint8_t> head_copy_;        // empty when private_
  format::Contents contents_;
};

}  // namespace onepass
