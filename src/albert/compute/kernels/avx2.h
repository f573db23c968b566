// Registers of 8: AVX2 with FMA.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace albert::ALBERT_ISA {

// Registers of a product side by side: 6 rows of 2 sums fill 12 of 16.
constexpr int kLanes = 8, kTiles = 2, kRows = 6;
constexpr int kGreatest = 63;  // of weights in int8: two products of them with uint8 fit into 16 bits

using Vector = __m256;
using Integers = __m256i;
using Mask = __m256i;

inline Vector splat(float x) { return _mm256_set1_ps(x); }
inline Integers splat_whole(int x) { return _mm256_set1_epi32(x); }
inline Vector load(const float* from) { return _mm256_loadu_ps(from); }
inline void store(float* to, Vector x) { _mm256_storeu_ps(to, x); }
inline Vector multiply_add(Vector x, Vector y, Vector z) { return _mm256_fmadd_ps(x, y, z); }
inline Vector greater(Vector x, Vector y) { return _mm256_max_ps(x, y); }
inline Vector absolute(Vector x) { return _mm256_andnot_ps(splat(-0.0f), x); }
inline Vector rounded(Vector x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Vector real(Integers x) { return _mm256_cvtepi32_ps(x); }

inline float sum_of(Vector x) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

inline float greatest_of(Vector x) {
  __m128 most = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  most = _mm_max_ps(most, _mm_movehl_ps(most, most));
  return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}

// x * 2^whole; 0 below 2^-126.
inline Vector times_power(Vector x, Vector whole) {
  const Vector least = splat(-127.0f), most = splat(127.0f);
  const __m256i power = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(whole, least), most));
  return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(power, splat_whole(127)), 23)));
}

inline Mask first_lanes(int count) {
  return _mm256_cmpgt_epi32(splat_whole(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vector keep(Mask mask, Vector x) { return _mm256_and_ps(_mm256_castsi256_ps(mask), x); }
inline Vector greater_where(Mask mask, Vector x, Vector y) {
  return _mm256_blendv_ps(x, greater(x, y), _mm256_castsi256_ps(mask));
}

// round(x * factor) + zero, kept within 0 and 255.
inline void put_whole(uint8_t* to, Vector x, Vector factor, Integers zero) {
  const __m256i shifted = _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(x, factor)), zero);
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(shifted), _mm256_extracti128_si256(shifted, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(words, words));
}

// sum + the product of 4 uint8 with 4 int8 in each lane.
inline Integers add_products(Integers sum, int32_t x, const int32_t* y) {
  const __m256i from = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(y)), of = splat_whole(x);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(of, from), _mm256_set1_epi16(1)));
}

}  // namespace albert::ALBERT_ISA
