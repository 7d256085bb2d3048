/* Links every function of the archive into a C program, without the C++ library, and calls what needs no model. */
#include <onepass/onepass.h>
#include <stdio.h>
#include <string.h>

typedef void (*function)(void);
#define ADDRESS(name) (function) name

static const function all[] = {
    ADDRESS(onepass_abi_version),
    ADDRESS(onepass_version),
    ADDRESS(onepass_status_name),
    ADDRESS(onepass_best_isa),
    ADDRESS(onepass_isa_available),
    ADDRESS(onepass_model_open),
    ADDRESS(onepass_model_open_memory),
    ADDRESS(onepass_model_open_descriptor),
    ADDRESS(onepass_model_share),
    ADDRESS(onepass_model_close),
    ADDRESS(onepass_model_get_info),
    ADDRESS(onepass_model_get_head),
    ADDRESS(onepass_model_label),
    ADDRESS(onepass_model_threshold),
    ADDRESS(onepass_model_verify),
    ADDRESS(onepass_route_name),
    ADDRESS(onepass_reason_name),
    ADDRESS(onepass_session_open),
    ADDRESS(onepass_session_close),
    ADDRESS(onepass_session_isa),
    ADDRESS(onepass_model_memory),
    ADDRESS(onepass_model_open_first),
    ADDRESS(onepass_session_control),
    ADDRESS(onepass_cancel),
    ADDRESS(onepass_classify),
    ADDRESS(onepass_classify_chunks),
    ADDRESS(onepass_label_applies),
    ADDRESS(onepass_run_ids),
    ADDRESS(onepass_scores),
    ADDRESS(onepass_tokenize),
    ADDRESS(onepass_piece),
    ADDRESS(onepass_label_tokens),
    ADDRESS(onepass_find_entities),
    ADDRESS(onepass_decide),
    ADDRESS(onepass_compare),
    ADDRESS(onepass_slot_open),
    ADDRESS(onepass_slot_close),
    ADDRESS(onepass_slot_acquire),
    ADDRESS(onepass_slot_generation),
    ADDRESS(onepass_slot_publish),
    ADDRESS(onepass_slot_rollback),
    ADDRESS(onepass_slot_commit),
};

int main(void) {
  onepass_error error = ONEPASS_INIT(onepass_error);
  onepass_model* model = NULL;
  size_t i;
  for (i = 0; i < sizeof(all) / sizeof(all[0]); ++i) {
    if (all[i] == NULL) return 1;
  }
  if (strcmp(onepass_version(), "0.1.0") != 0 || !onepass_isa_available(onepass_best_isa())) return 2;
  if (onepass_model_open("/nowhere/model.onepass", NULL, &model, &error) == ONEPASS_OK || model != NULL) return 3;
  printf("%s: %s: %s\n", onepass_status_name(error.status), error.where, error.message);
  return strcmp(onepass_status_name(error.status), "io_error") == 0 ? 0 : 4;
}
