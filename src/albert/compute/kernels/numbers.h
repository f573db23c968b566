// Numbers in registers, and products of rows with them.
#pragma once

#include "vectors.h"

namespace albert::ALBERT_ISA {

constexpr float kLog2E = 1.44269504088896340736f;

inline Vector exp2_of(Vector x) {
  // 2^x by its whole part and a polynomial on [-0.5, 0.5]; relative error 2e-7.
  const Vector whole = rounded(x), f = x - whole;
  Vector y = splat(1.535336188319500e-4f);
  y = multiply_add(y, f, splat(1.339887440266574e-3f));
  y = multiply_add(y, f, splat(9.618437357674640e-3f));
  y = multiply_add(y, f, splat(5.550332471162809e-2f));
  y = multiply_add(y, f, splat(2.402264791363012e-1f));
  y = multiply_add(y, f, splat(6.931472028550421e-1f));
  y = multiply_add(y, f, splat(1.0f));
  return times_power(y, whole);
}

// How numbers are read, turned, multiplied and written; Group is what one lane holds of a weight, a key or a value.
struct Float32 {
  static constexpr int32_t kType = 6;  // PyTorch's number for it (c10::ScalarType)
  using Number = float;
  using Group = float;
  using Sum = Vector;
  static constexpr int kPer = 1;  // columns of a weight or a key, or rows of values, that one product takes
  static Sum none() { return splat(0); }
  static Vector sum(Sum sum) { return sum; }
  static Sum add(Sum sum, Group x, const Group* y) { return multiply_add(splat(x), load(y), sum); }
  static Vector get(const Number* from) { return load(from); }
  static void put(Number* to, Vector x) { store(to, x); }
  static void values(const Number* row, const Number*, Group* to) { store(to, load(row)); }
};

#ifdef __AVX512BF16__
struct BFloat16 {
  static constexpr int32_t kType = 15;
  using Number = uint16_t;
  using Group = uint32_t;
  using Sum = __m512;
  static constexpr int kPer = 2;
  static Sum none() { return _mm512_setzero_ps(); }
  static Vector sum(Sum sum) { return sum; }
  static Sum add(Sum sum, Group x, const Group* y) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(x))),
                            reinterpret_cast<__m512bh>(_mm512_loadu_si512(y)));
  }
  static __m512 get(const Number* from) {
    const __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16));
  }
  static void put(Number* to, __m512 x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
  }
  static void values(const Number* row, const Number* next, Group* to) {
    const __m512i a = _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row)));
    const __m512i b = next == nullptr
                          ? _mm512_setzero_si512()
                          : _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(next)));
    const __m512i turns = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6,
                                           37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    _mm512_storeu_si512(to, _mm512_permutex2var_epi16(a, turns, b));
  }
};
#endif

// Inputs of uint8 with weights of int8. A row has [scale, -zero]: (byte - zero) * scale is the number.
struct Whole {
  static constexpr int64_t kRange = 2;
  using Number = uint8_t;
  using Group = int32_t;
  using Sum = Integers;
  static constexpr int kPer = 4;
  static Sum none() { return splat_whole(0); }
  static Vector sum(Sum sum) { return real(sum); }
  static Sum add(Sum sum, Group x, const Group* y) { return add_products(sum, x, y); }
};

// sums[row][tile] of x[row][step] * y[step][tile], both in groups; y has `stride` lanes a step.
template <class Format, int Rows, int Tiles>
inline void multiply(const typename Format::Group* const* x, const typename Format::Group* y, int64_t stride,
                     int64_t steps, typename Format::Sum (&sums)[Rows][Tiles]) {
  typename Format::Sum own[Rows][Tiles];  // GCC keeps them in registers where no loop over them is left
  for (auto& row : own)
    for (auto& sum : row) sum = Format::none();
  for (int64_t step = 0; step < steps; ++step, y += stride)
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row)
#pragma GCC unroll 8
      for (int tile = 0; tile < Tiles; ++tile)
        own[row][tile] = Format::add(own[row][tile], x[row][step], y + tile * kLanes);
#pragma GCC unroll 8
  for (int row = 0; row < Rows; ++row)
#pragma GCC unroll 8
    for (int tile = 0; tile < Tiles; ++tile) sums[row][tile] = own[row][tile];
}

}  // namespace albert::ALBERT_ISA
