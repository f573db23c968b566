// The decoder: one piece of each row, through all depths, and the scores of the pieces that may come next.
//
// Keys and values of a piece are written once, side by side, and never moved: each row knows where those of its pieces
// stand. So a beam that goes on with other rows, or with fewer, costs nothing, and rows of several searches go together.
#pragma once

#include <cmath>
#include <cstring>

#include "encoder.h"

namespace albert {

template <class Product>
struct DecoderBlock {
  Product qkv, output, query, crossed, inner, outer;
  Norm norm, cross_norm, norm2;
  int64_t heads, size;
};

// From hidden states to a score for each piece.
template <class Product>
struct Speller {
  Product dense;
  Norm norm;
  Product words;
};

// Where the keys and values of a piece stand: at the first depth, and how many numbers further on at each next depth.
template <class Number>
struct Place {
  Number* first;
  int64_t apart;
};

// Those of the pieces of each row, which may have been written at other times, and beside other rows.
template <class Number>
struct Written {
  const Place<Number>* places;  // row by row
  const int64_t* starts;        // of each row, among the places

  int64_t pieces(int64_t row) const { return starts[row + 1] - starts[row]; }
  Number* of(int64_t depth, int64_t row, int64_t piece) const {
    const Place<Number>& place = places[starts[row] + piece];
    return place.first + depth * place.apart;
  }
};

// What the rows read: of each depth the text of each row [pieces, keys and values], and how many pieces it has.
template <class Number>
struct Texts {
  const Number* const* at;
  const int64_t* pieces;
};

}  // namespace albert

namespace albert::ALBERT_ISA {

constexpr float kNever = -1e30f;  // a score of which 2^score is zero, and no infinity

// What the heads of one query read of `count` keys and values, of which `keys` are the keys.
template <class Format>
void read_row(const typename Format::Number* query, const typename Format::Number* const* keys, int64_t count,
              int64_t heads, int64_t size, float* scores, typename Format::Number* out) {
  const int64_t padded = (count + kLanes - 1) / kLanes * kLanes, hidden = heads * size;
  const float scale = kLog2E / std::sqrt(static_cast<float>(size));
  for (int64_t first = 0; first < hidden; first += size) {
    for (int64_t key = 0; key < padded; ++key) {
      if (key >= count) {
        scores[key] = kNever;
        continue;
      }
      Vector sum = splat(0);
      for (int64_t at = first; at < first + size; at += kLanes)
        sum = multiply_add(Format::get(query + at), Format::get(keys[key] + at), sum);
      scores[key] = sum_of(sum) * scale;
    }
    Vector most = splat(kNever), total = splat(0);
    for (int64_t at = 0; at < padded; at += kLanes) most = greater(most, load(scores + at));
    const Vector shift = splat(greatest_of(most));
    for (int64_t at = 0; at < padded; at += kLanes) {
      const Vector weight = exp2_of(load(scores + at) - shift);
      store(scores + at, weight);
      total = total + weight;
    }
    const Vector share = splat(1 / sum_of(total));
    for (int64_t at = first; at < first + size; at += kLanes) {
      Vector sum = splat(0);
      for (int64_t key = 0; key < count; ++key)
        sum = multiply_add(splat(scores[key]), Format::get(keys[key] + hidden + at), sum);
      Format::put(out + at, sum * share);
    }
  }
}

// The same for each row, whose number of keys and places of keys are functions.
template <class Format, class Count, class Place>
void read_rows(const typename Format::Number* queries, int64_t width, int64_t rows, int64_t heads, int64_t size,
               const Count& count, const Place& place, typename Format::Number* out) {
#pragma omp parallel
  {
    Buffer<const typename Format::Number*> keys;
    Buffer<float> scores;
#pragma omp for
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t own = count(row);
      keys.resize(own);
      scores.resize(own + kLanes);
      for (int64_t key = 0; key < own; ++key) keys.data()[key] = place(row, key);
      read_row<Format>(queries + row * width, keys.data(), own, heads, size, scores.data(), out + row * heads * size);
    }
  }
}

// One depth of one piece of each row.
template <class Format, class Product>
void decode_block(const DecoderBlock<Product>& block, typename Format::Number* x, int64_t depth, int64_t rows,
                  const Written<typename Format::Number>& written, const Texts<typename Format::Number>& texts) {
  using Number = typename Format::Number;
  using Rows = typename Product::Rows;
  const int64_t hidden = block.heads * block.size;
  const Rows before(x, rows, hidden, Format::kType), context(nullptr, rows, hidden, Format::kType);
  Number* read = context.template data<Number>();
  const Rows qkv = block.qkv.template apply<Format>(before);
  const Number* asked = qkv.template data<Number>();
  for (int64_t row = 0; row < rows; ++row)
    std::memcpy(written.of(depth, row, written.pieces(row) - 1), asked + (3 * row + 1) * hidden,
                2 * hidden * sizeof(Number));
  read_rows<Format>(
      asked, 3 * hidden, rows, block.heads, block.size, [&](int64_t row) { return written.pieces(row); },
      [&](int64_t row, int64_t piece) { return written.of(depth, row, piece); }, read);
  const Rows y = block.output.template apply<Format>(context, &before);
  normalize<Format>(y.template data<Number>(), y.template data<Number>(), block.norm, rows, hidden);
  const Rows query = block.query.template apply<Format>(y);
  const Number* const* text = texts.at + depth * rows;
  read_rows<Format>(
      query.template data<Number>(), hidden, rows, block.heads, block.size,
      [&](int64_t row) { return texts.pieces[row]; },
      [&](int64_t row, int64_t piece) { return text[row] + piece * 2 * hidden; }, read);
  const Rows z = block.crossed.template apply<Format>(context, &y);
  normalize<Format>(z.template data<Number>(), z.template data<Number>(), block.cross_norm, rows, hidden);
  const Rows middle = block.inner.template apply<Format>(z);
  const Rows after = block.outer.template apply<Format>(middle, &z);
  normalize<Format>(after.template data<Number>(), x, block.norm2, rows, hidden);
}

// All depths of one piece of each row; x is the piece's embedding and becomes its hidden state.
template <class Format, class Product>
void decode(const DecoderBlock<Product>* const* blocks, typename Format::Number* x,
            const Written<typename Format::Number>& written, const Texts<typename Format::Number>& texts,
            int64_t depths, int64_t rows) {
  for (int64_t depth = 0; depth < depths; ++depth)
    decode_block<Format>(*blocks[depth], x, depth, rows, written, texts);
}

// A product by itself.
template <class Format, class Product>
void multiply_into(const Product& by, typename Format::Number* x, typename Format::Number* out, int64_t rows) {
  using Rows = typename Product::Rows;
  const Rows y = by.template apply<Format>(Rows(x, rows, by.panels.in, Format::kType));
  std::memcpy(out, y.template data<void>(), rows * y.width * sizeof(typename Format::Number));
}

// The score of each piece of the vocabulary, for each row of hidden states.
template <class Format, class Product>
void spell(const Speller<Product>& by, typename Format::Number* x, float* out, int64_t rows) {
  using Number = typename Format::Number;
  using Rows = typename Product::Rows;
  const Rows y = by.dense.template apply<Format>(Rows(x, rows, by.dense.panels.in, Format::kType));
  normalize<Format>(y.template data<Number>(), y.template data<Number>(), by.norm, rows, y.width);
  multiply_to<Format, Float32>(by.words, y, nullptr, out);
}

}  // namespace albert::ALBERT_ISA
