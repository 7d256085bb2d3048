// The few calls that bench/peers needs, as a shared library: the archive itself is for linking into an app.
#include <cstdint>
#include <cstdio>
#include <memory>

#include "onepass/onepass.h"

#define ONEPASS_PEER extern "C" __attribute__((visibility("default")))

namespace {

struct Peer {
  onepass_model* model = nullptr;
  onepass_session* session = nullptr;
  ~Peer() {
    onepass_session_close(session);
    onepass_model_close(model);
  }
};

}  // namespace

// Null on failure, with the reason in `message`. The file is mapped; hashes are checked where `verify` is not 0.
ONEPASS_PEER void* onepass_peer_open(const char* path, const char* isa, uint32_t threads, int verify, char* message,
                                     size_t size) {
  auto peer = std::make_unique<Peer>();
  onepass_error error = ONEPASS_INIT(onepass_error);
  onepass_model_options model = ONEPASS_INIT(onepass_model_options);
  model.skip_verify = verify == 0;
  onepass_session_options session = ONEPASS_INIT(onepass_session_options);
  session.threads = threads;
  session.isa = isa;
  if (onepass_model_open(path, &model, &peer->model, &error) != ONEPASS_OK ||
      onepass_session_open(peer->model, &session, &peer->session, &error) != ONEPASS_OK) {
    std::snprintf(message, size, "%s: %s", error.where, error.message);
    return nullptr;
  }
  return peer.release();
}

ONEPASS_PEER void onepass_peer_close(void* peer) { delete static_cast<Peer*>(peer); }

ONEPASS_PEER const char* onepass_peer_isa(const void* peer) {
  return onepass_session_isa(static_cast<const Peer*>(peer)->session);
}

ONEPASS_PEER uint32_t onepass_peer_classes(const void* peer) {
  onepass_model_info info = ONEPASS_INIT(onepass_model_info);
  return onepass_model_get_info(static_cast<const Peer*>(peer)->model, &info) == ONEPASS_OK ? info.class_count : 0;
}

// As onepass_run_ids; 0 is success.
ONEPASS_PEER uint32_t onepass_peer_run(void* peer, const uint32_t* ids, const uint32_t* starts, size_t count,
                                       float* logits) {
  return onepass_run_ids(static_cast<Peer*>(peer)->session, ids, starts, count, logits, nullptr);
}
