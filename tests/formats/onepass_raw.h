// A .onepass file with every field open to abuse: an encoder of docs/format.md that is independent of the
// writer and checks nothing, and the tiny model that the tests break.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/onepass/writer.h"

namespace onepass::test {

using format::SectionId;

struct RawField {
  uint32_t key, type;
  uint64_t bits;
};

struct RawHead {
  std::string name;
  uint32_t kind = 0;
  std::optional<uint32_t> classes;  // else the number of labels
  std::vector<std::string> labels;
  uint32_t activation = 0;
  float temperature = 1;
  std::optional<uint32_t> threshold_count;
  std::vector<float> thresholds;
  float low = 0, high = 0;
};

struct RawTensor {
  std::string name;
  uint32_t dtype = 0, layout = 0;
  std::optional<uint32_t> rank;
  std::vector<uint64_t> dims;
  uint64_t offset = 0, size = 0;
  std::vector<uint8_t> payload;
};

struct RawSelfTest {
  std::optional<uint32_t> tokens;
  std::vector<uint32_t> ids;
  std::vector<float> logits;
};

struct RawSection {
  uint32_t id = 0, reserved = 0;
  uint64_t offset = 0, size = 0;
  uint64_t reserved_end = 0;
};

struct RawModel {
  std::vector<uint8_t> magic{'O', 'N', 'E', 'P', 'A', 'S', 'S', 0x1A};
  uint32_t version = 1, endian = 0x01020304, flags = 0;
  std::optional<uint32_t> section_count;
  std::optional<uint64_t> file_size;

  std::optional<uint32_t> config_count, head_count, metadata_count, tensor_count, self_test_count;
  std::vector<RawField> config;
  std::vector<RawHead> heads;
  std::vector<uint8_t> tokenizer;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::vector<RawTensor> tensors;  // dims, offsets and sizes as stored; payloads are placed at the offsets
  std::vector<RawSelfTest> self_tests;

  // Edits of the encoded bytes of a section, of the table when everything has its place, and of the whole file
  // before and after the hashes are computed.
  std::map<SectionId, std::function<void(std::vector<uint8_t>&)>> edit_section;
  std::function<void(std::vector<RawSection>&)> edit_table;
  std::function<void(std::vector<uint8_t>&)> edit_before_hash;
  std::function<void(std::vector<uint8_t>&)> edit_after_hash;

  RawField& field(uint32_t key);
  RawTensor& tensor(const std::string& name);
  void place_tensors();  // gives the tensors consecutive offsets again
  std::vector<uint8_t> encode() const;
};

// 2 layers, width 8, every layout, every kind of head.
ModelContent tiny_model();
// The same with one head, which labels tokens.
ModelContent token_model();
// The same with layers of several widths: 3 groups of heads and 17 columns, and of the other layer 1 and 5.
ModelContent uneven_model();
// tiny_model with 1 layer and every dimension as small as it goes.
ModelContent micro_model();
RawModel raw_of(const ModelContent& content);
// A payload with in-range values and exact padding.
std::vector<uint8_t> payload_of(kernels::Layout layout, uint64_t n, uint64_t k, uint32_t seed);

// Recomputes every hash of the file, as far as its structure can be followed.
void rehash(std::vector<uint8_t>& file);
void rehash_root(std::vector<uint8_t>& file);

// 64-byte aligned memory of exactly the file's size, so that a sanitizer sees the first byte beyond it.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::span<const uint8_t> bytes);
  ~AlignedBytes();
  AlignedBytes(const AlignedBytes&) = delete;
  AlignedBytes& operator=(const AlignedBytes&) = delete;
  std::span<uint8_t> span() const { return {data_, size_}; }

 private:
  uint8_t* data_;
  size_t size_;
};

}  // namespace onepass::test
