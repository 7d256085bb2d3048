/* The logits of texts, bit for bit: logits MODEL <TEXTS, one a line. What one platform prints, every other does. */
#include <onepass/onepass.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char** argv) {
  onepass_error error = ONEPASS_INIT(onepass_error);
  onepass_model_info info = ONEPASS_INIT(onepass_model_info);
  onepass_model* model;
  onepass_session* session;
  char line[1024];
  if (argc != 2) return 2;
  if (onepass_model_open(argv[1], NULL, &model, &error) || onepass_session_open(model, NULL, &session, &error)) {
    fprintf(stderr, "%s: %s\n", error.where, error.message);
    return 1;
  }
  fprintf(stderr, "%s\n", onepass_session_isa(session));
  if (onepass_model_get_info(model, &info)) return 1;
  float* scores = malloc(2 * info.class_count * sizeof(float));
  float* logits = scores + info.class_count;
  while (fgets(line, sizeof line, stdin) != NULL) {
    onepass_string text = {line, strcspn(line, "\r\n")};
    onepass_result result;
    if (onepass_classify(session, &text, 1, NULL, &result, scores, logits, &error)) return 1;
    for (uint32_t c = 0; c < info.class_count; ++c) {
      uint32_t bits[2];
      memcpy(bits, logits + c, 4);
      memcpy(bits + 1, scores + c, 4);
      printf("%08x %08x\n", (unsigned)bits[0], (unsigned)bits[1]);
    }
  }
  free(scores);
  onepass_session_close(session);
  onepass_model_close(model);
  return 0;
}
