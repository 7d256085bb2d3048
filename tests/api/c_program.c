/* First, so that the header must bring what it needs. */
#include <onepass/onepass.h>

#include "tests/api/c_program.h"

#include <stdlib.h>
#include <string.h>

#if defined(__cplusplus) || __STDC_VERSION__ < 199901L || __STDC_VERSION__ >= 201112L
#error "this file is compiled as C99"
#endif

#define TEXT_OF(x) #x
#define LINE_TEXT(line) TEXT_OF(line)
#define CHECK(condition) \
  if (!(condition)) return __FILE__ ":" LINE_TEXT(__LINE__) ": " #condition

static size_t tasks_run;

static void one_after_another(void* context, size_t count, void (*task)(void* argument, size_t index), void* argument) {
  size_t i;
  for (i = 0; i < count; ++i) task(argument, i);
  *(size_t*)context += count;
}

static int is(onepass_string s, const char* text) {
  return s.size == strlen(text) && memcmp(s.data, text, s.size) == 0;
}

static const char* use_model(const onepass_model* model, onepass_error* error) {
  onepass_model_info info = ONEPASS_INIT(onepass_model_info);
  onepass_head_info head = ONEPASS_INIT(onepass_head_info);
  CHECK(onepass_model_get_info(model, &info) == ONEPASS_OK);
  CHECK(is(info.family, "bert") && is(info.model_id, "own_heads") && is(info.model_version, "7"));
  CHECK(is(info.licence, "none") && info.source_hash.size == 64 && info.quantisation.size > 8);
  CHECK(info.max_tokens == 48 && info.head_count == 2 && info.class_count == 12 && info.file_size > 1000);
  CHECK(onepass_model_get_head(model, 1, &head) == ONEPASS_OK);
  CHECK(is(head.name, "pad") && head.kind == ONEPASS_REGRESSION && head.class_count == 3 && head.first_class == 9);
  CHECK(head.range_low == -1.0f && head.range_high == 1.0f);
  CHECK(is(onepass_model_label(model, 0, 8), "mood 8") && onepass_model_label(model, 0, 9).size == 0);
  CHECK(onepass_model_threshold(model, 0, 1) == 0.15f);
  CHECK(is(onepass_piece(model, 2), "[CLS]"));
  CHECK(onepass_model_verify(model, NULL, error) == ONEPASS_OK);
  return NULL;
}

static const char* use_session(const onepass_model* model, onepass_session* session, onepass_error* error) {
  const char* words = "I love the happy dog!";
  const onepass_string text = {words, strlen(words)};
  onepass_classify_options options = ONEPASS_INIT(onepass_classify_options);
  onepass_token tokens[48];
  uint32_t ids[48], starts[2] = {0, 0};
  size_t count = 0, t;
  onepass_result result;
  float scores[12], logits[12], logits_of_ids[12], scores_of_ids[12], confidence;
  options.on_long = ONEPASS_LONG_ERROR;
  CHECK(strlen(onepass_session_isa(session)) > 0);
  CHECK(onepass_classify(session, &text, 1, &options, &result, scores, logits, error) == ONEPASS_OK);
  CHECK(onepass_tokenize(session, text, &options, tokens, 48, &count, error) == ONEPASS_OK);
  CHECK(count == result.tokens && result.truncated == 0);
  for (t = 0; t < count; ++t) ids[t] = tokens[t].id;
  starts[1] = (uint32_t)count;
  CHECK(onepass_run_ids(session, ids, starts, 1, logits_of_ids, error) == ONEPASS_OK);
  CHECK(memcmp(logits, logits_of_ids, sizeof(logits)) == 0);
  CHECK(onepass_scores(model, logits_of_ids, scores_of_ids, &confidence) == ONEPASS_OK);
  CHECK(memcmp(scores, scores_of_ids, sizeof(scores)) == 0 && confidence == result.confidence);
  CHECK(onepass_label_applies(model, 0, 0, scores) == (scores[0] >= onepass_model_threshold(model, 0, 0)));
  return NULL;
}

const char* c_program(const char* path) {
  onepass_error error = ONEPASS_INIT(onepass_error);
  onepass_model_options model_options = ONEPASS_INIT(onepass_model_options);
  onepass_session_options session_options = ONEPASS_INIT(onepass_session_options);
  onepass_model* model = NULL;
  onepass_session* session = NULL;
  const char* failed;
  CHECK(model_options.struct_size == sizeof(onepass_model_options) && model_options.expected_hash == NULL);
  CHECK(onepass_abi_version() == ONEPASS_ABI_VERSION && strlen(onepass_version()) >= 5);
  CHECK(strcmp(onepass_status_name(ONEPASS_OK), "ok") == 0);
  CHECK(onepass_isa_available(onepass_best_isa()));
  CHECK(onepass_model_open("/nowhere/at/all.onepass", &model_options, &model, &error) == 3 && model == NULL);
  CHECK(strcmp(onepass_status_name(error.status), "io_error") == 0 && strstr(error.where, "all.onepass") != NULL);
  CHECK(onepass_model_open(path, &model_options, &model, &error) == ONEPASS_OK);
  session_options.threads = 3;
  session_options.executor = one_after_another;
  session_options.executor_context = &tasks_run;
  CHECK(onepass_session_open(model, &session_options, &session, &error) == ONEPASS_OK);
  failed = use_model(model, &error);
  if (failed == NULL) failed = use_session(model, session, &error);
  onepass_session_close(session);
  onepass_model_close(model);
  if (failed != NULL) return failed;
  CHECK(tasks_run > 0 && tasks_run % 3 == 0);
  return NULL;
}
