// The encoder for texts that lie end to end.
//
// A host says what its rows are (memory of a type, [rows, width]) and how its products are made: `Product::Rows` and
// `Product::apply`.
#pragma once

#include <cstring>

#include "attention.h"
#include "products.h"

namespace albert::ALBERT_ISA {

// Rows as uint8, and the range of each.
template <class Rows>
struct Quantized {
  Rows bytes, ranges;
};

template <class Format, class Rows>
Quantized<Rows> quantized(const Linear& by, const Rows& x) {
  Quantized<Rows> made{Rows(nullptr, x.rows, x.width, kUInt8), Rows(nullptr, x.rows, Whole::kRange, Float32::kType)};
  quantize<Format>(x.template data<typename Format::Number>(), made.bytes.template data<uint8_t>(),
                   made.ranges.template data<float>(), by.factors, x.rows, x.width);
  return made;
}

// A product of ours, in int8 if the weights are, from rows of one format to another.
template <class Format, class Out, class Rows>
void multiply_to(const Linear& by, const Rows& x, const typename Out::Number* add, typename Out::Number* to) {
  if (by.factors == nullptr) {
    multiply_rows<Out, Format>(by.panels, x.template data<typename Format::Number>(), nullptr, x.rows, add, to);
  } else {
    const Quantized<Rows> from = quantized<Format>(by, x);
    multiply_rows<Out, Whole>(by.panels, from.bytes.template data<uint8_t>(), from.ranges.template data<float>(), x.rows,
                              add, to);
  }
}

// The same from rows to rows.
template <class Format, class Rows>
Rows multiply_by(const Linear& by, const Rows& x, const Rows* add) {
  using Number = typename Format::Number;
  Rows y(nullptr, x.rows, by.panels.out, Format::kType);
  multiply_to<Format, Format>(by, x, add == nullptr ? nullptr : add->template data<Number>(),
                              y.template data<Number>());
  return y;
}

// Copies of the first row behind `count` of them.
template <class Number>
void fill(Number* x, int64_t count, int64_t rows, int64_t width) {
  for (int64_t row = count; row < rows; ++row) std::memcpy(x + row * width, x, width * sizeof(Number));
}

// x of a text's pieces or, with `first_only`, of each text's first piece, to `wanted` rows of out.
template <class Format, class Product>
void run_block(const Block<Product>& block, typename Format::Number* x, typename Format::Number* out,
               const int64_t* starts, const int64_t* shared, int64_t rows, int64_t wanted, int64_t texts,
               bool first_only, int64_t half) {
  using Number = typename Format::Number;
  using Rows = typename Product::Rows;
  const int64_t hidden = block.heads * block.size;
  const Rows before(x, rows, hidden, Format::kType), context(nullptr, wanted, hidden, Format::kType);
  Number* contexts = context.template data<Number>();
  {
    const Rows qkv = block.qkv.template apply<Format>(before);
    attend<Format>(qkv.template data<Number>(), contexts, starts, shared, texts, block.heads, block.size, first_only,
                   half);
  }
  fill(contexts, first_only ? texts : starts[texts], wanted, hidden);
  const Rows asking(first_only ? nullptr : x, wanted, hidden, Format::kType);
  if (first_only) {
    Number* to = asking.template data<Number>();
    for (int64_t text = 0; text < texts; ++text)
      std::memcpy(to + text * hidden, x + starts[text] * hidden, hidden * sizeof(Number));
    fill(to, texts, wanted, hidden);
  }
  const Rows y = block.output.template apply<Format>(context, &asking);
  normalize<Format>(y.template data<Number>(), y.template data<Number>(), block.norm, wanted, hidden);
  const Rows middle = block.inner.template apply<Format>(y);
  const Rows z = block.outer.template apply<Format>(middle, &y);
  normalize<Format>(z.template data<Number>(), out, block.norm2, wanted, hidden);
}

// All of some depths; of the last one `wanted` rows.
template <class Format, class Product>
void run_blocks(const Block<Product>* const* blocks, typename Format::Number* x, typename Format::Number* out,
                const int64_t* starts, const int64_t* shared, int64_t depths, int64_t rows, int64_t wanted,
                int64_t texts, bool first_only, int64_t half) {
  using Rows = typename Product::Rows;
  const Rows between(nullptr, depths > 1 ? rows : 0, blocks[0]->heads * blocks[0]->size, Format::kType);
  auto* states = between.template data<typename Format::Number>();
  for (int64_t depth = 0; depth + 1 < depths; ++depth)
    run_block<Format>(*blocks[depth], depth ? states : x, states, starts, shared, rows, rows, texts, false, half);
  run_block<Format>(*blocks[depths - 1], depths > 1 ? states : x, out, starts, shared, rows, wanted, texts, first_only,
                    half);
}

// `place` is the position of each text's first piece. Raises where a table is too small.
template <class Format, class Product>
void embed(const Embedding<Product>& tables, const int64_t* ids, const int64_t* types, const int64_t* starts,
           typename Format::Number* out, int64_t texts, int64_t rows, int64_t place = 0) {
  using Number = typename Format::Number;
  using Rows = typename Product::Rows;
  const int64_t width = tables.width, tokens = starts[texts];
  for (int64_t token = 0; token < tokens; ++token)
    require(ids[token] < 0 || ids[token] >= tables.words || types[token] < 0 || types[token] >= tables.types);
  for (int64_t text = 0; text < texts; ++text) require(place + starts[text + 1] - starts[text] > tables.positions);
  const bool mapped = tables.mapping.panels.out != 0;
  const Rows narrow(mapped ? nullptr : out, rows, width, Format::kType);
  Number* normed = narrow.template data<Number>();
#pragma omp parallel
  {
    Buffer<float> sum;
    sum.resize(width);
#pragma omp for
    for (int64_t text = 0; text < texts; ++text) {
      for (int64_t token = starts[text]; token < starts[text + 1]; ++token) {
        const float *word = tables.word + ids[token] * width, *type = tables.type + types[token] * width;
        const float* position = tables.position + (place + token - starts[text]) * width;
        for (int64_t at = 0; at < width; ++at) sum.data()[at] = word[at] + type[at] + position[at];
        normalize_row<Float32, Format>(sum.data(), normed + token * width, tables.norm, width);
      }
    }
  }
  fill(normed, tokens, rows, width);
  if (!mapped) return;
  const Rows wide = tables.mapping.template apply<Format>(narrow);
  std::memcpy(out, wide.template data<Number>(), rows * wide.width * sizeof(Number));
}

}  // namespace albert::ALBERT_ISA
