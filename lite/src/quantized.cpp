// int8: a scale per channel for weights, a scale per depth for inputs. As albert/compute/quantized.py.
//
// Columns with wide inputs move part of that range to the weights (SmoothQuant, Xiao et al. 2022, section 4). The
// inputs after the activation are an exception: they leave the product before as uint8.
#include <algorithm>
#include <cmath>

#include "network.h"

namespace albert::lite {

constexpr float kLeast = 1e-6f;  // width of inputs that are all the same
constexpr int64_t kMiddle = 128;
constexpr float kGreatest = 127;

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

Ranges read_ranges(const Weights& calibration, const std::string& name, int64_t uses, int64_t in) {
  return {finite(calibration, name + ".sizes", {uses, in}), finite(calibration, name + ".least", {uses}),
          finite(calibration, name + ".greatest", {uses})};
}

// The largest magnitude of each column of a table, and at least `kLeast`.
static std::vector<float> widest_of(const std::vector<float>& table, size_t columns) {
  std::vector<float> made(columns, kLeast);
  for (const float* row = table.data(); row < table.data() + table.size(); row += columns)
    for (size_t at = 0; at < columns; ++at) made[at] = std::max(made[at], std::abs(row[at]));
  return made;
}

// How much each column's inputs are divided by, and its weights multiplied.
static std::vector<float> smoothing(const std::vector<float>& weight, const Ranges& ranges, size_t in) {
  std::vector<float> columns = widest_of(ranges.sizes, in);
  const std::vector<float> widths = widest_of(weight, in);
  for (size_t at = 0; at < in; ++at) columns[at] = std::sqrt(columns[at]) / std::sqrt(widths[at]);
  return columns;
}

static void scale_inputs(Quantized& made, const Ranges& ranges, const std::vector<float>& columns) {
  const size_t in = columns.size();
  for (size_t use = 0; use < ranges.least.size(); ++use) {
    float most = 0;
    for (size_t at = 0; at < in; ++at)
      most = std::max(most, std::max(ranges.sizes[use * in + at], kLeast) / columns[at]);
    made.scales.push_back(most / (kMiddle - 1));
    made.zeros.push_back(kMiddle);
    std::vector<float> factors(in);
    for (size_t at = 0; at < in; ++at) factors[at] = 1 / (columns[at] * made.scales[use]);
    made.factors.push_back(std::move(factors));
  }
}

static void scale_unsigned(Quantized& made, const Ranges& ranges) {
  for (size_t use = 0; use < ranges.least.size(); ++use) {
    const float least = std::min(ranges.least[use], 0.0f), greatest = std::max(ranges.greatest[use], kLeast);
    made.scales.push_back((greatest - least) / 255);
    made.zeros.push_back(static_cast<int64_t>(std::nearbyint(-least / made.scales[use])));
  }
}

// To the nearest whole number, of two the even one, below 2^22. `std::nearbyint` is a call for each.
static float rounded(float x) { return x + 12582912.0f - 12582912.0f; }

// Rounds the weights, each row by a scale of its own; returns their sums.
static std::vector<int64_t> round_weights(Quantized& made, const std::vector<float>& weight, size_t in) {
  made.weight.resize(weight.size());
  std::vector<int64_t> sums;
  for (size_t begin = 0; begin < weight.size(); begin += in) {
    const float* from = weight.data() + begin;
    float most = kLeast;
    for (size_t at = 0; at < in; ++at) most = std::max(most, std::abs(from[at]));
    const float scale = most / kGreatest;
    int32_t sum = 0;
    for (size_t at = 0; at < in; ++at) {
      const float whole = std::min(std::max(-kGreatest, rounded(from[at] / scale)), kGreatest);
      sum += made.weight[begin + at] = static_cast<int8_t>(whole);
    }
    made.weight_scales.push_back(scale);
    sums.push_back(sum);
  }
  return sums;
}

Quantized quantized(std::vector<float> weight, const std::vector<float>& bias, const Ranges& ranges, bool smooth) {
  Quantized made;
  const size_t in = ranges.sizes.size() / ranges.least.size(), out = bias.size();
  if (smooth) {
    const std::vector<float> columns = smoothing(weight, ranges, in);
    scale_inputs(made, ranges, columns);
    for (float* row = weight.data(); row < weight.data() + weight.size(); row += in)
      for (size_t at = 0; at < in; ++at) row[at] *= columns[at];
  } else {
    scale_unsigned(made, ranges);
  }
  const std::vector<int64_t> sums = round_weights(made, weight, in);
  for (size_t use = 0; use < made.scales.size(); ++use) {
    std::vector<float> scales(out), offsets(out);
    for (size_t row = 0; row < out; ++row) {
      scales[row] = made.scales[use] * made.weight_scales[row];
      offsets[row] = bias[row] - static_cast<float>(made.zeros[use] * sums[row]) * scales[row];
    }
    made.out_scales.push_back(std::move(scales));
    made.offsets.push_back(std::move(offsets));
  }
  return made;
}

}  // namespace albert::lite
