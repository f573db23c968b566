// The encoder for texts that lie end to end, and attention and quantization by themselves.
#include <cstring>
#include <vector>

#include "attention.h"
#include "products.h"
#include "pytorch.h"

namespace albert {

// A linear layer. It reads and writes numbers or, in int8, uint8: with factors it turns the numbers that come into
// that.
struct Product {
  const float* factors;
  int64_t shift, whole;                                           // the zero of that uint8; are weights int8?
  Panels panels;                                                  // if it is ours
  Handle weight, bias, scale, zero, weight_scales, weight_zeros;  // if it is PyTorch's
  const char *activation, *form;

  template <class Format>
  Rows apply(const Rows& x, const Rows* add = nullptr) const {
    if (factors == nullptr) return multiply<Format>(x, add);
    const Rows quantized(nullptr, x.rows, x.width, kUInt8);
    quantize<Format>(x.data<typename Format::Number>(), quantized.data<uint8_t>(), factors, x.rows, x.width, shift);
    return multiply<Format>(quantized, add);
  }

 private:
  template <class Format>
  Rows multiply(const Rows& x, const Rows* add) const {
    const int32_t type = panels.out_scale == 0 ? Format::kType : kUInt8;
    if (panels.weights == nullptr)
      return Rows(by_pytorch(x.handle, add == nullptr ? nullptr : add->handle, type), x.rows, panels.out);
    using Number = typename Format::Number;
    Rows y(nullptr, x.rows, panels.out, type);
    const Number* added = add == nullptr ? nullptr : add->data<Number>();
    if (!whole) {
      multiply_rows<Format, Format>(panels, x.data<Number>(), x.rows, added, y.data<void>());
    } else {
#ifdef __AVX512VNNI__
      multiply_rows<Format, Whole>(panels, x.data<uint8_t>(), x.rows, added, y.data<void>());
#else
      require(1);
#endif
    }
    return y;
  }

  Handle by_pytorch(Handle x, Handle add, int32_t type) const {
    Handle made = nullptr, bias = this->bias;
    const char* form = this->form;
    const double out_scale = panels.out_scale == 0 ? 1.0 : panels.out_scale;
    int32_t failed;
    if (!whole && add == nullptr) {
      failed = aoti_torch_cpu__linear_pointwise(x, weight, &bias, activation, nullptr, 0, &form, &made);
    } else if (!whole) {
      failed = aoti_torch_cpu__linear_pointwise_binary(x, add, weight, &bias, "add", &made);
    } else if (add == nullptr) {
      failed = aoti_torch_cpu__qlinear_pointwise_tensor(x, scale, zero, weight, weight_scales, weight_zeros, &bias,
                                                        out_scale, panels.out_zero, &type, activation, nullptr, 0, form,
                                                        &made);
    } else {
      failed = aoti_torch_cpu__qlinear_pointwise_binary_tensor(x, scale, zero, weight, weight_scales, weight_zeros,
                                                               &add, &bias, out_scale, panels.out_zero, &type, 1.0, 0,
                                                               "add", 1.0, "none", nullptr, 0, "", &made);
    }
    require(failed);
    return made;
  }
};

struct Block {
  Product qkv, output, inner, outer;
  Norm norm, norm2;
  int64_t heads, size;
};

// Copies of the first row behind `count` of them.
template <class Number>
void fill(Number* x, int64_t count, int64_t rows, int64_t width) {
  for (int64_t row = count; row < rows; ++row) std::memcpy(x + row * width, x, width * sizeof(Number));
}

// x of a text's pieces or, with `first_only`, of each text's first piece, to `wanted` rows of out.
template <class Format>
void run_block(const Block& block, typename Format::Number* x, typename Format::Number* out, const int64_t* starts,
               const int64_t* shared, int64_t rows, int64_t wanted, int64_t texts, bool first_only, int64_t half) {
  using Number = typename Format::Number;
  const int64_t hidden = block.heads * block.size;
  const Rows before(x, rows, hidden, Format::kType), context(nullptr, wanted, hidden, Format::kType);
  Number* contexts = context.data<Number>();
  {
    const Rows qkv = block.qkv.apply<Format>(before);
    attend<Format>(qkv.data<Number>(), contexts, starts, shared, texts, block.heads, block.size, first_only, half);
  }
  fill(contexts, first_only ? texts : starts[texts], wanted, hidden);
  const Rows asking(first_only ? nullptr : x, wanted, hidden, Format::kType);
  if (first_only) {
    Number* to = asking.data<Number>();
    for (int64_t text = 0; text < texts; ++text)
      std::memcpy(to + text * hidden, x + starts[text] * hidden, hidden * sizeof(Number));
    fill(to, texts, wanted, hidden);
  }
  const Rows y = block.output.apply<Format>(context, &asking);
  normalize<Format>(y.data<Number>(), y.data<Number>(), block.norm, wanted, hidden);
  const Rows middle = block.inner.apply<Format>(y);
  const Rows z = block.outer.apply<Format>(middle, &y);
  normalize<Format>(z.data<Number>(), out, block.norm2, wanted, hidden);
}

// All of some depths; of the last one `wanted` rows.
template <class Format>
void run_blocks(const Block* const* blocks, typename Format::Number* x, typename Format::Number* out,
                const int64_t* starts, const int64_t* shared, int64_t depths, int64_t rows, int64_t wanted,
                int64_t texts, bool first_only, int64_t half) {
  const Rows between(nullptr, depths > 1 ? rows : 0, blocks[0]->heads * blocks[0]->size, Format::kType);
  auto* states = between.data<typename Format::Number>();
  for (int64_t depth = 0; depth + 1 < depths; ++depth)
    run_block<Format>(*blocks[depth], depth ? states : x, states, starts, shared, rows, rows, texts, false, half);
  run_block<Format>(*blocks[depths - 1], depths > 1 ? states : x, out, starts, shared, rows, wanted, texts, first_only,
                    half);
}

struct Embedding {
  const float *word, *type, *position;
  int64_t words, types, positions, width;
  Norm norm;
  Product mapping;  // to the hidden size; of no outputs where that is the same
};

// Raises where a table is too small.
template <class Format>
void embed(const Embedding& tables, const int64_t* ids, const int64_t* types, const int64_t* starts,
           typename Format::Number* out, int64_t texts, int64_t rows) {
  using Number = typename Format::Number;
  const int64_t width = tables.width, tokens = starts[texts];
  for (int64_t token = 0; token < tokens; ++token)
    require(ids[token] < 0 || ids[token] >= tables.words || types[token] < 0 || types[token] >= tables.types);
  for (int64_t text = 0; text < texts; ++text) require(starts[text + 1] - starts[text] > tables.positions);
  const bool mapped = tables.mapping.panels.out != 0;
  const Rows narrow(mapped ? nullptr : out, rows, width, Format::kType);
  Number* normed = narrow.data<Number>();
#pragma omp parallel
  {
    std::vector<float> sum(width);
#pragma omp for
    for (int64_t text = 0; text < texts; ++text) {
      for (int64_t token = starts[text]; token < starts[text + 1]; ++token) {
        const float *word = tables.word + ids[token] * width, *type = tables.type + types[token] * width;
        const float* position = tables.position + (token - starts[text]) * width;
        for (int64_t at = 0; at < width; ++at) sum[at] = word[at] + type[at] + position[at];
        normalize_row<Float32, Format>(sum.data(), normed + token * width, tables.norm, width);
      }
    }
  }
  fill(normed, tokens, rows, width);
  if (!mapped) return;
  const Rows wide = tables.mapping.apply<Format>(narrow);
  std::memcpy(out, wide.data<Number>(), rows * wide.width * sizeof(Number));
}

// Whether it failed.
template <class Work>
int64_t tried(const Work& work) {
  try {
    work();
    return 0;
  } catch (...) {
    return 1;
  }
}

}  // namespace albert

using namespace albert;

#define ALBERT_KERNELS(NAME, FORMAT)                                                                               \
  int64_t embed_##NAME(const Embedding* tables, const int64_t* ids, const int64_t* types, const int64_t* starts,   \
                       FORMAT::Number* out, int64_t texts, int64_t rows) {                                         \
    return tried([&] { embed<FORMAT>(*tables, ids, types, starts, out, texts, rows); });                           \
  }                                                                                                                \
  int64_t encode_##NAME(const Block* const* blocks, FORMAT::Number* x, FORMAT::Number* out, const int64_t* starts, \
                        const int64_t* shared, int64_t depths, int64_t rows, int64_t wanted, int64_t texts,        \
                        int64_t first_only, int64_t half) {                                                        \
    return tried([&] {                                                                                             \
      run_blocks<FORMAT>(blocks, x, out, starts, shared, depths, rows, wanted, texts, first_only, half);           \
    });                                                                                                            \
  }                                                                                                                \
  void attend_##NAME(const FORMAT::Number* qkv, FORMAT::Number* context, const int64_t* starts,                    \
                     const int64_t* shared, int64_t texts, int64_t heads, int64_t size, int64_t first_only,        \
                     int64_t half) {                                                                               \
    attend<FORMAT>(qkv, context, starts, shared, texts, heads, size, first_only, half);                            \
  }                                                                                                                \
  void quantize_##NAME(const FORMAT::Number* x, uint8_t* out, const float* factors, int64_t tokens, int64_t width, \
                       int64_t zero) {                                                                             \
    quantize<FORMAT>(x, out, factors, tokens, width, zero);                                                        \
  }

extern "C" {
ALBERT_KERNELS(float32, Float32)
#ifdef __AVX512BF16__
ALBERT_KERNELS(bfloat16, BFloat16)
#endif
}
