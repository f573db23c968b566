#include "sha256.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace albert::lite {

constexpr size_t kBlock = 64;

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
alignas(16) static const uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turned(uint32_t x, int by) { return x >> by | x << (32 - by); }

static void mix_plainly(uint32_t* state, const unsigned char* bytes, size_t blocks) {
  for (; blocks > 0; --blocks, bytes += kBlock) {
    uint32_t words[64], s[8];
    for (int at = 0; at < 16; ++at)
      words[at] = uint32_t{bytes[4 * at]} << 24 | bytes[4 * at + 1] << 16 | bytes[4 * at + 2] << 8 | bytes[4 * at + 3];
    for (int at = 16; at < 64; ++at) {
      const uint32_t a = words[at - 15], b = words[at - 2];
      words[at] = words[at - 16] + words[at - 7] + (turned(a, 7) ^ turned(a, 18) ^ a >> 3) +
                  (turned(b, 17) ^ turned(b, 19) ^ b >> 10);
    }
    std::copy(state, state + 8, s);
    for (int at = 0; at < 64; ++at) {
      const uint32_t chosen = (s[4] & s[5]) ^ (~s[4] & s[6]), most = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
      const uint32_t first =
          s[7] + (turned(s[4], 6) ^ turned(s[4], 11) ^ turned(s[4], 25)) + chosen + kRound[at] + words[at];
      const uint32_t second = (turned(s[0], 2) ^ turned(s[0], 13) ^ turned(s[0], 22)) + most;
      std::copy_backward(s, s + 7, s + 8);
      s[4] += first;
      s[0] = first + second;
    }
    for (int at = 0; at < 8; ++at) state[at] += s[at];
  }
}

#if defined(__x86_64__)
// Without these instructions 30 MB take 0.15 s, and with them 0.02 s.
__attribute__((target("sha,sse4.1"))) static void mix_by_processor(uint32_t* state, const unsigned char* bytes,
                                                                   size_t blocks) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  // The instructions want the state as ABEF and CDGH.
  __m128i low = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state)), 0xB1);
  __m128i high = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4)), 0x1B);
  __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xF0);
  for (; blocks > 0; --blocks, bytes += kBlock) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i words[4];
    for (int at = 0; at < 4; ++at)
      words[at] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 16 * at)), swap);
    for (int at = 0; at < 16; ++at) {
      __m128i& now = words[at % 4];
      const __m128i last = words[(at + 3) % 4];
      if (at >= 4) {
        const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(now, words[(at + 1) % 4]),
                                          _mm_alignr_epi8(last, words[(at + 2) % 4], 4));
        now = _mm_sha256msg2_epu32(sum, last);
      }
      const __m128i keyed = _mm_add_epi32(now, _mm_load_si128(reinterpret_cast<const __m128i*>(kRound + 4 * at)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, keyed);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(keyed, 0x0E));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  low = _mm_shuffle_epi32(abef, 0x1B);
  high = _mm_shuffle_epi32(cdgh, 0xB1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(low, high, 0xF0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(high, low, 8));
}

static bool has_instructions() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1) && __builtin_cpu_supports("sse4.1");
}
#endif

static void mix(uint32_t* state, const unsigned char* bytes, size_t blocks) {
#if defined(__x86_64__)
  static const bool able = has_instructions();
  if (able) return mix_by_processor(state, bytes, blocks);
#endif
  mix_plainly(state, bytes, blocks);
}

void Sha256::add(const void* from, size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(from);
  const size_t kept = total % kBlock;
  total += size;
  if (kept > 0) {
    const size_t taken = std::min(size, kBlock - kept);
    std::copy(bytes, bytes + taken, rest + kept);
    bytes += taken, size -= taken;
    if (kept + taken < kBlock) return;
    mix(state, rest, 1);
  }
  mix(state, bytes, size / kBlock);
  std::copy(bytes + size / kBlock * kBlock, bytes + size, rest);
}

std::string Sha256::digits() {
  const uint64_t bits = total * 8;
  unsigned char end[2 * kBlock] = {0x80};
  const size_t size = (total % kBlock < kBlock - 8 ? kBlock : 2 * kBlock) - total % kBlock;
  for (int at = 0; at < 8; ++at) end[size - 1 - at] = static_cast<unsigned char>(bits >> 8 * at);
  add(end, size);
  std::string made;
  for (uint32_t word : state)
    for (int shift = 28; shift >= 0; shift -= 4) made += "0123456789abcdef"[word >> shift & 15];
  return made;
}

}  // namespace albert::lite
