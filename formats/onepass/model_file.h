// ModelFile: a .onepass file, opened, checked, and held. docs/format.md is the specification.
//
// Weights are used where they lie in the mapping (or in the copy); everything else is parsed from a
// private copy of the header and metadata. Nothing in here trusts the file.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "engine/arch/arch.h"
#include "engine/arch/head.h"
#include "engine/core/array.h"
#include "engine/core/mapped_file.h"
#include "engine/core/result.h"
#include "kernels/layouts.h"

namespace onepass {

using Digest = std::array<uint8_t, 32>;

// How a file is brought into memory.
enum class LoadMode : uint8_t {
  map,   // the file must not change while it is open (it is read where it lies)
  copy,  // one read into private memory
};

struct OpenOptions {
  LoadMode mode = LoadMode::map;
  // False skips the hashes and the scan for non-finite weights. Every other rule is still checked, and a
  // pass over such a file is still memory-safe.
  bool verify = true;
};

struct TensorView {
  std::string_view name;
  Slot slot{};
  uint32_t index = 0;  // layer or head
  kernels::Layout layout{};
  uint64_t n = 0, k = 0;    // [N,K]; vectors have n = 1
  uint64_t offset = 0;      // in the file
  uint64_t bytes = 0;
  Digest hash{};
  const void* data = nullptr;  // 64-byte aligned
};

struct HeadView {
  std::string_view name;
  HeadKind kind{};
  std::span<const std::string_view> labels;  // C
  std::span<const float> thresholds;         // C for multi_label, else empty
  float temperature = 1;                     // logits are divided by it before the sigmoid or softmax
  float range_low = 0, range_high = 0;       // regression
};

struct SelfTestView {
  std::span<const uint32_t> ids;
  std::span<const float> logits;  // of every head in order, concatenated
};

// What a file says about itself. Keys are fixed; a missing one is an empty string.
struct Metadata {
  std::string_view family;         // "bert": for people; nothing depends on it
  std::string_view model_id;
  std::string_view model_version;
  std::string_view licence;
  std::string_view source_hash;    // SHA-256 of the checkpoint that it was converted from, hex
  std::string_view quantisation;   // what was done to the weights, for people
  std::string_view converter;      // name and version of the program that wrote it
};

class ModelFile {
 public:
  static Result<ModelFile> open(const char* path, const OpenOptions& options) noexcept;
  // `bytes` must be 64-byte aligned and outlive the ModelFile, unless options.mode is copy.
  static Result<ModelFile> from_memory(std::span<const uint8_t> bytes, const OpenOptions& options) noexcept;

  ModelFile(ModelFile&&) noexcept = default;
  ModelFile& operator=(ModelFile&&) noexcept = default;

  const Config& config() const noexcept { return config_; }
  const Metadata& metadata() const noexcept { return metadata_; }
  std::span<const HeadView> heads() const noexcept { return heads_.span(); }
  std::span<const TensorView> tensors() const noexcept { return tensors_.span(); }  // in file order
  std::span<const SelfTestView> self_tests() const noexcept { return self_tests_.span(); }
  std::span<const uint8_t> tokenizer_section() const noexcept { return tokenizer_; }
  const Digest& root_hash() const noexcept { return root_hash_; }
  uint64_t file_size() const noexcept { return bytes_.size(); }
  uint32_t total_classes() const noexcept { return total_classes_; }  // sum of C over heads

  // Re-hashes everything and scans the weights, as open() with verify does.
  Status verify() const noexcept;

 private:
  ModelFile() noexcept = default;
  Status parse(const OpenOptions& options) noexcept;

  MappedFile file_;                  // the mapping or the copy; empty for from_memory without copying
  std::span<const uint8_t> bytes_;   // the whole file
  Array<uint8_t> metadata_copy_;     // header, section table and every section but the weights
  std::span<const uint8_t> tokenizer_;
  Config config_;
  Metadata metadata_;
  Array<HeadView> heads_;
  Array<std::string_view> labels_;
  Array<float> floats_;              // thresholds and self-test logits
  Array<uint32_t> ids_;              // self-test ids
  Array<TensorView> tensors_;
  Array<SelfTestView> self_tests_;
  Digest root_hash_{};
  uint32_t total_classes_ = 0;
};

}  // namespace onepass
