// Registers of 16: AVX-512.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace albert::ALBERT_ISA {

// Registers of a product side by side: 6 rows of 4 sums fill 24 of 32.
constexpr int kLanes = 16, kTiles = 4, kRows = 6;
constexpr int kGreatest = 127;  // of weights in int8

using Vector = __m512;
using Integers = __m512i;
using Mask = __mmask16;

inline Vector splat(float x) { return _mm512_set1_ps(x); }
inline Integers splat_whole(int x) { return _mm512_set1_epi32(x); }
inline Vector load(const float* from) { return _mm512_loadu_ps(from); }
inline void store(float* to, Vector x) { _mm512_storeu_ps(to, x); }
inline Vector multiply_add(Vector x, Vector y, Vector z) { return _mm512_fmadd_ps(x, y, z); }
inline Vector greater(Vector x, Vector y) { return _mm512_max_ps(x, y); }
inline Vector absolute(Vector x) { return _mm512_abs_ps(x); }
inline float sum_of(Vector x) { return _mm512_reduce_add_ps(x); }
inline float greatest_of(Vector x) { return _mm512_reduce_max_ps(x); }
inline Vector rounded(Vector x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Vector times_power(Vector x, Vector whole) { return _mm512_scalef_ps(x, whole); }
inline Vector real(Integers x) { return _mm512_cvtepi32_ps(x); }

inline Mask first_lanes(int count) {
  return count >= kLanes ? static_cast<Mask>(0xFFFF) : static_cast<Mask>((1u << count) - 1);
}
inline Vector keep(Mask mask, Vector x) { return _mm512_maskz_mov_ps(mask, x); }
inline Vector greater_where(Mask mask, Vector x, Vector y) { return _mm512_mask_max_ps(x, mask, x, y); }

// round(x * factor) + zero, kept within 0 and 255.
inline void put_whole(uint8_t* to, Vector x, Vector factor, Integers zero) {
  const __m512i shifted = _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(x, factor)), zero);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                   _mm512_cvtusepi32_epi8(_mm512_max_epi32(shifted, _mm512_setzero_si512())));
}

// sum + the product of 4 uint8 with 4 int8 in each lane.
#ifdef __AVX512VNNI__
inline Integers add_products(Integers sum, int32_t x, const int32_t* y) {
  // For _mm512_dpbusd_epi32 GCC 12 copies every sum at every step, at half the speed.
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(_mm512_set1_epi32(x)), "v"(_mm512_loadu_si512(y)));
  return sum;
}
#else
inline Integers add_products(Integers sum, int32_t x, const int32_t* y) {
  const __m512i from = _mm512_loadu_si512(y), of = _mm512_set1_epi32(x);
  const __m512i even = _mm512_madd_epi16(_mm512_and_si512(of, _mm512_set1_epi16(255)),
                                         _mm512_srai_epi16(_mm512_slli_epi16(from, 8), 8));
  const __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(of, 8), _mm512_srai_epi16(from, 8));
  return _mm512_add_epi32(sum, _mm512_add_epi32(even, odd));
}
#endif

}  // namespace albert::ALBERT_ISA
