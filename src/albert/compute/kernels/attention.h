// Attention of texts that lie end to end, without padding and without a call for each length.
//
// Reads rows of queries, keys and values side by side, [tokens, 3 * heads * size], writes [tokens, heads * size], or
// [texts, heads * size] if only the first piece of each text asks. Sums and softmax are float32. A task is one head of
// one text: its keys are turned so that a register holds one number of several keys, and 4 queries go over them at a
// time. bfloat16 products add pairs (VDPBF16PS), hence the pairs of neighbouring columns of keys and of rows of values.
//
// With a window, 4 queries go over the keys of the text's global pieces, which stand at its beginning, and over those
// within `half` of them; global pieces go over all.
#pragma once

#include <cmath>
#include <cstring>

#include "memory.h"
#include "numbers.h"

namespace albert::ALBERT_ISA {

constexpr int kQueries = 4;

// `multiply` for up to kQueries rows.
template <class Format, int Tiles>
inline void multiply_some(const typename Format::Group* const* x, int rows, const typename Format::Group* y,
                          int64_t stride, int64_t steps, typename Format::Sum (&sums)[kQueries][Tiles]) {
  if (rows == kQueries) return multiply<Format>(x, y, stride, steps, sums);
  for (int row = 0; row < rows; ++row) {
    typename Format::Sum own[1][Tiles];
    multiply<Format>(x + row, y, stride, steps, own);
    for (int tile = 0; tile < Tiles; ++tile) sums[row][tile] = own[0][tile];
  }
}

template <class Format>
struct Scratch {
  Buffer<typename Format::Group> keys, values, weights;
  Buffer<float> scores;
};

// Some of a text's keys: [0, lead) and [low, high), which one query reads as far as they are before `shared`, or from
// `from` to `to`. Lead and low are multiples of kLanes; scores of both stand side by side.
struct Reach {
  int64_t lead, low, high, shared, from, to;

  int64_t padded() const { return lead + (high - low + kLanes - 1) / kLanes * kLanes; }

  template <bool Whole>
  Mask lanes(int64_t at) const {  // of scores side by side, those that count
    if (Whole) return until(high - at);
    const int64_t key = at < lead ? at : low + at - lead;
    return until(shared - key) | (until(to - key) & ~until(from - key));
  }

 private:
  static Mask until(int64_t count) {
    return first_lanes(count <= 0 ? 0 : count > kLanes ? kLanes : static_cast<int>(count));
  }
};

// Up to kQueries rows of scores against `Tiles` registers of keys.
template <class Format, int Tiles>
inline void score(const typename Format::Group* const* queries, int count, const typename Format::Group* keys,
                  int64_t padded, int pairs, float* scores) {
  Vector sums[kQueries][Tiles];
  multiply_some<Format, Tiles>(queries, count, keys, padded, pairs, sums);
  for (int query = 0; query < count; ++query)
    for (int tile = 0; tile < Tiles; ++tile)
      store(scores + query * padded + tile * kLanes, sums[query][tile]);
}

// The values of both parts of a reach, each by its weight.
template <class Format, int Tiles>
inline void mix(const typename Format::Group* const* weights, int count, const typename Format::Group* values,
                int64_t size, const Reach& reach, const float* shares, typename Format::Number* const* out) {
  constexpr int64_t per = Format::kPer;
  const int64_t before = reach.lead / per, steps = (reach.high - reach.low + per - 1) / per;
  const typename Format::Group* behind[kQueries];
  for (int query = 0; query < count; ++query) behind[query] = weights[query] + before;
  Vector sums[kQueries][Tiles];
  multiply_some<Format, Tiles>(behind, count, values + reach.low / per * size, size, steps, sums);
  if (before > 0) {
    Vector others[kQueries][Tiles];
    multiply_some<Format, Tiles>(weights, count, values, size, before, others);
    for (int query = 0; query < count; ++query)
      for (int tile = 0; tile < Tiles; ++tile) sums[query][tile] = sums[query][tile] + others[query][tile];
  }
  for (int query = 0; query < count; ++query)
    for (int tile = 0; tile < Tiles; ++tile)
      Format::put(out[query] + tile * kLanes, sums[query][tile] * splat(shares[query]));
}

// Weights 2^(scale * (score - greatest)), written for the products to come; returns 1 / their sum.
template <class Format, bool Whole>
inline float soften(const float* scores, const Reach& reach, float scale, typename Format::Number* weights) {
  const int64_t padded = reach.padded();
  Vector most = splat(-INFINITY);
  for (int64_t at = 0; at < padded; at += kLanes)
    most = greater_where(reach.lanes<Whole>(at), most, load(scores + at));
  const Vector factor = splat(scale), shift = splat(-scale * greatest_of(most));
  Vector sum = splat(0);
  for (int64_t at = 0; at < padded; at += kLanes) {
    const Vector raw = exp2_of(multiply_add(load(scores + at), factor, shift));
    const Vector weight = keep(reach.lanes<Whole>(at), raw);
    sum = sum + weight;
    Format::put(weights + at, weight);
  }
  return 1.0f / sum_of(sum);
}

// The scores of up to kQueries queries against the keys [from, to) in steps of kLanes.
template <class Format>
inline void score_range(const typename Format::Group* const* queries, int count, const typename Format::Group* keys,
                        int64_t from, int64_t to, int64_t padded, int pairs, float* scores) {
  int64_t at = from;
  for (; at + kTiles * kLanes <= to; at += kTiles * kLanes)
    score<Format, kTiles>(queries, count, keys + at, padded, pairs, scores + at - from);
  for (; at + 2 * kLanes <= to; at += 2 * kLanes)
    score<Format, 2>(queries, count, keys + at, padded, pairs, scores + at - from);
  for (; at < to; at += kLanes) score<Format, 1>(queries, count, keys + at, padded, pairs, scores + at - from);
}

// What the queries [first, first + count) of a text go over. A negative `half` is no window.
inline Reach reach_of(int64_t first, int64_t count, int64_t length, int64_t half, int64_t shared) {
  if (half < 0 || first < shared) return {0, 0, length, 0, 0, length};
  int64_t low = first > half ? (first - half) / kLanes * kLanes : 0;
  int64_t lead = (shared + kLanes - 1) / kLanes * kLanes;
  if (lead >= low) lead = low = 0;
  const int64_t last = first + count + half;
  return {lead, low, last < length ? last : length, shared, 0, length};
}

template <class Format>
void attend_head(const typename Format::Number* qkv, int64_t width, int64_t hidden, int64_t length, int64_t size,
                 int64_t asking, int64_t half, int64_t shared, typename Format::Number* context, int64_t out_width,
                 Scratch<Format>& scratch) {
  using Number = typename Format::Number;
  using Group = typename Format::Group;
  const int64_t padded = (length + kLanes - 1) / kLanes * kLanes, pairs = size / Format::kPer;
  const int64_t steps = (length + Format::kPer - 1) / Format::kPer;
  scratch.keys.resize(pairs * padded);
  scratch.values.resize(steps * size);
  scratch.weights.resize(kQueries * padded / Format::kPer);
  scratch.scores.resize(kQueries * padded);
  const Number *query = qkv, *key = qkv + hidden, *value = qkv + 2 * hidden;
  Group* keys = scratch.keys.data();
  for (int64_t at = 0; at < length; ++at) {
    const Group* row = reinterpret_cast<const Group*>(key + at * width);
    for (int64_t pair = 0; pair < pairs; ++pair) keys[pair * padded + at] = row[pair];
  }
  for (int64_t pair = 0; pair < pairs; ++pair)
    std::memset(keys + pair * padded + length, 0, (padded - length) * sizeof(Group));
  for (int64_t step = 0; step < steps; ++step) {
    const int64_t at = step * Format::kPer;
    const Number* row = value + at * width;
    for (int64_t column = 0; column < size; column += kLanes)
      Format::values(row + column, at + 1 < length ? row + width + column : nullptr,
                     scratch.values.data() + step * size + column);
  }
  const float scale = kLog2E / std::sqrt(static_cast<float>(size));
  for (int64_t first = 0; first < asking; first += kQueries) {
    const int count = static_cast<int>(asking - first < kQueries ? asking - first : kQueries);
    const Group *asked[kQueries], *weighed[kQueries];
    Number* out[kQueries];
    float shares[kQueries];
    for (int row = 0; row < count; ++row) {
      asked[row] = reinterpret_cast<const Group*>(query + (first + row) * width);
      out[row] = context + (first + row) * out_width;
    }
    float* scores = scratch.scores.data();
    Reach reach = reach_of(first, count, length, half, shared);
    const int64_t to = reach.low + reach.padded() - reach.lead;
    score_range<Format>(asked, count, keys, 0, reach.lead, padded, static_cast<int>(pairs), scores);
    score_range<Format>(asked, count, keys, reach.low, to, padded, static_cast<int>(pairs), scores + reach.lead);
    for (int row = 0; row < count; ++row) {
      const int64_t at = first + row;
      Group* weights = scratch.weights.data() + row * padded / Format::kPer;
      Number* to_weigh = reinterpret_cast<Number*>(weights);
      if (half < 0 || at < shared) {
        shares[row] = soften<Format, true>(scores + row * padded, reach, scale, to_weigh);
      } else {
        reach.shared = shared;
        reach.from = at > half ? at - half : 0;
        reach.to = at + half + 1 < length ? at + half + 1 : length;
        shares[row] = soften<Format, false>(scores + row * padded, reach, scale, to_weigh);
      }
      weighed[row] = weights;
    }
    for (int64_t column = 0; column < size;) {
      const Group* values = scratch.values.data() + column;
      Number* outs[kQueries];
      for (int row = 0; row < count; ++row) outs[row] = out[row] + column;
      if (size - column >= kTiles * kLanes) {
        mix<Format, kTiles>(weighed, count, values, size, reach, shares, outs);
        column += kTiles * kLanes;
      } else {
        mix<Format, 1>(weighed, count, values, size, reach, shares, outs);
        column += kLanes;
      }
    }
  }
}

// `shared` counts the global pieces of each text; it is read where `half` is not negative.
template <class Format>
void attend(const typename Format::Number* qkv, typename Format::Number* context, const int64_t* starts,
            const int64_t* shared, int64_t texts, int64_t heads, int64_t size, int64_t first_only, int64_t half) {
  const int64_t hidden = heads * size, width = 3 * hidden;
#pragma omp parallel
  {
    Scratch<Format> scratch;
#pragma omp for schedule(dynamic, 1)
    for (int64_t task = 0; task < texts * heads; ++task) {
      const int64_t text = task / heads, head = task % heads, start = starts[text], length = starts[text + 1] - start;
      attend_head<Format>(qkv + start * width + head * size, width, hidden, length, size, first_only ? 1 : length, half,
                          half < 0 ? 0 : shared[text], context + (first_only ? text : start) * hidden + head * size,
                          hidden, scratch);
    }
  }
}

}  // namespace albert::ALBERT_ISA
