// The network of a model folder: its weights as the kernels read them, and the forward pass over packed texts.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "config.h"
#include "kernels.h"
#include "weights.h"

namespace albert::lite {

// One input of the network.
struct Row {
  std::vector<int32_t> ids, types;
};

// What the head says of a row: [rows, columns]. One row for a head that reads a text as a whole.
struct Logits {
  std::vector<float> values;
  int64_t rows = 0, columns = 0;
};

// A product in int8. See quantized.cpp.
struct Quantized {
  std::vector<int8_t> weight;       // [out, in]
  std::vector<float> scales, sums;  // [out]
  std::vector<float> factors;       // [in]
};

class Network {
 public:
  // `calibration` makes the products of int8; nullptr for none. Throws `Error` (bad-model), with the tensors that
  // differ.
  Network(Config& config, const Weights& weights, const Weights* calibration, const Kernels& kernels,
          Precision precision, int threads);

  // The logits of each row, computed in batches of similar length.
  std::vector<Logits> logits(const std::vector<Row>& rows) const;

  // The mean over the pieces of each row.
  std::vector<Logits> means(const std::vector<Row>& rows) const;

  // Of a pre-trained model, the scores of the vocabulary at these places of one row, [places, pieces].
  Logits masked(const Row& row, const std::vector<int64_t>& places) const;

  const Kernels& kernels;
  const Precision precision;

 private:
  using Batch = std::vector<size_t>;  // indices of rows
  std::vector<float> states(const std::vector<Row>& rows, const Batch& batch, bool first) const;
  std::vector<Logits> each(const std::vector<Row>& rows, bool vectors) const;
  void read_texts(const std::vector<Row>& rows, const Batch& batch, bool vectors, std::vector<Logits>& out) const;
  std::vector<float> pooled(std::vector<float> states) const;

  const float* keep(std::vector<float> values);
  const void* keep(std::vector<uint16_t> values);
  const void* keep(std::vector<int8_t> values);
  Norm norm(const Weights& weights, const std::string& name);
  Linear linear(const std::vector<std::string>& names, const Weights& weights, Precision format, Activation activation);
  Linear whole_linear(const std::vector<std::string>& names, const Weights& weights, const std::vector<float>& sizes,
                      Activation activation);
  Block<Linear> read_block(int64_t number, int64_t uses, const Weights& weights, const Weights* calibration);
  void read_blocks(const Weights& weights, const Weights* calibration);
  void read_head(const Weights& weights);
  Activation activation() const;

  const Config& config;
  const int threads;
  std::deque<std::vector<float>> floats;
  std::deque<std::vector<uint16_t>> halves;
  std::deque<std::vector<int8_t>> bytes;
  std::deque<Block<Linear>> blocks;
  std::vector<const Block<Linear>*> depths;
  Embedding<Linear> tables{};
  Linear pooler{}, dense{};  // `dense` of the head that scores words
  Norm dense_norm{};
  std::vector<float> classifier, classifier_bias;  // of labels, [labels, hidden]; the bias of words
};

// The largest inputs of each column at any use. Throws `Error` (bad-model) for a calibration of another network.
std::vector<float> read_sizes(const Weights& calibration, const std::string& name, int64_t uses, int64_t in);
Quantized quantized(std::vector<float> weight, size_t in, const std::vector<float>& sizes, float greatest);

// The tensors that a network has, and the differences to those of a file, which are refused with one error.
std::string stored_name(const Weights& weights, const std::string& name);
void require_tensors(const Config& config, const Weights& weights, const std::string& place);

}  // namespace albert::lite
