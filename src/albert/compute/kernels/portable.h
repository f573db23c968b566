// Registers of 4, or of 1 where ALBERT_LANES says so, by the vector types of GCC and Clang: SSE2, NEON, WebAssembly.
#pragma once

#include <cstdint>
#include <cstring>
#ifdef __wasm_simd128__
#include <wasm_simd128.h>
#endif

#ifndef ALBERT_LANES
#define ALBERT_LANES 4
#endif

namespace albert::ALBERT_ISA {

// Registers of a product side by side, and its rows. 6 rows of 4 sums need more than the 16 registers that others have.
// WebAssembly's int8 product has 6 temporary values: 4 rows of it are 1.45 times as fast as 6.
#if defined(__aarch64__)
constexpr int kLanes = ALBERT_LANES, kTiles = 4, kRows = 6;
#elif defined(__wasm_simd128__)
constexpr int kLanes = ALBERT_LANES, kTiles = 2, kRows = 4;
#else
constexpr int kLanes = ALBERT_LANES, kTiles = 2, kRows = 6;
#endif
constexpr int kGreatest = 127;  // of weights in int8

typedef float Vector __attribute__((vector_size(4 * kLanes)));
typedef int32_t Integers __attribute__((vector_size(4 * kLanes)));
using Mask = Integers;

inline Vector splat(float x) { return x - Vector{}; }
inline Integers splat_whole(int x) { return x - Integers{}; }
inline Vector real(Integers x) { return __builtin_convertvector(x, Vector); }
inline Vector multiply_add(Vector x, Vector y, Vector z) { return x * y + z; }
inline Vector greater(Vector x, Vector y) { return x > y ? x : y; }
inline Vector absolute(Vector x) { return greater(x, -x); }

inline Vector load(const float* from) {
  Vector x;
  std::memcpy(&x, from, sizeof(x));
  return x;
}
inline void store(float* to, Vector x) { std::memcpy(to, &x, sizeof(x)); }

inline float sum_of(Vector x) {
  float sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += x[lane];
  return sum;
}

inline float greatest_of(Vector x) {
  float most = x[0];
  for (int lane = 1; lane < kLanes; ++lane) most = x[lane] > most ? x[lane] : most;
  return most;
}

// To the nearest whole number, below 2^22: the sum with 1.5 * 2^23 has no room for a fraction.
inline Vector rounded(Vector x) { return x + 12582912.0f - 12582912.0f; }

// x * 2^whole; 0 below 2^-126.
inline Vector times_power(Vector x, Vector whole) {
  const Vector least = splat(-127.0f), most = splat(127.0f);
  const Vector within = greater(whole, least);
  const Integers power = __builtin_convertvector(within > most ? most : within, Integers);
  const Integers bits = (power + 127) << 23;
  Vector scale;
  std::memcpy(&scale, &bits, sizeof(scale));
  return x * scale;
}

inline Mask first_lanes(int count) {
  Integers number = {};
  for (int lane = 0; lane < kLanes; ++lane) number[lane] = lane;
  return number < count;
}
inline Vector keep(Mask mask, Vector x) { return mask ? x : Vector{}; }
inline Vector greater_where(Mask mask, Vector x, Vector y) { return mask ? greater(x, y) : x; }

#if defined(__wasm_simd128__) && ALBERT_LANES == 4
// round(x * factor) + zero, kept within 0 and 255.
inline void put_whole(uint8_t* to, Vector x, Vector factor, Integers zero) {
  const Integers shifted = wasm_i32x4_trunc_sat_f32x4(rounded(x * factor)) + zero;
  const v128_t words = wasm_i16x8_narrow_i32x4(shifted, shifted);
  wasm_v128_store32_lane(to, wasm_u8x16_narrow_i16x8(words, words), 0);
}

// sum + the product of 4 uint8 with 4 int8 in each lane: the even bytes and the odd ones, as 16 bits.
inline Integers add_products(Integers sum, int32_t x, const int32_t* y) {
  const v128_t from = wasm_v128_load(y), of = wasm_i32x4_splat(x);
  const v128_t even = wasm_i32x4_dot_i16x8(of & wasm_i16x8_const_splat(255), wasm_i16x8_shr(wasm_i16x8_shl(from, 8), 8));
  const v128_t odd = wasm_i32x4_dot_i16x8(wasm_u16x8_shr(of, 8), wasm_i16x8_shr(from, 8));
  return sum + (even + odd);
}
#else
// round(x * factor) + zero, kept within 0 and 255.
inline void put_whole(uint8_t* to, Vector x, Vector factor, Integers zero) {
  const Vector bound = splat(1e6f), scaled = x * factor, above = greater(scaled, -bound);
  const Integers whole = __builtin_convertvector(rounded(above < bound ? above : bound), Integers) + zero;
  for (int lane = 0; lane < kLanes; ++lane)
    to[lane] = static_cast<uint8_t>(whole[lane] < 0 ? 0 : whole[lane] > 255 ? 255 : whole[lane]);
}

// sum + the product of 4 uint8 with 4 int8 in each lane.
inline Integers add_products(Integers sum, int32_t x, const int32_t* y) {
  Integers from;
  std::memcpy(&from, y, sizeof(from));
  for (int byte = 0; byte < 4; ++byte)
    sum += (from << (24 - 8 * byte) >> 24) * (x >> 8 * byte & 255);
  return sum;
}
#endif

}  // namespace albert::ALBERT_ISA
