// What a model answers, before it crosses the border to C.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tokenizer.h"

namespace albert::lite {

struct Input {
  std::u32string text;
  std::optional<std::u32string> pair;
  std::vector<std::u32string> choices;
};

enum class Aggregation { kFirst, kAverage, kMax, kSimple, kNone };

struct Decoding {
  int64_t top_k = 1, max_answer = 30;
  Aggregation aggregation = Aggregation::kFirst;
  int no_answer = -1;
  bool raw = false;
};

struct Answer {
  std::string label, part;
  double score = 0;
  int64_t start = -1, end = -1, index = -1;
  std::vector<float> vector;
};

// An input with the rows that the network read of it, and what the head says of each.
struct Output {
  const Input& input;
  std::vector<Encoding> rows;
  std::vector<Logits> logits;
};

std::vector<float> softmax(const float* logits, size_t count);
std::vector<float> unit(std::vector<float> vector);

std::vector<Answer> label_answers(const Output& output, const Config& config, const Settings& settings, Task task,
                                  const Decoding& decoding);
std::vector<Answer> choice_answers(const Output& output, const Decoding& decoding);
std::vector<Answer> vector_answers(const Output& output);
std::vector<Answer> entity_answers(const Output& output, const Config& config, const Settings& settings,
                                   const Decoding& decoding);
std::vector<Answer> span_answers(const Output& output, const Settings& settings, const Decoding& decoding);

// [start, end) of each word: see albert/text/words.py.
std::vector<std::pair<uint32_t, uint32_t>> words(const std::u32string& text);

}  // namespace albert::lite
