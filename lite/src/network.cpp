#include "network.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace albert::lite {

constexpr int64_t kMostTokens = 1024;  // of a batch: larger ones take more memory, and are no faster

// --- weights -----------------------------------------------------------------------------------------------

const float* Network::keep(std::vector<float> values) { return floats.emplace_back(std::move(values)).data(); }
const void* Network::keep(std::vector<uint16_t> values) { return halves.emplace_back(std::move(values)).data(); }
const void* Network::keep(std::vector<int8_t> values) { return bytes.emplace_back(std::move(values)).data(); }

// [panel][step][column][per] of a weight, [out, in]: `per` columns of it go together.
template <class Element>
static std::vector<Element> in_panels(const std::vector<Element>& weight, int64_t out, int64_t in, int64_t panel,
                                      int64_t per) {
  std::vector<Element> made((out + panel - 1) / panel * panel * in);
  for (int64_t row = 0; row < out; ++row) {
    const Element* from = weight.data() + row * in;
    Element* to = made.data() + row / panel * panel * in + row % panel * per;
    for (int64_t step = 0; step < in / per; ++step)
      for (int64_t at = 0; at < per; ++at) to[step * panel * per + at] = from[step * per + at];
  }
  return made;
}

// The nearest bfloat16, of two the even one.
static uint16_t half_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// Biases as the package keeps them beside values of this format.
static std::vector<float> in_format(std::vector<float> bias, Precision format) {
  if (format == Precision::kFloat32) return bias;
  for (float& each : bias) {
    const uint32_t bits = uint32_t{half_of(each)} << 16;
    std::memcpy(&each, &bits, sizeof(each));
  }
  return bias;
}

static std::vector<float> read(const Weights& weights, const std::string& name) {
  return weights.read(stored_name(weights, name));
}

// Weights or biases one below the other.
static std::vector<float> stacked(const Weights& weights, const std::vector<std::string>& names, const char* part) {
  std::vector<float> made;
  for (const std::string& name : names) {
    const std::vector<float> own = read(weights, name + part);
    made.insert(made.end(), own.begin(), own.end());
  }
  return made;
}

Norm Network::norm(const Weights& weights, const std::string& name) {
  return {keep(read(weights, name + ".weight")), keep(read(weights, name + ".bias")), config.eps};
}

Activation Network::activation() const {
  return config.activation == "relu" ? kRelu : config.activation == "gelu" ? kGelu : kGeluTanh;
}

Linear Network::linear(const std::vector<std::string>& names, const Weights& weights, Precision format,
                       Activation activation) {
  std::vector<float> bias = stacked(weights, names, ".bias"), weight = stacked(weights, names, ".weight");
  const auto out = static_cast<int64_t>(bias.size()), in = static_cast<int64_t>(weight.size()) / out;
  const void* packed;
  if (format == Precision::kBFloat16) {
    std::vector<uint16_t> rounded(weight.size());
    std::transform(weight.begin(), weight.end(), rounded.begin(), half_of);
    packed = keep(in_panels(rounded, out, in, kernels.panel, 2));
  } else {
    packed = keep(in_panels(weight, out, in, kernels.panel, 1));
  }
  const float* offsets = keep(in_format(std::move(bias), format));
  return {nullptr, {packed, nullptr, nullptr, offsets, in, out, activation}};
}

// The places of a block's products, and what they are called in a calibration.
struct Place {
  const char* name;
  std::vector<std::string> parts;
  Linear Block<Linear>::* product;
};

static const Place kPlaces[] = {
    {"qkv", {".attention.query", ".attention.key", ".attention.value"}, &Block<Linear>::qkv},
    {"output", {".attention.dense"}, &Block<Linear>::output},
    {"inner", {".ffn"}, &Block<Linear>::inner},
    {"outer", {".ffn_output"}, &Block<Linear>::outer}};

static std::vector<std::string> below(const std::string& name, const std::vector<std::string>& parts) {
  std::vector<std::string> made;
  for (const std::string& part : parts) made.push_back(name + part);
  return made;
}

// A product in int8, whose inputs had `sizes` when it was calibrated; none are for a product that leaves them as they are.
Linear Network::whole_linear(const std::vector<std::string>& names, const Weights& weights,
                             const std::vector<float>& sizes, Activation activation) {
  std::vector<float> bias = stacked(weights, names, ".bias"), weight = stacked(weights, names, ".weight");
  const auto out = static_cast<int64_t>(bias.size()), in = static_cast<int64_t>(weight.size()) / out;
  Quantized found = quantized(std::move(weight), in, sizes, kernels.greatest);
  const void* packed = keep(in_panels(found.weight, out, in, kernels.panel, 4));
  const float *factors = keep(std::move(found.factors)), *scales = keep(std::move(found.scales));
  const float *sums = keep(std::move(found.sums)), *offsets = keep(in_format(std::move(bias), precision));
  return {factors, {packed, scales, sums, offsets, in, out, activation}};
}

Block<Linear> Network::read_block(int64_t number, int64_t uses, const Weights& weights, const Weights* calibration) {
  const std::string name = "albert.encoder.albert_layer_groups." + std::to_string(number / config.inner) +
                           ".albert_layers." + std::to_string(number % config.inner);
  Block<Linear> block{};
  block.heads = config.heads;
  block.size = config.hidden / config.heads;
  block.norm = norm(weights, name + ".attention.LayerNorm");
  block.norm2 = norm(weights, name + ".full_layer_layer_norm");
  for (const Place& place : kPlaces) {
    const std::vector<std::string> parts = below(name, place.parts);
    const bool outer = place.product == &Block<Linear>::outer;
    const Activation activated = place.product == &Block<Linear>::inner ? activation() : kNone;
    if (calibration == nullptr) {
      block.*place.product = linear(parts, weights, precision, activated);
      continue;
    }
    const int64_t in = outer ? config.intermediate : config.hidden;
    std::vector<float> sizes = read_sizes(*calibration, std::to_string(number) + "." + place.name, uses, in);
    if (outer) sizes.clear();
    block.*place.product = whole_linear(parts, weights, sizes, activated);
  }
  return block;
}

void Network::read_blocks(const Weights& weights, const Weights* calibration) {
  for (int64_t number = 0; number < config.groups * config.inner; ++number) {
    int64_t uses = 0;
    for (int64_t layer = 0; layer < config.layers; ++layer) uses += config.group_of(layer) == number / config.inner;
    blocks.push_back(read_block(number, uses, weights, calibration));
  }
  for (int64_t layer = 0; layer < config.layers; ++layer)
    for (int64_t inner = 0; inner < config.inner; ++inner)
      depths.push_back(&blocks[config.group_of(layer) * config.inner + inner]);
}

void Network::read_head(const Weights& weights) {
  if (weights.has(stored_name(weights, "albert.pooler.weight")) &&
      (config.head == Head::kLabels || config.head == Head::kChoice))
    pooler = linear({"albert.pooler"}, weights, Precision::kFloat32, kNone);
  switch (config.head) {
    case Head::kLabels:
    case Head::kPieces:
    case Head::kChoice:
      classifier = read(weights, "classifier.weight");
      classifier_bias = read(weights, "classifier.bias");
      break;
    case Head::kSpan:
      classifier = read(weights, "qa_outputs.weight");
      classifier_bias = read(weights, "qa_outputs.bias");
      break;
    case Head::kMaskedWords:
    case Head::kPretraining:
      dense = linear({"predictions.dense"}, weights, Precision::kFloat32, activation());
      dense_norm = norm(weights, "predictions.LayerNorm");
      classifier_bias = read(weights, "predictions.bias");
      break;
    case Head::kVector: break;
  }
}

// Labels that have no names are called as in transformers, which leaves those of two labels out of config.json.
static void name_labels(Config& config, const Weights& weights) {
  if ((config.head != Head::kLabels && config.head != Head::kPieces) || !config.labels.empty()) return;
  const bool shaped = weights.has("classifier.weight") && weights.shape("classifier.weight").size() == 2;
  const int64_t count = shaped ? weights.shape("classifier.weight")[0] : 2;
  for (int64_t label = 0; label < std::min<int64_t>(count, 10000); ++label)
    config.labels.push_back("LABEL_" + std::to_string(label));
}

Network::Network(Config& named, const Weights& weights, const Weights* calibration, const Kernels& kernels,
                 Precision precision, int threads)
    : kernels(kernels), precision(precision), config(named), threads(threads) {
  name_labels(named, weights);
  require_tensors(config, weights, "model.safetensors");
  const std::string name = "albert.embeddings.";
  tables.word = keep(read(weights, name + "word_embeddings.weight"));
  tables.type = keep(read(weights, name + "token_type_embeddings.weight"));
  tables.position = keep(read(weights, name + "position_embeddings.weight"));
  tables.words = config.vocabulary, tables.types = config.types, tables.positions = config.positions;
  tables.width = config.embedding;
  tables.norm = norm(weights, name + "LayerNorm");
  if (config.projection)
    tables.mapping = linear({"albert.encoder.embedding_hidden_mapping_in"}, weights, precision, kNone);
  read_blocks(weights, calibration);
  read_head(weights);
}

// --- the forward pass --------------------------------------------------------------------------------------

// Sets the number of threads for a call.
struct Threads {
  explicit Threads(int count) {
#ifdef _OPENMP
    before = omp_get_max_threads();
    omp_set_num_threads(count);
#else
    (void)count;
#endif
  }
  ~Threads() {
#ifdef _OPENMP
    omp_set_num_threads(before);
#endif
  }
  int before = 1;
};

// The last hidden states of the rows' pieces or, with `first`, of the first piece of each.
std::vector<float> Network::states(const std::vector<Row>& rows, const Batch& batch, bool first) const {
  std::vector<int64_t> ids, types, starts = {0};
  for (size_t row : batch) {
    ids.insert(ids.end(), rows[row].ids.begin(), rows[row].ids.end());
    types.insert(types.end(), rows[row].types.begin(), rows[row].types.end());
    starts.push_back(static_cast<int64_t>(ids.size()));
  }
  const auto texts = static_cast<int64_t>(batch.size()), tokens = starts.back();
  const int64_t wanted = first ? texts : tokens, size = precision == Precision::kBFloat16 ? 2 : 4;
  std::vector<char> x(tokens * config.hidden * size), out(wanted * config.hidden * size);
  const Threads within(threads);
  kernels.embed(precision, tables, ids.data(), types.data(), starts.data(), x.data(), texts);
  kernels.encode(precision, depths.data(), x.data(), out.data(), starts.data(), static_cast<int64_t>(depths.size()),
                 wanted, texts, first);
  std::vector<float> made(wanted * config.hidden);
  if (precision == Precision::kFloat32) {
    std::memcpy(made.data(), out.data(), out.size());
    return made;
  }
  for (size_t at = 0; at < made.size(); ++at) {
    uint16_t half;
    std::memcpy(&half, out.data() + 2 * at, sizeof(half));
    const uint32_t bits = uint32_t{half} << 16;
    std::memcpy(&made[at], &bits, sizeof(bits));
  }
  return made;
}

// x W^T + b for a weight of few rows, [out, in].
static Logits small_product(const std::vector<float>& x, const float* weight, const std::vector<float>& bias,
                            int64_t in) {
  Logits made;
  made.rows = static_cast<int64_t>(x.size()) / in;
  made.columns = static_cast<int64_t>(bias.size());
  made.values.resize(made.rows * made.columns);
  for (int64_t row = 0; row < made.rows; ++row) {
    for (int64_t out = 0; out < made.columns; ++out) {
      const float *left = x.data() + row * in, *right = weight + out * in;
      float sums[8] = {};  // side by side, so that registers can hold them
      int64_t at = 0;
      for (; at + 8 <= in; at += 8)
        for (int64_t lane = 0; lane < 8; ++lane) sums[lane] += left[at + lane] * right[at + lane];
      float sum = bias[out];
      for (; at < in; ++at) sum += left[at] * right[at];
      for (float part : sums) sum += part;
      made.values[row * made.columns + out] = sum;
    }
  }
  return made;
}

std::vector<float> Network::pooled(std::vector<float> states) const {
  std::vector<float> made(states.size());
  kernels.multiply(pooler.panels, states.data(), static_cast<int64_t>(states.size()) / config.hidden, made.data());
  for (float& value : made) value = std::tanh(value);
  return made;
}

// The mean over the pieces of each row, one below the other.
static std::vector<float> mean(const std::vector<float>& states, const std::vector<Row>& rows,
                               const std::vector<size_t>& batch, int64_t hidden) {
  std::vector<float> made(batch.size() * hidden);
  const float* from = states.data();
  for (size_t text = 0; text < batch.size(); ++text) {
    float* to = made.data() + text * hidden;
    const size_t length = rows[batch[text]].ids.size();
    for (size_t piece = 0; piece < length; ++piece, from += hidden)
      for (int64_t at = 0; at < hidden; ++at) to[at] += from[at];
    for (int64_t at = 0; at < hidden; ++at) to[at] /= static_cast<float>(length);
  }
  return made;
}

static Logits part_of(const Logits& all, int64_t first, int64_t rows) {
  const auto begin = all.values.begin() + first * all.columns;
  return {std::vector<float>(begin, begin + rows * all.columns), rows, all.columns};
}

void Network::read_texts(const std::vector<Row>& rows, const Batch& batch, bool vectors,
                         std::vector<Logits>& out) const {
  const bool by_piece = !vectors && (config.head == Head::kPieces || config.head == Head::kSpan);
  const bool first = !vectors && !by_piece && !config.mean_pooling;
  std::vector<float> found = states(rows, batch, first);
  if (!first && !by_piece) found = mean(found, rows, batch, config.hidden);
  Logits all{found, static_cast<int64_t>(found.size()) / config.hidden, config.hidden};
  if (!vectors)
    all = small_product(by_piece ? found : pooled(std::move(found)), classifier.data(), classifier_bias, config.hidden);
  int64_t at = 0;
  for (size_t row : batch) {
    const int64_t count = by_piece ? static_cast<int64_t>(rows[row].ids.size()) : 1;
    out[row] = part_of(all, at, count);
    at += count;
  }
}

std::vector<Logits> Network::each(const std::vector<Row>& rows, bool vectors) const {
  std::vector<size_t> order(rows.size());
  for (size_t at = 0; at < order.size(); ++at) order[at] = at;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return rows[a].ids.size() > rows[b].ids.size(); });
  std::vector<Logits> made(rows.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    int64_t tokens = 0;
    for (; end < order.size(); ++end) {
      tokens += static_cast<int64_t>(rows[order[end]].ids.size());
      if (end > begin && tokens > kMostTokens) break;
    }
    read_texts(rows, Batch(order.begin() + begin, order.begin() + end), vectors, made);
    begin = end;
  }
  return made;
}

std::vector<Logits> Network::logits(const std::vector<Row>& rows) const {
  return each(rows, config.head == Head::kVector);
}

std::vector<Logits> Network::means(const std::vector<Row>& rows) const { return each(rows, true); }

static void normalize(float* x, const Norm& norm, int64_t width) {
  double sum = 0, squares = 0;
  for (int64_t at = 0; at < width; ++at) sum += x[at];
  const double mean = sum / static_cast<double>(width);
  for (int64_t at = 0; at < width; ++at) squares += (x[at] - mean) * (x[at] - mean);
  const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + norm.eps);
  for (int64_t at = 0; at < width; ++at)
    x[at] = static_cast<float>((x[at] - mean) * scale) * norm.weight[at] + norm.bias[at];
}

Logits Network::masked(const Row& row, const std::vector<int64_t>& places) const {
  const std::vector<float> all = states({row}, {0}, false);
  std::vector<float> chosen;
  for (int64_t place : places)
    chosen.insert(chosen.end(), all.begin() + place * config.hidden, all.begin() + (place + 1) * config.hidden);
  const auto rows = static_cast<int64_t>(places.size());
  std::vector<float> x(rows * config.embedding);
  kernels.multiply(dense.panels, chosen.data(), rows, x.data());
  for (int64_t at = 0; at < rows; ++at) normalize(x.data() + at * config.embedding, dense_norm, config.embedding);
  return small_product(x, tables.word, classifier_bias, config.embedding);
}

}  // namespace albert::lite
