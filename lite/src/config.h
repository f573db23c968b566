// config.json of a model folder: the network's shape, its head, and the task's settings.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "json.h"

namespace albert::lite {

enum class Head { kMaskedWords, kPretraining, kLabels, kPieces, kSpan, kChoice, kVector };
enum class Task {
  kClassification,
  kMultiLabel,
  kRegression,
  kRelevance,
  kSimilarity,
  kRetrieval,
  kEntities,
  kAnswers,
  kChoice,
  kMasks
};

constexpr size_t kSteps = 7;  // kinds of a step between the tags of entities

struct Config {
  int64_t vocabulary, embedding, hidden, layers, groups, inner, heads, intermediate, positions, types;
  std::string activation;
  double eps;
  bool projection, mean_pooling;
  Head head;
  std::string architecture, problem;
  std::vector<std::string> labels;

  // The group whose blocks a layer runs.
  int64_t group_of(int64_t layer) const { return layer * groups / layers; }
};

// How many pieces the model reads at once; longer texts are cut, or read in windows that share `stride` pieces (-1).
struct Lengths {
  int64_t most = 128, stride = -1;
};

// What `albert train` noted. An empty task means that there is none: a published model.
struct Settings {
  std::string task, fallback;
  std::vector<double> thresholds;    // what training tuned; of entities, steps between tags
  std::string text, text_pair;       // columns
  std::vector<std::string> choices;  // columns, too
  int64_t length = 0;                // 0: not said
  bool has_stride = false;
  int64_t stride = -1;
  bool squashed = true;  // the score of a classifier of one label becomes a probability
};

// Throw `Error`: bad-config for values out of range, bad-model for networks that are not built here, by their names.
Config read_config(const Json& raw, const std::string& place);
Settings read_settings(const Json& raw, const Config& config, const std::string& place);

const char* name_of(Task task);

// The task of a model. Throws `Error` (bad-model) for one that does not fit the head.
Task task_of(const Config& config, const Settings& settings, const std::string& place);

// Throws `Error` (bad-model) unless lengths, fallback and thresholds fit the network.
Lengths lengths_of(const Config& config, const Settings& settings, Task task, int64_t limit, const std::string& place);

}  // namespace albert::lite
