// int8: a scale per channel for weights, a range per row for inputs. As albert/compute/quantized.py.
//
// Columns with wide inputs move part of that width to the weights (SmoothQuant, Xiao et al. 2022, section 4). The
// inputs after the activation are left out of that.
#include <algorithm>
#include <cmath>

#include "network.h"

namespace albert::lite {

static std::vector<float> finite(const Weights& calibration, const std::string& name, const Shape& shape) {
  if (!calibration.has(name) || calibration.shape(name) != shape)
    fail(Kind::kModel, "int8.safetensors: " + name,
         {"that of this network, " + described(shape),
          calibration.has(name) ? described(calibration.shape(name)) : "none",
          "export the model again: albert export MODEL --to int8 --dev DEV"});
  std::vector<float> made = calibration.read(name);
  for (float value : made)
    if (!std::isfinite(value)) fail(Kind::kModel, "int8.safetensors: " + name, {"finite values", "others", ""});
  return made;
}

// The largest magnitude of each column of a table, and at least `kLeast`.
static std::vector<float> widest_of(const std::vector<float>& table, size_t columns) {
  std::vector<float> made(columns, kLeast);
  for (const float* row = table.data(); row < table.data() + table.size(); row += columns)
    for (size_t at = 0; at < columns; ++at) made[at] = std::max(made[at], std::abs(row[at]));
  return made;
}

std::vector<float> read_sizes(const Weights& calibration, const std::string& name, int64_t uses, int64_t in) {
  return widest_of(finite(calibration, name + ".sizes", {uses, in}), in);
}

// To the nearest whole number, of two the even one, below 2^22. `std::nearbyint` is a call for each.
static float rounded(float x) { return x + 12582912.0f - 12582912.0f; }

// Rounds the weights, each row by a scale of its own.
static void round_weights(Quantized& made, const std::vector<float>& weight, size_t in, float greatest) {
  made.weight.resize(weight.size());
  for (size_t begin = 0; begin < weight.size(); begin += in) {
    const float* from = weight.data() + begin;
    float most = kLeast;
    for (size_t at = 0; at < in; ++at) most = std::max(most, std::abs(from[at]));
    const float scale = most / greatest;
    int32_t sum = 0;
    for (size_t at = 0; at < in; ++at) {
      const float whole = std::min(std::max(-greatest, rounded(from[at] / scale)), greatest);
      sum += made.weight[begin + at] = static_cast<int8_t>(whole);
    }
    made.scales.push_back(scale);
    made.sums.push_back(static_cast<float>(sum));
  }
}

Quantized quantized(std::vector<float> weight, size_t in, const std::vector<float>& sizes, float greatest) {
  Quantized made;
  std::vector<float> columns(in, 1.0f);
  if (!sizes.empty()) {
    const std::vector<float> widths = widest_of(weight, in);
    for (size_t at = 0; at < in; ++at) columns[at] = std::sqrt(sizes[at]) / std::sqrt(widths[at]);
    for (float* row = weight.data(); row < weight.data() + weight.size(); row += in)
      for (size_t at = 0; at < in; ++at) row[at] *= columns[at];
  }
  round_weights(made, weight, in, greatest);
  for (float column : columns) made.factors.push_back(1 / column);
  return made;
}

}  // namespace albert::lite
