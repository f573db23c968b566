// What the encoder is made of: weights as our products read them. The same for all sets of instructions and for C.
#pragma once

#include <cstdint>

namespace albert {

constexpr int32_t kUInt8 = 0;  // PyTorch's number for it (c10::ScalarType)

static inline void require(int32_t failed) {
  if (failed) throw failed;
}

enum Activation : int64_t { kNone, kGelu, kGeluTanh, kRelu };

// A weight in panels of some columns, [panel][step][column] of groups, filled up with zeros. What comes out is
// sum * scale + offset of the column, plus what is added, activated; as uint8 where `out_scale` is not 0. With `sums`,
// those of a column's weights, rows have ranges of their own, and `sum` is
// (sum - zero of the row * sum of the column) * scale of the row.
struct Panels {
  const void* weights;
  const float *scales, *offsets;
  int64_t in, out;
  Activation activation;
  double out_scale;
  int64_t out_zero;
  const float* sums;
};

struct Norm {
  const float *weight, *bias;
  double eps;
};

// A linear layer. It reads and writes numbers or, in int8, uint8: with factors it turns the numbers that come into
// that.
struct Linear {
  const float* factors;
  int64_t shift, whole;  // the zero of that uint8; are weights int8?
  Panels panels;
};

template <class Product>
struct Block {
  Product qkv, output, inner, outer;
  Norm norm, norm2;
  int64_t heads, size;
};

template <class Product>
struct Embedding {
  const float *word, *type, *position;
  int64_t words, types, positions, width;
  Norm norm;
  Product mapping;  // to the hidden size; of no outputs where that is the same
};

}  // namespace albert
