// What a .onepass file says, parsed from the part before its weights: views into that part, and checked
// numbers. The reader and the writer use the same functions, so that nothing is written that cannot be read.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "engine/arch/arch.h"
#include "engine/arch/head.h"
#include "engine/core/array.h"
#include "engine/core/result.h"
#include "formats/onepass/format.h"
#include "kernels/layouts.h"

namespace onepass {

struct TensorView {
  std::string_view name;
  Slot slot{};
  uint32_t index = 0;  // layer or head
  kernels::Layout layout{};
  uint64_t n = 0, k = 0;  // [N,K]; vectors have n = 1
  uint64_t offset = 0;    // in the file
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
  std::span<const float> logits;  // of every head in order, concatenated; Pool::every_token: of every token in order
};

// What a file says about itself. Keys are fixed; a missing one is an empty string.
struct Metadata {
  std::string_view family;  // "bert": for people; nothing depends on it
  std::string_view model_id;
  std::string_view model_version;
  std::string_view licence;
  std::string_view source_hash;   // SHA-256 of the checkpoint that it was converted from, hex
  std::string_view quantisation;  // what was done to the weights, for people
  std::string_view converter;     // name and version of the program that wrote it
};

namespace format {

// The value of metadata_keys[key].
template <class M>
auto& metadata_value(M& metadata, size_t key) noexcept {
  switch (key) {
    case 0:
      return metadata.converter;
    case 1:
      return metadata.family;
    case 2:
      return metadata.licence;
    case 3:
      return metadata.model_id;
    case 4:
      return metadata.model_version;
    case 5:
      return metadata.quantisation;
    default:
      return metadata.source_hash;
  }
}

struct Section {
  uint64_t offset = 0, size = 0;
  Digest hash{};
  uint64_t end() const noexcept { return offset + size; }
};

struct SectionTable {
  Section at[section_count];
  Digest root_hash{};
  const Section& operator[](SectionId id) const noexcept { return at[static_cast<size_t>(id) - 1]; }
};

constexpr size_t table_bytes = header_bytes + section_count * table_entry_bytes;

// Checks the header and the section table. `head` is a private copy of the file's first bytes, at least
// min(file_size, header_bytes + max_sections * table_entry_bytes) of them.
Result<SectionTable> parse_section_table(std::span<const uint8_t> head, uint64_t file_size) noexcept;

struct Contents {
  SectionTable table;
  Config config;
  Metadata metadata;
  std::span<const uint8_t> tokenizer;
  Array<HeadView> heads;
  Array<std::string_view> labels;
  Array<float> floats;  // thresholds and self-test logits
  Array<uint32_t> ids;  // self-test ids
  Array<TensorView> tensors;
  Array<SelfTestView> self_tests;
  uint32_t total_classes = 0;  // sum of C over heads
};

// Parses every section but the weights, and cross-checks them. `head` is a private copy of the file up to the
// end of the self_test section and must outlive `out`. TensorView::data stays null.
Status parse_contents(std::span<const uint8_t> head, const SectionTable& table, Contents& out) noexcept;

// Parts of parse_contents, in the order of the sections.
struct SectionBytes {
  std::string_view name;
  std::span<const uint8_t> bytes;
  uint64_t offset;  // of bytes[0] in the file
};
Status parse_config(const SectionBytes& section, Config& config) noexcept;
Status parse_heads(const SectionBytes& section, Contents& out) noexcept;
Status parse_metadata(const SectionBytes& section, Metadata& metadata) noexcept;
Status parse_directory(const SectionBytes& section, Contents& out) noexcept;
Status parse_self_tests(const SectionBytes& section, Contents& out) noexcept;

// Errors that more than one part gives.
Error section_truncated(const SectionBytes& section, uint64_t offset) noexcept;
Error no_memory(std::string_view where) noexcept;
// The offset of the first byte that is not zero in bytes[begin, end), or `end`. Requires begin <= end <= size.
uint64_t first_nonzero(std::span<const uint8_t> bytes, uint64_t begin, uint64_t end) noexcept;

}  // namespace format
}  // namespace onepass
