#include "engine/runtime/model.h"

#include "engine/runtime/build_check.h"

namespace onepass {

Result<Model> Model::open(const char* path, const OpenOptions& options) noexcept {
  return from_file(ModelFile::open(path, options));
}

Result<Model> Model::open(const FilePart& part, const OpenOptions& options) noexcept {
  return from_file(ModelFile::open(part, options));
}

Result<Model> Model::from_memory(std::span<const uint8_t> bytes, const OpenOptions& options) noexcept {
  return from_file(ModelFile::from_memory(bytes, options));
}

Result<Model> Model::from_file(Result<ModelFile> file) noexcept {
  if (!file.ok()) return file.error();
  ONEPASS_TRY(check_build(file.value()));
  ONEPASS_TRY_ASSIGN(weights, bind_weights(file.value()));
  for (const TensorView& tensor : file->tensors()) {
    if (tensor.slot == Slot::embed_token) file->expect_scattered_reads(tensor);
  }
  ONEPASS_TRY_ASSIGN(tokenizer, Tokenizer::parse(file.value().tokenizer_section(), file.value().config().vocab,
                                                 file.value().tokenizer_offset()));
  return Model(std::move(file.value()), std::move(weights), std::move(tokenizer));
}

}  // namespace onepass
