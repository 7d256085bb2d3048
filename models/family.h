// Family: what the converter knows of one kind of checkpoint, as data. Adding a model is one file with one Family and
// one row in registry.cpp; see docs/adding-a-model.md.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/arch/arch.h"
#include "formats/json/json.h"

namespace onepass::models {

// Where a tensor of ours comes from. Rows with the same slot are stacked along N, in order (Q, K, V).
struct TensorSource {
  Slot slot;
  const char* source;  // name in the checkpoint, after the architecture's prefix; "{i}" is the layer as it is stored
  Dim n, k;            // shape there: [n,k]; [k] for a vector
};

// How the class that a checkpoint was saved from lays it out: the entry of config.json's "architectures".
struct SourceClass {
  const char* name;    // "BertForSequenceClassification"
  const char* prefix;  // before every encoder tensor: "bert."
  // Its own head and the dense layer before it, by their whole names. Empty: the heads are the folder's (onepass.json).
  std::span<const TensorSource> head;
  // Between encoder and its own head. Pool::every_token: the head labels tokens.
  Pool pool = Pool::first_token;
  bool pooler = false;
  Act pooler_act = Act::none;
  // Of a language model, which has no head: its output matrix, by its whole name; and whether that is the embeddings
  // where config.json does not say (tie_word_embeddings).
  const char* output = nullptr;
  bool tied = false;
};

// An integer of config.json.
struct SizeKey {
  const char* key;
  uint32_t Config::*member;
};

// A key of config.json that must have this value (JSON text), since another means another architecture.
struct FixedKey {
  const char* key;
  const char* value;
  bool required = false;  // an absent key means another value too
};

// Another spelling of the end of a tensor's name, from older releases.
struct NameAlias {
  std::string_view suffix, older;
};

// What config.json says of a model.
struct SourceModel {
  Config config;
  // Radians a position, of every pair of elements: of layers without and with a window, and of long texts.
  std::vector<float> rotary_global, rotary_local, rotary_long;
  // Of relative positions: distances beyond which they fall together, and the rows that they are spread over.
  uint32_t relative_span = 0, relative_buckets = 0;
  std::span<const TensorSource> more_tensors{};  // beside Family::tensors
};

// The parts of a tensor, as the checkpoint has them.
using TensorParts = std::span<const std::vector<float>>;

struct Family {
  const char* name;    // also config.json's "model_type"
  const char* oracle;  // pinned reference implementation
  std::span<const SourceClass> classes;
  ArchSpec arch;        // act, segment_types and position_first may be refined by config.json, the rest by the class
  const char* act_key;  // activation of the feed-forward block
  const char* eps_key;  // null: norm_eps
  double norm_eps = 0;
  const char* segment_types_key = nullptr;  // null: as in arch
  const char* pad_key = nullptr;            // learned_after_pad: the padding's id; null: as in arch
  const char* head_width_key = nullptr;     // where config.json has it; else it is D / H
  // The width of the embeddings, which are projected where it is not D, or always. Null: they are D wide.
  const char* embed_width_key = nullptr;
  bool embed_always_projected = false;
  // Key of config.json that says, beside tie_word_embeddings, that the output matrix is the embeddings; or null.
  const char* tied_key = nullptr;
  std::span<const SizeKey> sizes;
  std::span<const FixedKey> fixed;
  std::span<const TensorSource> tensors;
  // What tables cannot say of config.json, called after everything else was read. May be null.
  Status (*refine)(const JsonNode& json, SourceModel& model) = nullptr;
  // A tensor that is more than its parts one behind the other; false where it is no more. May be null.
  bool (*compute)(Slot slot, const SourceModel& model, TensorParts parts, std::vector<float>& out) = nullptr;
  // Row of the relative tables for a query that stands `distance` behind its key. May be null.
  uint32_t (*relative_row)(int64_t distance, const SourceModel& model) = nullptr;
  // Tensors that checkpoints carry and a pass does not need.
  std::span<const std::string_view> ignored{};
  std::span<const NameAlias> aliases{};
};

// Every family, in the order of their names.
std::span<const Family* const> families() noexcept;

// The family and class of a name in "architectures"; null where there is none.
struct FoundClass {
  const Family* family = nullptr;
  const SourceClass* source = nullptr;
};
FoundClass find_class(std::string_view architecture) noexcept;

}  // namespace onepass::models
