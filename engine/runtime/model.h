// Model: an opened file with its weights bound and its tokenizer built. Immutable; threads share it.
#pragma once

#include "engine/core/result.h"
#include "engine/runtime/weights.h"
#include "engine/text/tokenizer.h"
#include "formats/onepass/model_file.h"

namespace onepass {

class Model {
 public:
  static Result<Model> open(const char* path, const OpenOptions& options) noexcept;
  static Result<Model> open(const FilePart& part, const OpenOptions& options) noexcept;
  // As ModelFile::from_memory.
  static Result<Model> from_memory(std::span<const uint8_t> bytes, const OpenOptions& options) noexcept;

  const ModelFile& file() const noexcept { return file_; }
  const Config& config() const noexcept { return file_.config(); }
  const Weights& weights() const noexcept { return weights_; }
  const Tokenizer& tokenizer() const noexcept { return tokenizer_; }
  std::span<const HeadView> heads() const noexcept { return file_.heads(); }
  size_t total_classes() const noexcept { return file_.total_classes(); }
  // Every head is of the kind token_label; else none is.
  bool labels_tokens() const noexcept { return config().arch.pool == Pool::every_token; }

 private:
  Model(ModelFile file, Weights weights, Tokenizer tokenizer) noexcept
      : file_(std::move(file)), weights_(std::move(weights)), tokenizer_(std::move(tokenizer)) {}
  static Result<Model> from_file(Result<ModelFile> file) noexcept;

  ModelFile file_;
  Weights weights_;
  Tokenizer tokenizer_;
};

}  // namespace onepass
