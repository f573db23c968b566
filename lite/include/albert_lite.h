/* albert-lite: an ALBERT that `albert train` fine-tuned, or a published one, run without Python and PyTorch.
 *
 * Every function that can fail returns 0, or the exit code that the command line has for the fault: 2 usage,
 * 65 bad-data, 66 bad-model, 70 internal, 71 out-of-memory, 78 bad-config. `albert_lite_error` has its text. A model
 * may serve several threads at once. Nothing is thrown, printed or ended.
 *
 * Texts are UTF-8. Places in texts are counted in characters (code points), [start, end). */
#ifndef ALBERT_LITE_H
#define ALBERT_LITE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef _WIN32
#define ALBERT_LITE_API
#else
#define ALBERT_LITE_API __attribute__((visibility("default")))
#endif

typedef struct albert_lite_model albert_lite_model;
typedef struct albert_lite_answers albert_lite_answers;

/* Bytes of UTF-8, with or without a zero behind them. No data is no text. */
typedef struct {
  const char* data;
  size_t size;
} albert_lite_text;

/* All zeros are the defaults. */
typedef struct {
  const char* precision;    /* "fp32", "bf16", "int8"; NULL: the fastest that model and processor have */
  const char* instructions; /* "avx512bf16", "avx512vnni", "avx512", "avx2", "portable", "scalar"; NULL: the fastest */
  int threads;              /* more than one needs a build with OpenMP; 0: one */
  int plain;                /* 1: hostile text is read as it is, whatever the model says */
} albert_lite_options;

typedef struct {
  albert_lite_text text, pair;
  const albert_lite_text* choices;
  size_t choice_count;
} albert_lite_input;

enum { ALBERT_LITE_FIRST, ALBERT_LITE_AVERAGE, ALBERT_LITE_MAX, ALBERT_LITE_SIMPLE, ALBERT_LITE_NONE };

/* How logits become answers. `albert_lite_defaults` has the usual values. */
typedef struct {
  int64_t top_k;      /* labels, answers or pieces, best first; 0: all */
  int64_t max_answer; /* pieces of the longest answer to a question */
  int aggregation;    /* how pieces become entities */
  int no_answer;      /* 1: "" may answer a question; 0: never; -1: as trained */
  int raw_scores;     /* 1: logits of labels and numbers */
} albert_lite_decoding;

/* A label, entity, answer, choice or piece; for a vector, no text. -1 where there is no place or index. */
typedef struct {
  albert_lite_text label; /* ends with a zero */
  albert_lite_text part;  /* the part of the text that an entity is */
  double score;
  int64_t start, end, index;
  const float* vector;
  size_t vector_size;
} albert_lite_answer;

ALBERT_LITE_API const char* albert_lite_version(void);
ALBERT_LITE_API const char* albert_lite_error(void); /* of this thread's last failure */
ALBERT_LITE_API albert_lite_text albert_lite_of(const char* text);
ALBERT_LITE_API albert_lite_decoding albert_lite_defaults(void);

ALBERT_LITE_API int albert_lite_open(const char* folder, const albert_lite_options* options, albert_lite_model** model);
ALBERT_LITE_API void albert_lite_close(albert_lite_model* model);

/* What a model is, as JSON: task, labels, precision, instructions, lengths, columns. */
ALBERT_LITE_API const char* albert_lite_about(const albert_lite_model* model);

/* Answers for each input, which `albert_lite_free` gives back. Answers are: labels (classification, multilabel), one
 * number (regression), entities (ner), answers (qa), choices (choice), a cosine or a vector (similarity, retrieval). */
ALBERT_LITE_API int albert_lite_predict(const albert_lite_model* model, const albert_lite_input* inputs, size_t count,
                                        const albert_lite_decoding* decoding, albert_lite_answers** answers);

/* A vector for each text, of a model for similarity or retrieval, or a pre-trained one. `normalize`: of length 1. */
ALBERT_LITE_API int albert_lite_embed(const albert_lite_model* model, const albert_lite_text* texts, size_t count,
                                      int normalize, albert_lite_answers** answers);

/* Of a pre-trained model, the pieces at each [MASK] of the text: as many lists of answers as masks. */
ALBERT_LITE_API int albert_lite_fill_mask(const albert_lite_model* model, albert_lite_text text, int64_t top_k,
                                          albert_lite_answers** answers);

/* The pieces of a text or pair as the model reads them, cut to `most` (0: the model's length): an answer a piece, whose
 * label is its spelling, and its index the id. Special tokens have no place. */
ALBERT_LITE_API int albert_lite_tokenize(const albert_lite_model* model, albert_lite_text text, albert_lite_text pair,
                                         int64_t most, albert_lite_answers** answers);

ALBERT_LITE_API size_t albert_lite_lists(const albert_lite_answers* answers); /* one for each input or mask */
ALBERT_LITE_API size_t albert_lite_count(const albert_lite_answers* answers, size_t list);
ALBERT_LITE_API albert_lite_answer albert_lite_get(const albert_lite_answers* answers, size_t list, size_t place);

/* The logits of an input, window by window or choice by choice: [rows, columns] of each. NULL beyond the last one. */
ALBERT_LITE_API const float* albert_lite_logits(const albert_lite_answers* answers, size_t list, size_t window,
                                                int64_t* rows, int64_t* columns);

ALBERT_LITE_API size_t albert_lite_cut(const albert_lite_answers* answers); /* inputs that were longer than is read */
ALBERT_LITE_API void albert_lite_free(albert_lite_answers* answers);

#ifdef __cplusplus
}
#endif

#endif
