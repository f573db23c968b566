// Logits of whole texts as labels, numbers, choices and vectors. As albert/tasks.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "answers.h"
#include "utf8.h"

namespace albert::lite {

std::vector<float> softmax(const float* logits, size_t count) {
  const float most = *std::max_element(logits, logits + count);
  std::vector<float> made(count);
  float sum = 0;
  for (size_t at = 0; at < count; ++at) sum += made[at] = std::exp(logits[at] - most);
  for (float& value : made) value /= sum;
  return made;
}

static float sigmoid(float x) { return 1 / (1 + std::exp(-std::min(std::max(x, -60.0f), 60.0f))); }

// The mean over the windows of a long text, with equal weights.
static std::vector<float> pooled(const Output& output) {
  std::vector<float> made(output.logits[0].values.size());
  for (const Logits& each : output.logits)
    for (size_t at = 0; at < made.size(); ++at) made[at] += each.values[at];
  for (float& value : made) value /= static_cast<float>(output.logits.size());
  return made;
}

// Places of values, the greatest first.
static std::vector<size_t> ranked(const std::vector<float>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] > values[b]; });
  return order;
}

static size_t bounded(size_t count, int64_t top_k) {
  return top_k == 0 ? count : std::min(count, static_cast<size_t>(top_k));
}

// The label of a text: the likeliest, or the fallback if no other one is likely enough.
static size_t first_label(const std::vector<float>& chances, const Config& config, const Settings& settings) {
  const size_t best = std::max_element(chances.begin(), chances.end()) - chances.begin();
  if (settings.fallback.empty() || settings.thresholds.empty()) return best;
  const size_t fallback =
      std::find(config.labels.begin(), config.labels.end(), settings.fallback) - config.labels.begin();
  float surest = 0;
  for (size_t at = 0; at < chances.size(); ++at)
    if (at != fallback) surest = std::max(surest, chances[at]);
  return surest < settings.thresholds[0] ? fallback : best;
}

static std::vector<Answer> single_label(const std::vector<float>& logits, const Config& config,
                                        const Settings& settings, const Decoding& decoding) {
  std::vector<float> chances = softmax(logits.data(), logits.size());
  std::vector<size_t> order = ranked(chances);
  const size_t first = first_label(chances, config, settings);
  // The fallback's score is the probability that all other labels are wrong.
  if (first != order[0]) chances[first] = 1 - chances[order[0]];
  order.erase(std::find(order.begin(), order.end(), first));
  order.insert(order.begin(), first);
  order.resize(bounded(order.size(), decoding.top_k));
  std::vector<Answer> made;
  for (size_t at : order) made.push_back({config.labels[at], "", decoding.raw ? logits[at] : chances[at]});
  return made;
}

static std::vector<Answer> several_labels(const std::vector<float>& logits, const Config& config,
                                          const Settings& settings, const Decoding& decoding) {
  std::vector<float> chances(logits.size());
  std::transform(logits.begin(), logits.end(), chances.begin(), sigmoid);
  std::vector<size_t> order = ranked(chances);
  const auto below = [&](size_t at) {
    return chances[at] < (settings.thresholds.empty() ? 0.5 : settings.thresholds[at]);
  };
  if (decoding.top_k == 1)
    order.erase(std::remove_if(order.begin(), order.end(), below), order.end());
  else
    order.resize(bounded(order.size(), decoding.top_k));
  std::vector<Answer> made;
  for (size_t at : order) made.push_back({config.labels[at], "", decoding.raw ? logits[at] : chances[at]});
  return made;
}

std::vector<Answer> label_answers(const Output& output, const Config& config, const Settings& settings, Task task,
                                  const Decoding& decoding) {
  const std::vector<float> logits = pooled(output);
  if (task == Task::kClassification) return single_label(logits, config, settings, decoding);
  if (task == Task::kMultiLabel) return several_labels(logits, config, settings, decoding);
  const bool squashed = task == Task::kRelevance && !decoding.raw;
  return {{config.labels[0], "", squashed ? sigmoid(logits[0]) : logits[0]}};
}

std::vector<Answer> choice_answers(const Output& output, const Decoding& decoding) {
  std::vector<float> logits;
  for (const Logits& each : output.logits) logits.push_back(each.values[0]);
  const std::vector<float> chances = softmax(logits.data(), logits.size());
  std::vector<Answer> made;
  for (size_t at : ranked(chances)) {
    if (made.size() == bounded(chances.size(), decoding.top_k)) break;
    Answer answer{to_utf8(output.input.choices[at]), "", chances[at]};
    answer.index = static_cast<int64_t>(at);
    made.push_back(std::move(answer));
  }
  return made;
}

std::vector<float> unit(std::vector<float> vector) {
  double squares = 0;
  for (float value : vector) squares += double{value} * value;
  const auto length = static_cast<float>(std::max(std::sqrt(squares), 1e-12));
  for (float& value : vector) value /= length;
  return vector;
}

std::vector<Answer> vector_answers(const Output& output) {
  const std::vector<float> first = unit(output.logits[0].values);
  if (output.logits.size() == 1) {
    Answer made{"embedding", "", 1.0};
    made.vector = first;
    return {made};
  }
  const std::vector<float> second = unit(output.logits[1].values);
  return {{"similarity", "", std::inner_product(first.begin(), first.end(), second.begin(), 0.0f)}};
}

}  // namespace albert::lite
