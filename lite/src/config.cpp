#include "config.h"

#include <algorithm>

namespace albert::lite {

static const char* const kElsewhere = "the Python package `albert` reads it";

[[noreturn]] static void not_built(const std::string& place, const std::string& what, const std::string& expected) {
  fail(Kind::kModel, place + ": " + what, {expected, "", kElsewhere});
}

// --- networks that are refused by name ---------------------------------------------------------------------

static void require_albert(const Json& raw, const std::string& place) {
  const Entries entries{raw, place, Kind::kConfig};
  const std::string family = entries.text("model_type", "albert");
  const auto ends = [&](const std::string& with) {
    return family.size() >= with.size() && family.compare(family.size() - with.size(), with.size(), with) == 0;
  };
  if (ends("-text2text") || raw.get("decoder") != nullptr)
    not_built(place, "a decoder, which writes texts", "an encoder with a head");
  if (ends("-windowed") || entries.within("albert").object.get("attention_window") != nullptr)
    not_built(place, "attention in windows", "full attention");
  if (family == "bert") not_built(place, "a BERT with WordPiece", "an ALBERT with SentencePiece");
  if (family != "albert") fail(Kind::kConfig, place + ": model_type", {"albert", "\"" + shortened(family) + "\"", ""});
  if (entries.text("position_embedding_type", "absolute") != "absolute")
    not_built(place, "position_embedding_type", "absolute");
  if (entries.truth("is_decoder", false) || entries.truth("add_cross_attention", false))
    not_built(place, "a decoder", "an encoder with a head");
}

static Head head_of(const Json& raw, const std::string& place, std::string& architecture) {
  static const std::pair<const char*, Head> kHeads[] = {{"AlbertForMaskedLM", Head::kMaskedWords},
                                                        {"AlbertForPreTraining", Head::kPretraining},
                                                        {"AlbertForSequenceClassification", Head::kLabels},
                                                        {"AlbertForTokenClassification", Head::kPieces},
                                                        {"AlbertForQuestionAnswering", Head::kSpan},
                                                        {"AlbertForMultipleChoice", Head::kChoice},
                                                        {"AlbertModel", Head::kVector}};
  const auto named = Entries{raw, place, Kind::kConfig}.texts("architectures");
  architecture = named.empty() ? "none" : named[0];
  std::string known;
  for (const auto& [name, head] : kHeads) {
    if (architecture == name) return head;
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  fail(Kind::kModel, place + ": architecture " + shortened(architecture) + " has no head to predict with",
       {"one of " + known, "", ""});
}

static std::vector<std::string> labels_of(const Json& raw, const std::string& place) {
  const Entries table = Entries{raw, place, Kind::kConfig}.within("id2label");
  std::vector<std::string> made(table.object.members.size());
  for (const auto& [key, label] : table.object.members) {
    const bool digits = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == key.npos;
    const size_t id = digits ? std::stoul(key) : made.size();
    if (id >= made.size() || !made[id].empty() || !label.is(Json::Type::kString) || label.text.empty())
      table.misfit(shortened(key), "ids 0, 1, 2, … with a label each", label);
    made[id] = label.text;
  }
  std::vector<std::string> sorted = made;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    fail(Kind::kConfig, place + ": id2label", {"distinct labels", "others", ""});
  return made;
}

// --- the network -------------------------------------------------------------------------------------------

Config read_config(const Json& raw, const std::string& place) {
  require_albert(raw, place);
  const Entries entries{raw, place, Kind::kConfig}, own = entries.within("albert");
  Config made;
  // Far beyond every published model, yet small enough that a hostile file cannot exhaust memory.
  made.vocabulary = entries.whole("vocab_size", 30000, 8, 1'000'000);
  made.embedding = entries.whole("embedding_size", 128, 1, 16384);
  made.hidden = entries.whole("hidden_size", 4096, 1, 16384);
  made.layers = entries.whole("num_hidden_layers", 12, 1, 512);
  made.groups = entries.whole("num_hidden_groups", 1, 1, 512);
  made.inner = entries.whole("inner_group_num", 1, 1, 64);
  made.heads = entries.whole("num_attention_heads", 64, 1, 512);
  made.intermediate = entries.whole("intermediate_size", 16384, 1, 131072);
  made.positions = entries.whole("max_position_embeddings", 512, 8, 65536);
  made.types = entries.whole("type_vocab_size", 2, 1, 64);
  made.eps = entries.real("layer_norm_eps", 1e-12, 0, 1);
  made.activation = entries.text("hidden_act", "gelu_new");
  made.problem = entries.text("problem_type", "");
  made.projection = own.truth("embedding_projection", true);
  const std::string pooling = own.text("pooling", "cls");
  made.mean_pooling = pooling == "mean";
  made.head = head_of(raw, place, made.architecture);
  made.labels = labels_of(raw, place);
  const auto require = [&](bool right, const std::string& what, const std::string& expected) {
    if (!right) fail(Kind::kConfig, place + ": " + what, {expected, "", ""});
  };
  require(made.activation == "gelu" || made.activation == "gelu_new" || made.activation == "relu", "hidden_act",
          "one of gelu, gelu_new, relu");
  require(made.mean_pooling || pooling == "cls", "pooling", "one of cls, mean");
  require(made.hidden % made.heads == 0, "hidden_size", "a multiple of " + grouped(made.heads) + " heads");
  require(made.groups <= made.layers, "num_hidden_groups", "at most " + grouped(made.layers) + " layers");
  require(made.projection || made.embedding == made.hidden, "embedding_size", "hidden_size without a projection");
  require(made.groups * made.inner <= 1024 && made.layers * made.inner <= 4096, "num_hidden_groups", "fewer blocks");
  if ((made.head == Head::kMaskedWords || made.head == Head::kPretraining) &&
      !entries.truth("tie_word_embeddings", true))
    fail(Kind::kConfig, place + ": tie_word_embeddings", {"true", "false", ""});
  return made;
}

// --- the task ----------------------------------------------------------------------------------------------

// What a published cross-encoder does with its one score.
static bool squashes(const Json& raw, const Config& config, const std::string& place) {
  const Entries entries{raw, place, Kind::kModel};
  std::string name = entries.within("sentence_transformers").text("activation_fn", "");
  if (name.empty()) name = entries.text("sbert_ce_default_activation_function", "");
  if (name.empty()) return config.problem != "regression";
  name = name.substr(name.rfind('.') + 1);
  if (name != "Sigmoid" && name != "Identity")
    fail(Kind::kModel, place + ": activation_fn of its score", {"Sigmoid or Identity", shortened(name), ""});
  return name == "Sigmoid";
}

Settings read_settings(const Json& raw, const Config& config, const std::string& place) {
  const Entries extra = Entries{raw, place, Kind::kModel}.within("albert").within("extra");
  for (const char* part : {"hybrid", "cascade"})
    if (extra.object.get(part) != nullptr) not_built(place, "a linear model on words beside the network", "none");
  Settings made;
  made.task = extra.text("task", "");
  made.fallback = extra.text("fallback", "");
  made.thresholds = extra.reals("thresholds");
  const Entries columns = extra.within("columns");
  made.text = columns.text("text", "");
  made.text_pair = columns.text("text_pair", "");
  made.choices = columns.texts("choices");
  made.length = extra.whole("max_length", 0, 3, 65536);
  made.stride = extra.whole("stride", -1, 0, 65536);
  for (const auto& member : extra.object.members) made.has_stride = made.has_stride || member.first == "stride";
  made.squashed = squashes(raw, config, place);
  return made;
}

namespace {
struct Known {
  Task task;
  const char* name;
  Head head;
};
}  // namespace

static constexpr Known kTasks[] = {{Task::kClassification, "classification", Head::kLabels},
                                   {Task::kMultiLabel, "multilabel", Head::kLabels},
                                   {Task::kRegression, "regression", Head::kLabels},
                                   {Task::kRelevance, "relevance", Head::kLabels},
                                   {Task::kSimilarity, "similarity", Head::kVector},
                                   {Task::kRetrieval, "retrieval", Head::kVector},
                                   {Task::kEntities, "ner", Head::kPieces},
                                   {Task::kAnswers, "qa", Head::kSpan},
                                   {Task::kChoice, "choice", Head::kChoice},
                                   {Task::kMasks, "fill-mask", Head::kMaskedWords}};

const char* name_of(Task task) {
  for (const Known& known : kTasks)
    if (known.task == task) return known.name;
  return "";
}

// The task for which transformers reads a model without settings.
static Task usual_task(const Config& config, const Settings& settings) {
  switch (config.head) {
    case Head::kPieces: return Task::kEntities;
    case Head::kSpan: return Task::kAnswers;
    case Head::kChoice: return Task::kChoice;
    case Head::kVector: return Task::kSimilarity;
    case Head::kLabels: break;
    default: return Task::kMasks;
  }
  if (config.labels.size() == 1 && !settings.squashed) return Task::kRegression;
  if (config.labels.size() == 1 && config.problem != "multi_label_classification") return Task::kRelevance;
  if (config.problem == "multi_label_classification") return Task::kMultiLabel;
  return config.problem == "regression" ? Task::kRegression : Task::kClassification;
}

Task task_of(const Config& config, const Settings& settings, const std::string& place) {
  const bool pretrained = config.head == Head::kMaskedWords || config.head == Head::kPretraining;
  if (settings.task.empty() || pretrained) return usual_task(config, settings);
  for (const Known& known : kTasks)
    if (settings.task == known.name && known.head == config.head && known.task != Task::kRelevance) return known.task;
  fail(Kind::kModel, place + ": task",
       {"one for the head of " + config.architecture, "\"" + shortened(settings.task) + "\"", ""});
}

static Lengths usual_lengths(Task task) {
  switch (task) {
    case Task::kEntities: return {128, 32};
    case Task::kAnswers: return {384, 128};
    case Task::kChoice: return {256, -1};
    default: return {128, -1};
  }
}

Lengths lengths_of(const Config& config, const Settings& settings, Task task, int64_t limit, const std::string& place) {
  Lengths made = usual_lengths(task);
  if (settings.length == 0) {
    made = {limit, made.stride < 0 ? -1 : std::min(made.stride, limit / 3)};
  } else {
    made = {settings.length, settings.has_stride ? settings.stride : made.stride};
  }
  const auto require = [&](bool right, const char* what, const std::string& expected, const std::string& got) {
    if (!right) fail(Kind::kModel, place + ": " + what, {expected, got, ""});
  };
  const auto& labels = config.labels;
  const bool known = std::find(labels.begin(), labels.end(), settings.fallback) != labels.end();
  const bool one = config.head == Head::kSpan || !settings.fallback.empty();
  const size_t steps = labels.size() % 2 == 0 ? 0 : kSteps;
  const size_t limits = one ? 1 : config.head == Head::kPieces ? steps : labels.size();
  require(made.most >= 3 && made.most <= config.positions, "max_length",
          "3 to its " + grouped(config.positions) + " positions", grouped(made.most));
  require(made.stride <= made.most - 3, "stride", "at most " + grouped(made.most - 3), grouped(made.stride));
  require(settings.fallback.empty() || (known && task == Task::kClassification), "fallback", "one of its labels",
          shortened(settings.fallback));
  require(settings.thresholds.empty() || settings.thresholds.size() == limits, "thresholds",
          "none, or " + grouped(limits), grouped(settings.thresholds.size()));
  return made;
}

}  // namespace albert::lite
