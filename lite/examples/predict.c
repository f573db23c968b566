/* Labels of texts with albert-lite:
 *
 *     predict MODEL "great film" "the screen is broken"
 */
#include <stdio.h>

#include "albert_lite.h"

int main(int count, char** arguments) {
  albert_lite_model* model = NULL;
  int failed = 0;
  if (count < 3) {
    fprintf(stderr, "usage: predict MODEL TEXT...\n");
    return 2;
  }
  failed = albert_lite_open(arguments[1], NULL, &model);
  for (int at = 2; at < count && !failed; ++at) {
    albert_lite_input input = {.text = albert_lite_of(arguments[at])};
    albert_lite_answers* answers = NULL;
    failed = albert_lite_predict(model, &input, 1, NULL, &answers);
    for (size_t place = 0; place < albert_lite_count(answers, 0); ++place) {
      albert_lite_answer answer = albert_lite_get(answers, 0, place);
      printf("%s\t%.4f\t%s\n", answer.label.data, answer.score, arguments[at]);
    }
    albert_lite_free(answers);
  }
  if (failed) fprintf(stderr, "%s\n", albert_lite_error());
  albert_lite_close(model);
  return failed;
}
