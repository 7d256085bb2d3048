// The C ABI's ways to open a model, and how long it lives.
#include <cstring>

#include "engine/api/handles.h"

namespace {

using namespace onepass::api;
using onepass::Code;
using onepass::Error;
using onepass::make_error;

onepass_status finish_open(onepass::Result<onepass::Model> opened, const onepass_model_options& options,
                           const char* name, onepass_model** model, onepass_error* error) {
  if (!opened.ok()) {
    return report(opened.error(), error);
  }
  const auto& hash = opened.value().file().root_hash();
  if (options.expected_hash != nullptr && std::memcmp(options.expected_hash, hash.data(), hash.size()) != 0) {
    return report(make_error(Code::hash_mismatch, 32, name, "this is another model than the one expected"), error);
  }
  *model = make_handle<onepass_model>(std::move(opened.value()));
  if (*model == nullptr) {
    return report(make_error(Code::out_of_memory, Error::no_offset, name, "no memory for the model's handle"), error);
  }
  return ONEPASS_OK;
}

onepass::OpenOptions open_options(const onepass_model_options& options) {
  return {options.copy != 0 ? onepass::LoadMode::copy : onepass::LoadMode::map, options.skip_verify == 0};
}

// The file, mapped or copied, and one session.
uint64_t memory_of(const onepass::Model& model, const onepass::SessionOptions& session) {
  return model.file().file_size() + onepass::Session::memory_for(model, session);
}

// Where opening begins: *model is NULL until it succeeds.
onepass_status begin_open(const onepass_model_options* given, onepass_model** model, onepass_error* error) {
  if (model == nullptr) return null_argument("model", error);
  *model = nullptr;
  return check_options(given, "onepass_model_options", error);
}

}  // namespace

namespace onepass::api {

void share(const onepass_model* model) noexcept { model->owners.fetch_add(1, std::memory_order_relaxed); }

void let_go(const onepass_model* model) noexcept {
  if (model == nullptr || model->owners.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  destroy_handle(const_cast<onepass_model*>(model));
}

}  // namespace onepass::api

ONEPASS_API onepass_status onepass_model_open(const char* path, const onepass_model_options* given,
                                              onepass_model** model, onepass_error* error) {
  if (const auto bad = begin_open(given, model, error); bad != ONEPASS_OK) return bad;
  if (path == nullptr) return null_argument("path", error);
  const auto options = read_options(given);
  return finish_open(onepass::Model::open(path, open_options(options)), options, path, model, error);
}

ONEPASS_API onepass_status onepass_model_open_memory(const void* data, size_t size, const onepass_model_options* given,
                                                     onepass_model** model, onepass_error* error) {
  if (const auto bad = begin_open(given, model, error); bad != ONEPASS_OK) return bad;
  if (data == nullptr) return null_argument("data", error);
  const auto options = read_options(given);
  return finish_open(onepass::Model::from_memory({static_cast<const uint8_t*>(data), size}, open_options(options)),
                     options, "memory", model, error);
}

ONEPASS_API onepass_status onepass_model_open_descriptor(int descriptor, uint64_t offset, uint64_t length,
                                                         const onepass_model_options* given, onepass_model** model,
                                                         onepass_error* error) {
  if (const auto bad = begin_open(given, model, error); bad != ONEPASS_OK) return bad;
  const auto options = read_options(given);
  return finish_open(onepass::Model::open(onepass::FilePart{descriptor, offset, length}, open_options(options)),
                     options, "descriptor", model, error);
}

ONEPASS_API onepass_status onepass_model_open_first(const char* const* paths, size_t count, uint64_t memory,
                                                    const onepass_session_options* given_session,
                                                    const onepass_model_options* given, onepass_model** model,
                                                    size_t* chosen, onepass_error* error) {
  if (const auto bad = begin_open(given, model, error); bad != ONEPASS_OK) return bad;
  if (paths == nullptr && count != 0) return null_argument("paths", error);
  onepass::SessionOptions session;
  if (const auto bad = session_options(given_session, &session, error); bad != ONEPASS_OK) return bad;
  const auto options = read_options(given);
  // Checking takes as long as reading the file: only what fits is checked.
  auto unchecked = options;
  unchecked.skip_verify = 1;
  uint64_t smallest = UINT64_MAX;
  for (size_t i = 0; i < count; ++i) {
    if (paths[i] == nullptr) return null_argument("paths", error);
    auto opened = onepass::Model::open(paths[i], open_options(unchecked));
    if (!opened.ok()) return report(opened.error(), error);
    const uint64_t need = memory_of(opened.value(), session);
    if (need > memory) {
      smallest = need < smallest ? need : smallest;
      continue;
    }
    if (options.skip_verify == 0) {
      if (const auto s = opened.value().file().verify(); !s.ok()) return report(s.error(), error);
    }
    if (chosen != nullptr) *chosen = i;
    return finish_open(std::move(opened), options, paths[i], model, error);
  }
  return report(make_error(Code::limit_exceeded, Error::no_offset, "memory",
                           "none of %zu models fits into %llu bytes; the smallest needs %llu", count,
                           static_cast<unsigned long long>(memory), static_cast<unsigned long long>(smallest)),
                error);
}

ONEPASS_API onepass_status onepass_model_share(onepass_model* model) {
  if (model == nullptr) return kInvalidArgument;
  share(model);
  return ONEPASS_OK;
}

ONEPASS_API void onepass_model_close(onepass_model* model) { let_go(model); }

ONEPASS_API uint64_t onepass_model_memory(const onepass_model* model, const onepass_session_options* given) {
  onepass::SessionOptions session;
  if (model == nullptr || session_options(given, &session, nullptr) != ONEPASS_OK) return 0;
  return memory_of(model->model, session);
}
