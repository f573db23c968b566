// Products of our own, and what is between products.
#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "blocks.h"
#include "numbers.h"

namespace albert::ALBERT_ISA {

inline Vector activate(Vector x, Activation activation) {
  const Vector one = splat(1), zero = splat(0), square = x * x;
  if (activation == kRelu) return greater(x, zero);
  if (activation == kGeluTanh) {  // x (1 + tanh z) / 2 = x / (1 + e^-2z), z = sqrt(2 / pi) (x + 0.044715 x^3)
    const Vector cubed = multiply_add(splat(0.044715f) * square, x, x);
    return x / (one + exp2_of(splat(-2 * 0.79788456080286535588f * kLog2E) * cubed));
  }
  if (activation == kGelu) {  // x (1 + erf(x / sqrt 2)) / 2, erf by Abramowitz and Stegun 7.1.26, within 1.5e-7
    const Vector size = absolute(x);
    const Vector t = one / multiply_add(splat(0.3275911f * 0.70710678118654752440f), size, one);
    Vector y = splat(1.061405429f);
    y = multiply_add(y, t, splat(-1.453152027f));
    y = multiply_add(y, t, splat(1.421413741f));
    y = multiply_add(y, t, splat(-0.284496736f));
    y = multiply_add(y, t, splat(0.254829592f)) * t;
    y = y * exp2_of(splat(-0.5f * kLog2E) * square);
    return multiply_add(splat(-0.5f) * size, y, greater(x, zero));
  }
  return x;
}

// Writes what follows from the sums of a row. In int8 it has one of the `ranges`.
template <class Format, class Reads>
inline void finish(const Panels& by, Vector y, const float* ranges, int64_t row, int64_t column,
                   const typename Format::Number* add, typename Format::Number* out) {
  if constexpr (std::is_same_v<Reads, Whole>) {
    const float* range = ranges + row * Whole::kRange;
    const Vector shifted = multiply_add(splat(range[1]), load(by.sums + column), y);
    y = shifted * (load(by.scales + column) * splat(range[0]));
  }
  y = y + load(by.offsets + column);
  if (add != nullptr) y = y + Format::get(add);
  Format::put(out, activate(y, by.activation));
}

constexpr int kPanel = kTiles * kLanes;
constexpr int kTilesOfShare = 8;  // at least, where threads share out the rows

inline int64_t most_threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

template <class Format, class Reads, int Rows>
void multiply_tile(const Panels& by, const typename Reads::Number* x, const float* ranges, int64_t panel,
                   const typename Format::Number* add, typename Format::Number* out) {
  using Group = typename Reads::Group;
  const int64_t steps = by.in / Reads::kPer;
  const Group* rows[Rows];
  constexpr int64_t per = 64 / sizeof(typename Format::Number);  // of a line of the cache
  for (int row = 0; row < Rows; ++row) {
    rows[row] = reinterpret_cast<const Group*>(x + row * by.in);
    for (int64_t at = 0; at < kPanel; at += per) __builtin_prefetch(out + row * by.out + panel * kPanel + at, 1);
  }
  typename Reads::Sum sums[Rows][kTiles];
  multiply<Reads>(rows, static_cast<const Group*>(by.weights) + panel * steps * kPanel, kPanel, steps, sums);
  for (int tile = 0; tile < kTiles; ++tile) {
    const int64_t column = panel * kPanel + tile * kLanes;
    if (column >= by.out) return;
    for (int row = 0; row < Rows; ++row) {
      const int64_t at = row * by.out + column;
      finish<Format, Reads>(by, Reads::sum(sums[row][tile]), ranges, row, column, add == nullptr ? nullptr : add + at,
                            out + at);
    }
  }
}

// x W^T + b and what follows; `Reads` is how x is read, `Format` what is added and written. In int8 rows have `ranges`.
// Threads share out the rows, which then stay in their caches from product to product, and of few rows the panels.
template <class Format, class Reads>
void multiply_rows(const Panels& by, const typename Reads::Number* x, const float* ranges, int64_t rows,
                   const typename Format::Number* add, typename Format::Number* out) {
  const int64_t panels = (by.out + kPanel - 1) / kPanel, tiles = (rows + kRows - 1) / kRows;
  const int64_t threads = most_threads();
  int64_t shares = std::min(threads, std::max<int64_t>(1, tiles / kTilesOfShare));
  while (threads % shares) --shares;
  const int64_t parts = threads / shares;
#pragma omp parallel for collapse(2) schedule(static)
  for (int64_t share = 0; share < shares; ++share) {
    for (int64_t part = 0; part < parts; ++part) {
      for (int64_t panel = part * panels / parts; panel < (part + 1) * panels / parts; ++panel) {
        for (int64_t tile = share * tiles / shares; tile < (share + 1) * tiles / shares; ++tile) {
          const int64_t first = tile * rows / tiles, count = (tile + 1) * rows / tiles - first;
          const auto* from = x + first * by.in;
          const auto* more = add == nullptr ? nullptr : add + first * by.out;
          const float* own = ranges == nullptr ? nullptr : ranges + first * Whole::kRange;
          auto* to = out + first * by.out;
          switch (count) {
            case 1: multiply_tile<Format, Reads, 1>(by, from, own, panel, more, to); break;
            case 2: multiply_tile<Format, Reads, 2>(by, from, own, panel, more, to); break;
            case 3: multiply_tile<Format, Reads, 3>(by, from, own, panel, more, to); break;
            case 4: multiply_tile<Format, Reads, 4>(by, from, own, panel, more, to); break;
            case 5: multiply_tile<Format, Reads, 5>(by, from, own, panel, more, to); break;
            default: multiply_tile<Format, Reads, kRows>(by, from, own, panel, more, to);
          }
        }
      }
    }
  }
}

// A row as uint8. Its range is its own: [CLS], [SEP] and few other pieces have numbers many times as wide. A row with
// anything that is no finite number has a range that is no number, and so are its products.
template <class Format>
void quantize_row(const typename Format::Number* x, uint8_t* out, float* range, const float* factors, int64_t width) {
  Vector most = splat(0), least = splat(0), odd = splat(0);
  for (int64_t at = 0; at < width; at += kLanes) {
    const Vector y = Format::get(x + at) * load(factors + at);
    odd = odd + (y - y);
    most = greater(y, most);
    least = greater(-y, least);
  }
  const float low = greatest_of(least), scale = std::max(greatest_of(most) + low, kLeast) / 255;
  const float zero = std::isfinite(scale) ? std::nearbyint(low / scale) : 0;
  range[0] = scale + sum_of(odd);
  range[1] = -zero;
  const Vector factor = splat(1 / scale);
  const Integers shift = splat_whole(static_cast<int>(zero));
  for (int64_t at = 0; at < width; at += kLanes)
    put_whole(out + at, Format::get(x + at) * load(factors + at), factor, shift);
}

// What follows from the sums of rows in int8, [rows, out].
template <class Format>
void finish_rows(const Panels& by, const float* sums, const float* ranges, int64_t rows,
                 const typename Format::Number* add, typename Format::Number* out) {
#pragma omp parallel for
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0, at = row * by.out; column < by.out; column += kLanes, at += kLanes)
      finish<Format, Whole>(by, load(sums + at), ranges, row, column, add == nullptr ? nullptr : add + at, out + at);
  }
}

template <class Format>
void quantize(const typename Format::Number* x, uint8_t* out, float* ranges, const float* factors, int64_t tokens,
              int64_t width) {
#pragma omp parallel for
  for (int64_t token = 0; token < tokens; ++token)
    quantize_row<Format>(x + token * width, out + token * width, ranges + token * Whole::kRange, factors, width);
}

// LayerNorm of a row; `out` may be `x`.
template <class In, class Out>
void normalize_row(const typename In::Number* x, typename Out::Number* out, const Norm& norm, int64_t width) {
  Vector sum = splat(0), squares = splat(0);
  for (int64_t at = 0; at < width; at += kLanes) sum = sum + In::get(x + at);
  const Vector mean = splat(sum_of(sum) / static_cast<float>(width));
  for (int64_t at = 0; at < width; at += kLanes) {
    const Vector far = In::get(x + at) - mean;
    squares = multiply_add(far, far, squares);
  }
  const double variance = sum_of(squares) / static_cast<double>(width);
  const Vector scale = splat(static_cast<float>(1 / std::sqrt(variance + norm.eps)));
  for (int64_t at = 0; at < width; at += kLanes) {
    const Vector even = (In::get(x + at) - mean) * scale;
    Out::put(out + at, multiply_add(even, load(norm.weight + at), load(norm.bias + at)));
  }
}

template <class Format>
void normalize(const typename Format::Number* x, typename Format::Number* out, const Norm& norm, int64_t rows,
               int64_t width) {
#pragma omp parallel for
  for (int64_t row = 0; row < rows; ++row)
    normalize_row<Format, Format>(x + row * width, out + row * width, norm, width);
}

}  // namespace albert::ALBERT_ISA
