#include <onepass/onepass.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  onepass_error error = ONEPASS_INIT(onepass_error);
  onepass_model* model;
  onepass_session* session;
  if (argc != 3) return 2;
  if (onepass_model_open(argv[1], NULL, &model, &error) || onepass_session_open(model, NULL, &session, &error)) {
    fprintf(stderr, "%s: %s\n", error.where, error.message);
    return 1;
  }
  onepass_string text = {argv[2], strlen(argv[2])};
  onepass_result result;
  float scores[256];
  if (onepass_classify(session, &text, 1, NULL, &result, scores, NULL, &error)) return 1;
  for (uint32_t c = 0; onepass_model_label(model, 0, c).size != 0; ++c) {
    onepass_string label = onepass_model_label(model, 0, c);
    if (onepass_label_applies(model, 0, c, scores)) printf("%.*s\n", (int)label.size, label.data);
  }
  onepass_session_close(session);
  onepass_model_close(model);
  return 0;
}
