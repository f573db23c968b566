/* Reads texts, a line each, and writes for each two lines: the pieces as "id start end" and the logits.
 *
 *     lines MODEL PRECISION INSTRUCTIONS < TEXTS
 */
#include <stdio.h>
#include <string.h>

#include "albert_lite.h"

static void write_pieces(const albert_lite_answers* answers) {
  for (size_t place = 0; place < albert_lite_count(answers, 0); ++place) {
    const albert_lite_answer piece = albert_lite_get(answers, 0, place);
    printf("%lld %lld %lld ", (long long)piece.index, (long long)piece.start, (long long)piece.end);
  }
  printf("\n");
}

static void write_logits(const albert_lite_answers* answers) {
  int64_t rows = 0, columns = 0;
  const float* logits = albert_lite_logits(answers, 0, 0, &rows, &columns);
  for (int64_t at = 0; logits != NULL && at < rows * columns; ++at) printf("%.9g ", logits[at]);
  printf("\n");
}

int main(int count, char** arguments) {
  static char line[1 << 16];
  albert_lite_model* model = NULL;
  if (count != 4) return 2;
  const albert_lite_options options = {.precision = arguments[2], .instructions = arguments[3]};
  int failed = albert_lite_open(arguments[1], &options, &model);
  while (!failed && fgets(line, sizeof(line), stdin) != NULL) {
    const albert_lite_text text = {line, strcspn(line, "\n")}, none = {NULL, 0};
    const albert_lite_input input = {.text = text};
    albert_lite_answers *pieces = NULL, *answers = NULL;
    failed = albert_lite_tokenize(model, text, none, 65536, &pieces);
    if (!failed) failed = albert_lite_predict(model, &input, 1, NULL, &answers);
    write_pieces(pieces);
    write_logits(answers);
    albert_lite_free(pieces);
    albert_lite_free(answers);
  }
  if (failed) fprintf(stderr, "%s\n", albert_lite_error());
  albert_lite_close(model);
  return failed;
}
