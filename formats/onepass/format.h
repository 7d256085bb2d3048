// The numbers of docs/format.md, version 1.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/arch/head.h"

namespace onepass {

using Digest = std::array<uint8_t, 32>;

namespace format {

constexpr std::array<uint8_t, 8> magic = {'O', 'N', 'E', 'P', 'A', 'S', 'S', 0x1A};
constexpr uint32_t version = 1;
constexpr uint32_t endian_tag = 0x01020304;

constexpr size_t header_bytes = 64;
constexpr size_t root_hash_offset = 32;
constexpr size_t table_entry_bytes = 64;
constexpr size_t table_hash_offset = 24;  // in an entry
constexpr uint32_t max_sections = 64;

enum class SectionId : uint32_t { config = 1, heads, tokenizer, metadata, tensors, self_test, weights };
constexpr size_t section_count = 7;

struct SectionSpec {
  std::string_view name;
  uint64_t alignment;
  uint64_t max_bytes;
};

constexpr uint64_t MiB = uint64_t{1} << 20;
constexpr uint64_t section_alignment = 64;
constexpr uint64_t weights_alignment = 16384;  // a page on every system that maps the file
constexpr uint64_t tensor_alignment = 64;

// By id - 1.
constexpr SectionSpec sections[section_count] = {
    {"config", section_alignment, 16384},
    {"heads", section_alignment, 16 * MiB},
    {"tokenizer", section_alignment, 256 * MiB},
    {"metadata", section_alignment, 8 * MiB},
    {"tensors", section_alignment, 1 * MiB},
    {"self_test", section_alignment, 16 * MiB},
    {"weights", weights_alignment, uint64_t{1} << 62},
};

enum class FieldType : uint32_t { integer = 1, f64 = 2 };
constexpr size_t config_field_bytes = 16;

enum class HeadActivation : uint32_t { identity = 1, sigmoid = 2, softmax = 3 };
constexpr HeadActivation activation_of(HeadKind kind) {
  switch (kind) {
    case HeadKind::single_label:
    case HeadKind::token_label:
      return HeadActivation::softmax;
    case HeadKind::multi_label:
      return HeadActivation::sigmoid;
    case HeadKind::regression:
      return HeadActivation::identity;
  }
  return HeadActivation::identity;
}

// Smallest encodings, so that no count makes a reader allocate more than the file can fill.
constexpr size_t min_label_bytes = 5;
constexpr size_t min_head_bytes = 5 + 4 + 4 + min_label_bytes + 4 + 4 + 4 + 8;
constexpr size_t min_tensor_bytes = 5 + 4 + 4 + 4 + 8 + 8 + 8 + 32;

// Ascending by bytes, as in a file.
constexpr std::string_view metadata_keys[] = {"converter",     "family",       "licence",    "model_id",
                                              "model_version", "quantisation", "source_hash"};
constexpr size_t metadata_key_count = sizeof(metadata_keys) / sizeof(metadata_keys[0]);
constexpr uint64_t max_metadata_value = 1 * MiB;

constexpr uint32_t max_self_tests = 64;
constexpr uint64_t max_tensor_elements = uint64_t{1} << 36;

}  // namespace format
}  // namespace onepass
