// Products of our own, and what is between products.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cmath>

#include "numbers.h"

namespace albert {

enum Activation : int64_t { kNone, kGelu, kGeluTanh, kRelu };

inline __m512 activate(__m512 x, Activation activation) {
  const __m512 one = _mm512_set1_ps(1.0f), zero = _mm512_setzero_ps(), square = _mm512_mul_ps(x, x);
  if (activation == kRelu) return _mm512_max_ps(x, zero);
  if (activation == kGeluTanh) {  // x (1 + tanh z) / 2 = x / (1 + e^-2z), z = sqrt(2 / pi) (x + 0.044715 x^3)
    const __m512 cubed = _mm512_fmadd_ps(_mm512_set1_ps(0.044715f), _mm512_mul_ps(square, x), x);
    const __m512 power = exp2_of(_mm512_mul_ps(_mm512_set1_ps(-2 * 0.79788456080286535588f * kLog2E), cubed));
    return _mm512_div_ps(x, _mm512_add_ps(one, power));
  }
  if (activation == kGelu) {  // x (1 + erf(x / sqrt 2)) / 2, erf by Abramowitz and Stegun 7.1.26, within 1.5e-7
    const __m512 size = _mm512_abs_ps(x);
    const __m512 t =
        _mm512_div_ps(one, _mm512_fmadd_ps(_mm512_set1_ps(0.3275911f * 0.70710678118654752440f), size, one));
    __m512 y = _mm512_set1_ps(1.061405429f);
    y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(-1.453152027f));
    y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(1.421413741f));
    y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(-0.284496736f));
    y = _mm512_mul_ps(_mm512_fmadd_ps(y, t, _mm512_set1_ps(0.254829592f)), t);
    y = _mm512_mul_ps(y, exp2_of(_mm512_mul_ps(_mm512_set1_ps(-0.5f * kLog2E), square)));
    return _mm512_fnmadd_ps(_mm512_mul_ps(_mm512_set1_ps(0.5f), size), y, _mm512_max_ps(x, zero));
  }
  return x;
}

// A weight in panels of 64 columns, [panel][step][column] of groups, filled up with zeros. What comes out is
// sum * scale + offset of the column, plus what is added, activated; as uint8 where `out_scale` is not 0.
struct Panels {
  const void* weights;
  const float *scales, *offsets;
  int64_t in, out;
  Activation activation;
  double out_scale;
  int64_t out_zero;

  template <class Format>
  int64_t out_size() const {  // of a number
    return out_scale == 0 ? sizeof(typename Format::Number) : 1;
  }
};

constexpr int kRows = 6, kTiles = 4, kPanel = kTiles * kLanes;  // 24 sums lie in registers
constexpr int kTilesOfShare = 8;                                // at least, where threads share out the rows

template <class Format, class Reads, int Rows>
void multiply_tile(const Panels& by, const typename Reads::Number* x, int64_t panel, const typename Format::Number* add,
                   void* out) {
  using Group = typename Reads::Group;
  const int64_t steps = by.in / Reads::kPer;
  const Group* rows[Rows];
  const int64_t out_size = by.out_size<Format>();
  for (int row = 0; row < Rows; ++row) {
    rows[row] = reinterpret_cast<const Group*>(x + row * by.in);
    const char* to = static_cast<const char*>(out) + (row * by.out + panel * kPanel) * out_size;
    for (int64_t at = 0; at < kPanel * out_size; at += 64) __builtin_prefetch(to + at, 1);
  }
  const __m512 factor = _mm512_set1_ps(static_cast<float>(1 / by.out_scale));
  const __m512i zero = _mm512_set1_epi32(static_cast<int>(by.out_zero));
  typename Reads::Sum sums[Rows][kTiles];
  multiply<Reads>(rows, static_cast<const Group*>(by.weights) + panel * steps * kPanel, kPanel, steps, sums);
  for (int tile = 0; tile < kTiles; ++tile) {
    const int64_t column = panel * kPanel + tile * kLanes;
    if (column >= by.out) return;
    const __m512 scale = _mm512_loadu_ps(by.scales + column), offset = _mm512_loadu_ps(by.offsets + column);
    for (int row = 0; row < Rows; ++row) {
      const int64_t at = row * by.out + column;
      __m512 y = _mm512_fmadd_ps(Reads::real(sums[row][tile]), scale, offset);
      if (add != nullptr) y = _mm512_add_ps(y, Format::get(add + at));
      y = activate(y, by.activation);
      if (by.out_scale == 0) {
        Format::put(static_cast<typename Format::Number*>(out) + at, y);
      } else {
        put_whole(static_cast<uint8_t*>(out) + at, y, factor, zero);
      }
    }
  }
}

// x W^T + b and what follows; `Reads` is how x is read, `Format` what is added and written, unless that is uint8.
// Threads share out the rows, which then stay in their caches from product to product, and of few rows the panels.
template <class Format, class Reads>
void multiply_rows(const Panels& by, const typename Reads::Number* x, int64_t rows, const typename Format::Number* add,
                   void* out) {
  const int64_t panels = (by.out + kPanel - 1) / kPanel, tiles = (rows + kRows - 1) / kRows;
  const int64_t out_size = by.out_size<Format>(), threads = omp_get_max_threads();
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
          void* to = static_cast<char*>(out) + first * by.out * out_size;
          switch (count) {
            case 1: multiply_tile<Format, Reads, 1>(by, from, panel, more, to); break;
            case 2: multiply_tile<Format, Reads, 2>(by, from, panel, more, to); break;
            case 3: multiply_tile<Format, Reads, 3>(by, from, panel, more, to); break;
            case 4: multiply_tile<Format, Reads, 4>(by, from, panel, more, to); break;
            case 5: multiply_tile<Format, Reads, 5>(by, from, panel, more, to); break;
            default: multiply_tile<Format, Reads, kRows>(by, from, panel, more, to);
          }
        }
      }
    }
  }
}

template <class Format>
void quantize(const typename Format::Number* x, uint8_t* out, const float* factors, int64_t tokens, int64_t width,
              int64_t zero) {
  const __m512i shift = _mm512_set1_epi32(static_cast<int>(zero));
#pragma omp parallel for
  for (int64_t token = 0; token < tokens; ++token) {
    for (int64_t at = token * width, column = 0; column < width; at += kLanes, column += kLanes)
      put_whole(out + at, Format::get(x + at), _mm512_loadu_ps(factors + column), shift);
  }
}

struct Norm {
  const float *weight, *bias;
  double eps;
};

// LayerNorm of a row; `out` may be `x`.
template <class In, class Out>
void normalize_row(const typename In::Number* x, typename Out::Number* out, const Norm& norm, int64_t width) {
  __m512 sum = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
  for (int64_t at = 0; at < width; at += kLanes) sum = _mm512_add_ps(sum, In::get(x + at));
  const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / static_cast<float>(width));
  for (int64_t at = 0; at < width; at += kLanes) {
    const __m512 far = _mm512_sub_ps(In::get(x + at), mean);
    squares = _mm512_fmadd_ps(far, far, squares);
  }
  const double variance = _mm512_reduce_add_ps(squares) / static_cast<double>(width);
  const __m512 scale = _mm512_set1_ps(static_cast<float>(1 / std::sqrt(variance + norm.eps)));
  for (int64_t at = 0; at < width; at += kLanes) {
    const __m512 even = _mm512_mul_ps(_mm512_sub_ps(In::get(x + at), mean), scale);
    Out::put(out + at, _mm512_fmadd_ps(even, _mm512_loadu_ps(norm.weight + at), _mm512_loadu_ps(norm.bias + at)));
  }
}

template <class Format>
void normalize(const typename Format::Number* x, typename Format::Number* out, const Norm& norm, int64_t rows,
               int64_t width) {
#pragma omp parallel for
  for (int64_t row = 0; row < rows; ++row)
    normalize_row<Format, Format>(x + row * width, out + row * width, norm, width);
}

}  // namespace albert
