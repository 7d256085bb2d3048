// The C ABI's slot: the model that is current, replaced while threads use it.
#include "engine/api/handles.h"
#include "engine/core/platform.h"

struct onepass_slot {
  std::atomic_flag busy{};
  const onepass_model* current = nullptr;
  const onepass_model* before = nullptr;  // for rollback
  std::atomic<uint32_t> generation{1};
};

namespace {

using namespace onepass::api;
using onepass::Code;
using onepass::Error;
using onepass::make_error;

// Held for a few instructions: taking a share of a model between reading its pointer and letting it go must not
// be possible.
class Lock {
 public:
  explicit Lock(onepass_slot& slot) noexcept : slot_(slot) {
    while (slot_.busy.test_and_set(std::memory_order_acquire)) onepass::yield_thread();
  }
  ~Lock() { slot_.busy.clear(std::memory_order_release); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  onepass_slot& slot_;
};

}  // namespace

ONEPASS_API onepass_status onepass_slot_open(onepass_model* model, onepass_slot** slot, onepass_error* error) {
  if (slot == nullptr) return null_argument("slot", error);
  *slot = nullptr;
  if (model == nullptr) return null_argument("model", error);
  *slot = make_handle<onepass_slot>();
  if (*slot == nullptr) {
    return report(make_error(Code::out_of_memory, Error::no_offset, "slot", "no memory for the handle"), error);
  }
  share(model);
  (*slot)->current = model;
  return ONEPASS_OK;
}

ONEPASS_API void onepass_slot_close(onepass_slot* slot) {
  if (slot == nullptr) return;
  let_go(slot->current);
  let_go(slot->before);
  destroy_handle(slot);
}

ONEPASS_API onepass_model* onepass_slot_acquire(onepass_slot* slot, uint32_t* generation) {
  if (slot == nullptr) return nullptr;
  const Lock lock(*slot);
  share(slot->current);
  if (generation != nullptr) *generation = slot->generation.load(std::memory_order_relaxed);
  return const_cast<onepass_model*>(slot->current);
}

ONEPASS_API uint32_t onepass_slot_generation(const onepass_slot* slot) {
  return slot == nullptr ? 0 : slot->generation.load(std::memory_order_acquire);
}

ONEPASS_API onepass_status onepass_slot_publish(onepass_slot* slot, onepass_model* model, onepass_error* error) {
  if (slot == nullptr || model == nullptr) return null_argument(slot == nullptr ? "slot" : "model", error);
  share(model);
  const onepass_model* dropped = nullptr;
  {
    const Lock lock(*slot);
    dropped = slot->before;
    slot->before = slot->current;
    slot->current = model;
    slot->generation.fetch_add(1, std::memory_order_release);
  }
  let_go(dropped);
  return ONEPASS_OK;
}

ONEPASS_API onepass_status onepass_slot_rollback(onepass_slot* slot, onepass_error* error) {
  if (slot == nullptr) return null_argument("slot", error);
  const onepass_model* dropped = nullptr;
  {
    const Lock lock(*slot);
    if (slot->before != nullptr) {
      dropped = slot->current;
      slot->current = slot->before;
      slot->before = nullptr;
      slot->generation.fetch_add(1, std::memory_order_release);
    }
  }
  if (dropped == nullptr) return invalid("slot", "there is no model to go back to", error);
  let_go(dropped);
  return ONEPASS_OK;
}

ONEPASS_API void onepass_slot_commit(onepass_slot* slot) {
  if (slot == nullptr) return;
  const onepass_model* dropped = nullptr;
  {
    const Lock lock(*slot);
    dropped = slot->before;
    slot->before = nullptr;
  }
  let_go(dropped);
}
