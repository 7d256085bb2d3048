// A GGUF model as the checkpoint that it was made from: its config.json, and its tensors under their names there.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/text/tokenizer_spec.h"
#include "formats/huggingface/folder.h"
#include "formats/weight_file.h"
#include "tools/chat/chat_template.h"

namespace onepass::convert {

// Everything that a conversion reads.
struct Input {
  HuggingFaceFolder folder;
  std::shared_ptr<const WeightFile> weights;
  std::optional<TokenizerSpec> tokenizer;  // nullopt: the folder's
  std::string name, licence;               // where the file has them
  const char* stored_by = nullptr;         // "GGUF", "GPTQ" or "AWQ", where weights lie in blocks of codes
  chat::ChatSource chat{};                 // of a GGUF file; a folder's is read where it is asked for
};

// `head_from` is a folder of the same model, whose head is taken (its config.json says what the head is), or empty.
// `for_words`: the model is a language model, whose output matrix is wanted; it is the embeddings where the file has
// none.
// Errors beside those of the readers: unsupported (an architecture that is not known), missing_tensor and missing_key
// (what the GGUF file lacks: the message offers --head-from), bad_value (a folder of another model).
Result<Input> import_gguf(const std::filesystem::path& path, const std::filesystem::path& head_from, bool for_words,
                          std::vector<std::string>* notes);

}  // namespace onepass::convert
