/* The labels of a text: classify MODEL TEXT */
#include <onepass/onepass.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  onepass_error error = ONEPASS_INIT(onepass_error);
  onepass_model_info info = ONEPASS_INIT(onepass_model_info);
  onepass_model* model = NULL;
  onepass_session* session = NULL;
  float scores[1024];
  if (argc != 3) return 2;
  if (onepass_model_open(argv[1], NULL, &model, &error) || onepass_session_open(model, NULL, &session, &error)) {
    fprintf(stderr, "%s: %s\n", error.where, error.message);
    return 1;
  }
  onepass_string text = {argv[2], strlen(argv[2])};
  onepass_result result;
  if (onepass_model_get_info(model, &info) || info.class_count > 1024) return 1;
  if (onepass_classify(session, &text, 1, NULL, &result, scores, NULL, &error)) {
    fprintf(stderr, "%s: %s\n", error.where, error.message);
    return 1;
  }
  for (uint32_t c = 0; onepass_model_label(model, 0, c).size != 0; ++c) {
    onepass_string label = onepass_model_label(model, 0, c);
    printf("%.2f %.*s\n", scores[c], (int)label.size, label.data);
  }
  onepass_session_close(session);
  onepass_model_close(model);
}
