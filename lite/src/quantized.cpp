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

// How much each column's inputs are divided by, and its weights multiplied.
static std::vector<float> smoothing(const std::vector<float>& weight, const Ranges& ranges, size_t in) {
  std::vector<float> widest(in, kLeast), columns(in, kLeast);
  for (size_t at = 0; at < weight.size(); ++at) widest[at % in] = std::max(widest[at % in], std::abs(weight[at]));
  for (size_t at = 0; at < ranges.sizes.size(); ++at) columns[at % in] = std::max(columns[at % in], ranges.sizes[at]);
  for (size_t at = 0; at < in; ++at) columns[at] = std::sqrt(columns[at]) / std::sqrt(widest[at]);
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

static void round_weights(Quantized& made, const std::vector<float>& weight, size_t in) {
  made.weight.resize(weight.size());
  for (size_t row = 0; row * in < weight.size(); ++row) {
    const float* from = weight.data() + row * in;
    float most = kLeast;
    for (size_t at = 0; at < in; ++at) most = std::max(most, std::abs(from[at]));
    const float scale = most / kGreatest;
    made.weight_scales.push_back(scale);
    for (size_t at = 0; at < in; ++at) {
      const float whole = std::nearbyint(from[at] / scale);
      made.weight[row * in + at] = static_cast<int8_t>(std::min(std::max(whole, -kGreatest), kGreatest));
    }
  }
}

Quantized quantized(std::vector<float> weight, const std::vector<float>& bias, const Ranges& ranges, bool smooth) {
  Quantized made;
  const size_t in = ranges.sizes.size() / ranges.least.size(), out = bias.size();
  if (smooth) {
    const std::vector<float> columns = smoothing(weight, ranges, in);
    scale_inputs(made, ranges, columns);
    for (size_t at = 0; at < weight.size(); ++at) weight[at] *= columns[at % in];
  } else {
    scale_unsigned(made, ranges);
  }
  round_weights(made, weight, in);
  for (size_t use = 0; use < made.scales.size(); ++use) {
    std::vector<float> scales(out), offsets(out);
    for (size_t row = 0; row < out; ++row) {
      int64_t sum = 0;
      for (size_t at = 0; at < in; ++at) sum += made.weight[row * in + at];
      scales[row] = made.scales[use] * made.weight_scales[row];
      offsets[row] = bias[row] - static_cast<float>(made.zeros[use] * sum) * scales[row];
    }
    made.out_scales.push_back(std::move(scales));
    made.offsets.push_back(std::move(offsets));
  }
  return made;
}

}  // namespace albert::lite
