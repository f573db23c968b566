// What the encoder is made of: weights as our products read them. The same for all sets of instructions and for C.
#pragma once

#include <cstdint>

namespace albert {

constexpr int32_t kUInt8 = 0;  // PyTorch's number for it (c10::ScalarType)
constexpr float kLeast = 1e-6f;  // the width of a range of numbers that are all the same

static inline void require(int32_t failed) {
  if (failed) throw failed;
}

enum Activation : int64_t { kNone, kGelu, kGeluTanh, kRelu };

// A weight in panels of some columns, [panel][step][column] of groups, filled up with zeros. What comes out is the sum
// plus the offset of the column and what is added, activated. In int8 a column has the scale and the sum of its weights.
struct Panels {
  const void* weights;
  const float *scales, *sums, *offsets;
  int64_t in, out;
  Activation activation;
};

struct Norm {
  const float *weight, *bias;
  double eps;
};

// A linear layer. In int8 it has factors for the columns of what it reads, before that becomes uint8.
struct Linear {
  const float* factors;
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
