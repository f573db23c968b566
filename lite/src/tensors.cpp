// The tensors of a network by transformers' names, compared with those of a file.
#include <set>

#include "network.h"

namespace albert::lite {

constexpr size_t kShown = 8;

static bool begins(const std::string& text, const std::string& with) { return text.compare(0, with.size(), with) == 0; }

std::string stored_name(const Weights& weights, const std::string& name) {
  const bool bare = weights.has("embeddings.word_embeddings.weight");  // of an encoder alone
  return bare && begins(name, "albert.") ? name.substr(7) : name;
}

using Wanted = std::vector<std::pair<std::string, Shape>>;

static void add_linear(Wanted& made, const std::string& name, int64_t out, int64_t in) {
  made.emplace_back(name + ".weight", Shape{out, in});
  made.emplace_back(name + ".bias", Shape{out});
}

static void add_norm(Wanted& made, const std::string& name, int64_t size) {
  made.emplace_back(name + ".weight", Shape{size});
  made.emplace_back(name + ".bias", Shape{size});
}

static void add_block(Wanted& made, const Config& config, const std::string& block) {
  for (const char* part : {"query", "key", "value", "dense"})
    add_linear(made, block + ".attention." + part, config.hidden, config.hidden);
  add_norm(made, block + ".attention.LayerNorm", config.hidden);
  add_linear(made, block + ".ffn", config.intermediate, config.hidden);
  add_linear(made, block + ".ffn_output", config.hidden, config.intermediate);
  add_norm(made, block + ".full_layer_layer_norm", config.hidden);
}

static void add_head(Wanted& made, const Config& config) {
  const auto labels = static_cast<int64_t>(config.labels.size());
  switch (config.head) {
    case Head::kPretraining: add_linear(made, "sop_classifier.classifier", 2, config.hidden); [[fallthrough]];
    case Head::kMaskedWords:
      add_linear(made, "predictions.dense", config.embedding, config.hidden);
      add_norm(made, "predictions.LayerNorm", config.embedding);
      made.emplace_back("predictions.bias", Shape{config.vocabulary});
      break;
    case Head::kLabels: add_linear(made, "classifier", std::max<int64_t>(labels, 1), config.hidden); break;
    case Head::kPieces: add_linear(made, "classifier", labels, config.hidden); break;
    case Head::kSpan: add_linear(made, "qa_outputs", 2, config.hidden); break;
    case Head::kChoice: add_linear(made, "classifier", 1, config.hidden); break;
    case Head::kVector: break;
  }
}

static Wanted wanted_of(const Config& config) {
  Wanted made;
  const std::string tables = "albert.embeddings.";
  made.emplace_back(tables + "word_embeddings.weight", Shape{config.vocabulary, config.embedding});
  made.emplace_back(tables + "position_embeddings.weight", Shape{config.positions, config.embedding});
  made.emplace_back(tables + "token_type_embeddings.weight", Shape{config.types, config.embedding});
  add_norm(made, tables + "LayerNorm", config.embedding);
  if (config.projection)
    add_linear(made, "albert.encoder.embedding_hidden_mapping_in", config.hidden, config.embedding);
  for (int64_t group = 0; group < config.groups; ++group)
    for (int64_t inner = 0; inner < config.inner; ++inner)
      add_block(
          made, config,
          "albert.encoder.albert_layer_groups." + std::to_string(group) + ".albert_layers." + std::to_string(inner));
  const bool pooler = config.head == Head::kLabels || config.head == Head::kChoice || config.head == Head::kPretraining;
  if (pooler) add_linear(made, "albert.pooler", config.hidden, config.hidden);
  add_head(made, config);
  return made;
}

// Tensors that may be stored without being read.
static bool optional(const std::string& name) {
  return name == "albert.embeddings.position_ids" || begins(name, "predictions.decoder.") ||
         begins(name, "albert.pooler.") || begins(name, "albert.encoder.embedding_hidden_mapping_in.");
}

void require_tensors(const Config& config, const Weights& weights, const std::string& place) {
  std::vector<std::string> lines;
  std::set<std::string> known;
  for (const auto& [ours, shape] : wanted_of(config)) {
    const std::string name = stored_name(weights, ours);
    known.insert(name);
    if (!weights.has(name))
      lines.push_back("- " + name + ": missing, expected " + described(shape));
    else if (weights.shape(name) != shape)
      lines.push_back("! " + name + ": expected " + described(shape) + ", got " + described(weights.shape(name)));
  }
  const bool bare = weights.has("embeddings.word_embeddings.weight");
  for (const std::string& name : weights.names())
    if (known.count(name) == 0 && !optional(bare ? "albert." + name : name))
      lines.push_back("+ " + shortened(name) + ": unexpected, " + described(weights.shape(name)));
  if (lines.empty()) return;
  std::string shown;
  for (size_t at = 0; at < lines.size() && at < kShown; ++at) shown += (at ? "; " : "") + lines[at];
  fail(Kind::kModel,
       place + ": " + grouped(static_cast<int64_t>(lines.size())) +
           " of its tensors are not those of its config.json (- missing, + unexpected, ! different)",
       {"", shown + (lines.size() > kShown ? "; …" : ""), "check that config.json and the weights belong together"});
}

}  // namespace albert::lite
