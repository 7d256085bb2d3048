// Conversion: a Hugging Face folder or a GGUF file to the content of a .onepass file.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/arch/head.h"
#include "engine/core/result.h"
#include "formats/onepass/writer.h"
#include "kernels/layouts.h"
#include "tools/chat/chat_template.h"
#include "tools/convert/label_words.h"
#include "tools/convert/trim_vocabulary.h"

namespace onepass::convert {

// source: as the source has them, where a layout holds that; else int8 (tools/convert/stored.h).
enum class WeightType { f32, f16, int8, int4, source };

struct Options {
  std::filesystem::path source{};          // config.json, model.safetensors or shards, tokenizer files; or a GGUF file
  std::filesystem::path head_from{};       // a folder with the head that a GGUF file lacks; or empty
  std::filesystem::path tokenizer{};       // another folder for the tokenizer; empty: source
  WeightType weights = WeightType::int8;   // of every product's matrix but the heads'
  uint32_t group = 32;                     // inputs that share a scale in int4 products: 32 or 64
  std::optional<WeightType> embeddings{};  // of every table; default: as the weights
  std::optional<WeightType> positions{};   // of the tables of positions and segments; default: as the embeddings
  std::optional<AttentionType> attention{};     // default: i8 where the products are integers
  std::optional<Pool> pool{};                   // of a decoder: which token is pooled; default: the source's
  std::map<std::string, HeadKind> kinds{};      // by head; overrides the source
  bool store_prefix = false;                    // keys and values of the template's tokens before a text
  LabelWords label_words{};                     // of a causal language model
  std::optional<chat::Chat> chat{};             // label_words.prompt is what its user says
  TrimRequest trim{};                           // of the vocabulary
  std::vector<std::string> labels{};            // of the only head; empty: the source's
  std::vector<float> thresholds{};              // of the only multi_label head; empty: the source's
  std::optional<std::array<float, 2>> range{};  // of regression heads; default: the source's, else unlimited
  std::string model_id{}, model_version{};      // empty: the source's, else the folder's name and "1"
  // Changes codes and layouts when all tensors are known, before the model is asked for its own answers.
  std::function<Status(ModelContent&)> adjust{};
};

// Of the table of tokens, or of those of positions and segments.
WeightType table_type(const Options& options, bool of_tokens) noexcept;

// Everything that a file of these options holds, checked: every tensor of the architecture present in the source with
// its shape, none left over. The weights are read and packed while the content is written. Errors name file and
// tensor or key. `notes` receives a line for each thing worth telling (a tensor ignored on purpose).
Result<ModelContent> convert_folder(const Options& options, std::vector<std::string>* notes) noexcept;

// Adds self-test vectors: a few lines of ids and the logits that this build computes for them.
Status add_self_tests(ModelContent& content) noexcept;

}  // namespace onepass::convert
