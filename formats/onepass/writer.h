// Writer of .onepass files, for converters: ordinary C++, not part of the runtime archive.
//
// Everything that a reader checks is checked here, by the reader's own functions, before a byte of the target
// changes. What a file holds follows from the content alone: load then save gives the same bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/core/result.h"
#include "formats/onepass/model_file.h"

namespace onepass {

struct HeadContent {
  std::string name;
  HeadKind kind{};
  std::vector<std::string> labels;
  std::vector<float> thresholds;  // one a label for multi_label, else empty
  float temperature = 1;
  float range_low = 0, range_high = 0;  // regression
};

// As Metadata.
struct MetadataContent {
  std::string family;
  std::string model_id;
  std::string model_version;
  std::string licence;
  std::string source_hash;
  std::string quantisation;
  std::string converter;
};

struct TensorContent {
  std::string name;
  kernels::Layout layout{};
  uint64_t n = 0, k = 0;         // [N,K]; vectors have n = 1
  std::vector<uint8_t> payload;  // packed_bytes(layout, n, k), used where `fill` is empty
  // Writes the payload. Called once a write, in file order, so that one tensor at a time is in memory.
  std::function<Status(std::span<uint8_t>)> fill;
  std::string origin{};  // what it was made of and what it lost, for people; not stored
};

struct SelfTestContent {
  std::vector<uint32_t> ids;
  std::vector<float> logits;  // as SelfTestView
};

struct ModelContent {
  Config config;
  std::vector<HeadContent> heads;
  std::vector<uint8_t> tokenizer;
  MetadataContent metadata;
  std::vector<TensorContent> tensors;  // in the order of for_each_tensor
  std::vector<SelfTestContent> self_tests;
};

// Writes beside `path` and renames when all is on the disk: `path` holds the old file or the new one, whatever
// happens. On Linux the unfinished file has no name, so that even a signal leaves nothing behind.
Status write_model(const ModelContent& content, const std::string& path);

Result<std::vector<uint8_t>> serialize_model(const ModelContent& content);

// The content of a file, to be written again. The payloads stay in `file`, which must outlive the result.
ModelContent content_of(const ModelFile& file);

}  // namespace onepass
