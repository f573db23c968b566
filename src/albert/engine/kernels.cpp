// The encoder for texts that lie end to end.
//
// Attention, without padding and without a call for each length, reads rows of queries, keys and values side by side,
// [tokens, 3 * heads * size], writes [tokens, heads * size], or [texts, heads * size] if only the first piece of each
// text asks. Sums and softmax are float32. A task is one head of one text: its keys are turned so that 16 of them lie
// in a register, and 4 queries go over them at a time. bfloat16 products add pairs (VDPBF16PS), hence the pairs of
// neighbouring columns of keys and of rows of values.
//
// A block calls PyTorch's products through the C interface that compiled models use.
#include <immintrin.h>

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int kLanes = 16;
constexpr int kQueries = 4;
constexpr float kLog2E = 1.44269504088896340736f;

inline __m512 exp2_of(__m512 x) {
  // 2^x by its whole part and a polynomial on [-0.5, 0.5]; relative error 2e-7.
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(x, whole);
  __m512 y = _mm512_set1_ps(1.535336188319500e-4f);
  y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(1.339887440266574e-3f));
  y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(9.618437357674640e-3f));
  y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(5.550332471162809e-2f));
  y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(2.402264791363012e-1f));
  y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(6.931472028550421e-1f));
  y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(y, whole);
}

inline __mmask16 first_lanes(int count) {
  return count >= kLanes ? static_cast<__mmask16>(0xFFFF) : static_cast<__mmask16>((1u << count) - 1);
}

// round(x * factor) + zero, kept within 0 and 255.
inline void put_whole(uint8_t* to, __m512 x, __m512 factor, __m512i zero) {
  const __m512i shifted = _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(x, factor)), zero);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtusepi32_epi8(_mm512_max_epi32(shifted, _mm512_setzero_si512())));
}

// How numbers are read, turned, multiplied and written; Group is what one lane holds of a weight, a key or a value.
struct Float32 {
  static constexpr int32_t kType = 6;  // PyTorch's number for it (c10::ScalarType)
  using Number = float;
  using Group = float;
  using Sum = __m512;
  static constexpr int kPer = 1;  // columns of a weight or a key, or rows of values, that one product takes
  static Sum none() { return _mm512_setzero_ps(); }
  static __m512 real(Sum sum) { return sum; }
  static Sum multiply_add(Sum sum, Group x, const Group* y) {
    return _mm512_fmadd_ps(_mm512_set1_ps(x), _mm512_loadu_ps(y), sum);
  }
  static __m512 get(const Number* from) { return _mm512_loadu_ps(from); }
  static void put(Number* to, __m512 x) { _mm512_storeu_ps(to, x); }
  static void values(const Number* row, const Number*, Group* to) { _mm512_storeu_ps(to, _mm512_loadu_ps(row)); }
};

#ifdef __AVX512BF16__
struct BFloat16 {
  static constexpr int32_t kType = 15;
  using Number = uint16_t;
  using Group = uint32_t;
  using Sum = __m512;
  static constexpr int kPer = 2;
  static Sum none() { return _mm512_setzero_ps(); }
  static __m512 real(Sum sum) { return sum; }
  static Sum multiply_add(Sum sum, Group x, const Group* y) {
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

#ifdef __AVX512VNNI__
// Inputs of uint8 with weights of int8.
struct Whole {
  using Number = uint8_t;
  using Group = int32_t;
  using Sum = __m512i;
  static constexpr int kPer = 4;
  static Sum none() { return _mm512_setzero_si512(); }
  static __m512 real(Sum sum) { return _mm512_cvtepi32_ps(sum); }
  static Sum multiply_add(Sum sum, Group x, const Group* y) {
    // For _mm512_dpbusd_epi32 GCC 12 copies every sum at every step, at half the speed.
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(_mm512_set1_epi32(x)), "v"(_mm512_loadu_si512(y)));
    return sum;
  }
};
#endif

// sums[row][tile] of x[row][step] * y[step][tile], both in groups; y has `stride` lanes a step.
template <class Format, int Rows, int Tiles>
inline void multiply(const typename Format::Group* const* x, const typename Format::Group* y, int64_t stride,
                     int64_t steps, typename Format::Sum (&sums)[Rows][Tiles]) {
  for (auto& row : sums)
    for (auto& sum : row) sum = Format::none();
  for (int64_t step = 0; step < steps; ++step, y += stride)
    for (int row = 0; row < Rows; ++row)
      for (int tile = 0; tile < Tiles; ++tile)
        sums[row][tile] = Format::multiply_add(sums[row][tile], x[row][step], y + tile * kLanes);
}

// The same for up to kQueries rows.
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
  std::vector<typename Format::Group> keys, values, weights;
  std::vector<float> scores;
};

// Up to kQueries rows of scores against `Tiles` registers of keys.
template <class Format, int Tiles>
inline void score(const typename Format::Group* const* queries, int count, const typename Format::Group* keys,
                  int64_t padded, int pairs, float* scores) {
  __m512 sums[kQueries][Tiles];
  multiply_some<Format, Tiles>(queries, count, keys, padded, pairs, sums);
  for (int query = 0; query < count; ++query)
    for (int tile = 0; tile < Tiles; ++tile) _mm512_storeu_ps(scores + query * padded + tile * kLanes, sums[query][tile]);
}

template <class Format, int Tiles>
inline void mix(const typename Format::Group* const* weights, int count, const typename Format::Group* values,
                int64_t size, int steps, const float* shares, typename Format::Number* const* out) {
  __m512 sums[kQueries][Tiles];
  multiply_some<Format, Tiles>(weights, count, values, size, steps, sums);
  for (int query = 0; query < count; ++query)
    for (int tile = 0; tile < Tiles; ++tile)
      Format::put(out[query] + tile * kLanes, _mm512_mul_ps(sums[query][tile], _mm512_set1_ps(shares[query])));
}

// Weights 2^(scale * (score - greatest)), written for the products to come; returns 1 / their sum.
template <class Format>
inline float soften(const float* scores, int64_t count, int64_t padded, float scale,
                    typename Format::Number* weights) {
  __m512 most = _mm512_set1_ps(-INFINITY);
  for (int64_t at = 0; at < count; at += kLanes)
    most = _mm512_mask_max_ps(most, first_lanes(static_cast<int>(count - at)), most, _mm512_loadu_ps(scores + at));
  const __m512 factor = _mm512_set1_ps(scale), shift = _mm512_set1_ps(-scale * _mm512_reduce_max_ps(most));
  __m512 sum = _mm512_setzero_ps();
  for (int64_t at = 0; at < padded; at += kLanes) {
    const __m512 raw = exp2_of(_mm512_fmadd_ps(_mm512_loadu_ps(scores + at), factor, shift));
    const __m512 weight = _mm512_maskz_mov_ps(first_lanes(static_cast<int>(count > at ? count - at : 0)), raw);
    sum = _mm512_add_ps(sum, weight);
    Format::put(weights + at, weight);
  }
  return 1.0f / _mm512_reduce_add_ps(sum);
}

template <class Format>
void attend_head(const typename Format::Number* qkv, int64_t width, int64_t hidden, int64_t length, int64_t size,
                 int64_t asking, typename Format::Number* context, int64_t out_width, Scratch<Format>& scratch) {
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
    int64_t at = 0;
    for (; at + 4 * kLanes <= padded; at += 4 * kLanes)
      score<Format, 4>(asked, count, keys + at, padded, static_cast<int>(pairs), scores + at);
    for (; at + 2 * kLanes <= padded; at += 2 * kLanes)
      score<Format, 2>(asked, count, keys + at, padded, static_cast<int>(pairs), scores + at);
    for (; at < padded; at += kLanes)
      score<Format, 1>(asked, count, keys + at, padded, static_cast<int>(pairs), scores + at);
    for (int row = 0; row < count; ++row) {
      Group* weights = scratch.weights.data() + row * padded / Format::kPer;
      shares[row] = soften<Format>(scores + row * padded, length, padded, scale, reinterpret_cast<Number*>(weights));
      weighed[row] = weights;
    }
    for (int64_t column = 0; column < size;) {
      const Group* values = scratch.values.data() + column;
      Number* to[kQueries];
      for (int row = 0; row < count; ++row) to[row] = out[row] + column;
      if (size - column >= 4 * kLanes) {
        mix<Format, 4>(weighed, count, values, size, static_cast<int>(steps), shares, to);
        column += 4 * kLanes;
      } else {
        mix<Format, 1>(weighed, count, values, size, static_cast<int>(steps), shares, to);
        column += kLanes;
      }
    }
  }
}

template <class Format>
void attend(const typename Format::Number* qkv, typename Format::Number* context, const int64_t* starts, int64_t texts,
            int64_t heads, int64_t size, int64_t first_only) {
  const int64_t hidden = heads * size, width = 3 * hidden;
#pragma omp parallel
  {
    Scratch<Format> scratch;
#pragma omp for schedule(dynamic, 1)
    for (int64_t task = 0; task < texts * heads; ++task) {
      const int64_t text = task / heads, head = task % heads, start = starts[text], length = starts[text + 1] - start;
      attend_head<Format>(qkv + start * width + head * size, width, hidden, length, size, first_only ? 1 : length,
                          context + (first_only ? text : start) * hidden + head * size, hidden, scratch);
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
    const __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(_mm512_set1_ps(0.3275911f * 0.70710678118654752440f), size, one));
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
// sum * scale + offset of the column, plus what is added, activated; as uint8 where `out_factor` is not 0.
struct Panels {
  const void* weights;
  const float *scales, *offsets;
  int64_t in, out;
  Activation activation;
  float out_factor;
  int32_t out_zero;
};

constexpr int kRows = 6, kTiles = 4, kPanel = kTiles * kLanes;  // 24 sums lie in registers
constexpr int kTilesOfShare = 8;  // at least, where threads share out the rows

template <class Format, class Reads, int Rows>
void multiply_tile(const Panels& by, const typename Reads::Number* x, int64_t panel, const typename Format::Number* add,
                   void* out) {
  using Group = typename Reads::Group;
  const int64_t steps = by.in / Reads::kPer;
  const Group* rows[Rows];
  const int64_t out_size = by.out_factor == 0 ? sizeof(typename Format::Number) : 1;
  for (int row = 0; row < Rows; ++row) {
    rows[row] = reinterpret_cast<const Group*>(x + row * by.in);
    const char* to = static_cast<const char*>(out) + (row * by.out + panel * kPanel) * out_size;
    for (int64_t at = 0; at < kPanel * out_size; at += 64) __builtin_prefetch(to + at, 1);
  }
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
      if (by.out_factor == 0) {
        Format::put(static_cast<typename Format::Number*>(out) + at, y);
      } else {
        put_whole(static_cast<uint8_t*>(out) + at, y, _mm512_set1_ps(by.out_factor), _mm512_set1_epi32(by.out_zero));
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
  const int64_t out_size = by.out_factor == 0 ? sizeof(typename Format::Number) : 1, threads = omp_get_max_threads();
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
  for (int64_t row = 0; row < rows; ++row) normalize_row<Format, Format>(x + row * width, out + row * width, norm, width);
}

}  // namespace

// Of aoti_torch/c/shim.h and shim_cpu.h what a block needs; other than 0 is a failure.
extern "C" {
using Handle = struct AtenTensorOpaque*;
int32_t aoti_torch_empty_strided(int64_t, const int64_t*, const int64_t*, int32_t, int32_t, int32_t, Handle*);
int32_t aoti_torch_create_tensor_from_blob(void*, int64_t, const int64_t*, const int64_t*, int64_t, int32_t, int32_t,
                                           int32_t, Handle*);
int32_t aoti_torch_delete_tensor_object(Handle);
int32_t aoti_torch_get_data_ptr(Handle, void**);
int32_t aoti_torch_cpu__linear_pointwise(Handle, Handle, Handle*, const char*, const double**, int64_t, const char**,
                                         Handle*);
int32_t aoti_torch_cpu__linear_pointwise_binary(Handle, Handle, Handle, Handle*, const char*, Handle*);
int32_t aoti_torch_cpu__qlinear_pointwise_tensor(Handle, Handle, Handle, Handle, Handle, Handle, Handle*, double,
                                                 int64_t, const int32_t*, const char*, const double**, int64_t,
                                                 const char*, Handle*);
int32_t aoti_torch_cpu__qlinear_pointwise_binary_tensor(Handle, Handle, Handle, Handle, Handle, Handle, Handle*,
                                                        Handle*, double, int64_t, const int32_t*, double, int64_t,
                                                        const char*, double, const char*, const double**, int64_t,
                                                        const char*, Handle*);
}

namespace {

constexpr int32_t kUInt8 = 0;

void require(int32_t failed) {
  if (failed) throw failed;
}

// A tensor of PyTorch's, [rows, width], that goes with this.
class Rows {
 public:
  Rows(void* data, int64_t rows, int64_t width, int32_t type) : rows(rows), width(width) {
    const int64_t sizes[] = {rows, width}, strides[] = {width, 1};
    require(data == nullptr
                ? aoti_torch_empty_strided(2, sizes, strides, type, 0, 0, &handle)
                : aoti_torch_create_tensor_from_blob(data, 2, sizes, strides, 0, type, 0, 0, &handle));
  }
  Rows(Handle handle, int64_t rows, int64_t width) : handle(handle), rows(rows), width(width) {}
  Rows(const Rows&) = delete;
  Rows(Rows&& other) : handle(other.handle), rows(other.rows), width(other.width) { other.handle = nullptr; }
  ~Rows() {
    if (handle != nullptr) aoti_torch_delete_tensor_object(handle);
  }

  template <class Number>
  Number* data() const {
    void* found = nullptr;
    require(aoti_torch_get_data_ptr(handle, &found));
    return static_cast<Number*>(found);
  }

  Handle handle = nullptr;
  const int64_t rows, width;
};

// A linear layer. It reads and writes numbers or, in int8, uint8: with factors it turns the numbers that come into that.
struct Product {
  const float* factors;
  int64_t shift, whole;  // the zero of that uint8; are weights int8?
  Panels panels;         // if it is ours
  Handle weight, bias, scale, zero, weight_scales, weight_zeros;  // if it is PyTorch's
  const char *activation, *form;
  double out_scale;

  template <class Format>
  Rows apply(const Rows& x, const Rows* add = nullptr) const {
    if (factors == nullptr) return multiply<Format>(x, add);
    const Rows quantized(nullptr, x.rows, x.width, kUInt8);
    quantize<Format>(x.data<typename Format::Number>(), quantized.data<uint8_t>(), factors, x.rows, x.width, shift);
    return multiply<Format>(quantized, add);
  }

 private:
  template <class Format>
  Rows multiply(const Rows& x, const Rows* add) const {
    const int32_t type = panels.out_factor == 0 ? Format::kType : kUInt8;
    if (panels.weights == nullptr) return Rows(by_pytorch(x.handle, add == nullptr ? nullptr : add->handle, type), x.rows, panels.out);
    using Number = typename Format::Number;
    Rows y(nullptr, x.rows, panels.out, type);
    const Number* added = add == nullptr ? nullptr : add->data<Number>();
    if (!whole) {
      multiply_rows<Format, Format>(panels, x.data<Number>(), x.rows, added, y.data<void>());
    } else {
#ifdef __AVX512VNNI__
      multiply_rows<Format, Whole>(panels, x.data<uint8_t>(), x.rows, added, y.data<void>());
#else
      require(1);
#endif
    }
    return y;
  }

  Handle by_pytorch(Handle x, Handle add, int32_t type) const {
    Handle made = nullptr, bias = this->bias;
    const char* form = this->form;
    int32_t failed;
    if (!whole && add == nullptr) {
      failed = aoti_torch_cpu__linear_pointwise(x, weight, &bias, activation, nullptr, 0, &form, &made);
    } else if (!whole) {
      failed = aoti_torch_cpu__linear_pointwise_binary(x, add, weight, &bias, "add", &made);
    } else if (add == nullptr) {
      failed = aoti_torch_cpu__qlinear_pointwise_tensor(x, scale, zero, weight, weight_scales, weight_zeros, &bias,
                                                        out_scale, panels.out_zero, &type, activation, nullptr, 0, form,
                                                        &made);
    } else {
      failed = aoti_torch_cpu__qlinear_pointwise_binary_tensor(
          x, scale, zero, weight, weight_scales, weight_zeros, &add, &bias, out_scale, panels.out_zero, &type, 1.0, 0, "add",
          1.0, "none", nullptr, 0, "", &made);
    }
    require(failed);
    return made;
  }
};

struct Block {
  Product qkv, output, inner, outer;
  Norm norm, norm2;
  int64_t heads, size;
};

// Copies of the first row behind `count` of them.
template <class Number>
void fill(Number* x, int64_t count, int64_t rows, int64_t width) {
  for (int64_t row = count; row < rows; ++row) std::memcpy(x + row * width, x, width * sizeof(Number));
}

// x of a text's pieces or, with `first_only`, of each text's first piece, to `wanted` rows of out.
template <class Format>
void run_block(const Block& block, typename Format::Number* x, typename Format::Number* out, const int64_t* starts,
               int64_t rows, int64_t wanted, int64_t texts, bool first_only) {
  using Number = typename Format::Number;
  const int64_t hidden = block.heads * block.size;
  const Rows before(x, rows, hidden, Format::kType), context(nullptr, wanted, hidden, Format::kType);
  Number* contexts = context.data<Number>();
  {
    const Rows qkv = block.qkv.apply<Format>(before);
    attend<Format>(qkv.data<Number>(), contexts, starts, texts, block.heads, block.size, first_only);
  }
  fill(contexts, first_only ? texts : starts[texts], wanted, hidden);
  const Rows asking(first_only ? nullptr : x, wanted, hidden, Format::kType);
  if (first_only) {
    Number* to = asking.data<Number>();
    for (int64_t text = 0; text < texts; ++text)
      std::memcpy(to + text * hidden, x + starts[text] * hidden, hidden * sizeof(Number));
    fill(to, texts, wanted, hidden);
  }
  const Rows y = block.output.apply<Format>(context, &asking);
  normalize<Format>(y.data<Number>(), y.data<Number>(), block.norm, wanted, hidden);
  const Rows middle = block.inner.apply<Format>(y);
  const Rows z = block.outer.apply<Format>(middle, &y);
  normalize<Format>(z.data<Number>(), out, block.norm2, wanted, hidden);
}

// All of some depths; of the last one `wanted` rows.
template <class Format>
void run_blocks(const Block* const* blocks, typename Format::Number* x, typename Format::Number* out,
                const int64_t* starts, int64_t depths, int64_t rows, int64_t wanted, int64_t texts, bool first_only) {
  const Rows between(nullptr, depths > 1 ? rows : 0, blocks[0]->heads * blocks[0]->size, Format::kType);
  auto* states = between.data<typename Format::Number>();
  for (int64_t depth = 0; depth + 1 < depths; ++depth)
    run_block<Format>(*blocks[depth], depth ? states : x, states, starts, rows, rows, texts, false);
  run_block<Format>(*blocks[depths - 1], depths > 1 ? states : x, out, starts, rows, wanted, texts, first_only);
}

struct Embedding {
  const float *word, *type, *position;
  int64_t words, types, positions, width;
  Norm norm;
  Product mapping;  // to the hidden size; of no outputs where that is the same
};

// Raises where a table is too small.
template <class Format>
void embed(const Embedding& tables, const int64_t* ids, const int64_t* types, const int64_t* starts,
           typename Format::Number* out, int64_t texts, int64_t rows) {
  using Number = typename Format::Number;
  const int64_t width = tables.width, tokens = starts[texts];
  for (int64_t token = 0; token < tokens; ++token)
    require(ids[token] < 0 || ids[token] >= tables.words || types[token] < 0 || types[token] >= tables.types);
  for (int64_t text = 0; text < texts; ++text) require(starts[text + 1] - starts[text] > tables.positions);
  const bool mapped = tables.mapping.panels.out != 0;
  const Rows narrow(mapped ? nullptr : out, rows, width, Format::kType);
  Number* normed = narrow.data<Number>();
#pragma omp parallel
  {
    std::vector<float> sum(width);
#pragma omp for
    for (int64_t text = 0; text < texts; ++text) {
      for (int64_t token = starts[text]; token < starts[text + 1]; ++token) {
        const float *word = tables.word + ids[token] * width, *type = tables.type + types[token] * width;
        const float* position = tables.position + (token - starts[text]) * width;
        for (int64_t at = 0; at < width; ++at) sum[at] = word[at] + type[at] + position[at];
        normalize_row<Float32, Format>(sum.data(), normed + token * width, tables.norm, width);
      }
    }
  }
  fill(normed, tokens, rows, width);
  if (!mapped) return;
  const Rows wide = tables.mapping.apply<Format>(narrow);
  std::memcpy(out, wide.data<Number>(), rows * wide.width * sizeof(Number));
}

// Whether it failed.
template <class Work>
int64_t tried(const Work& work) {
  try {
    work();
    return 0;
  } catch (...) {
    return 1;
  }
}

}  // namespace

#define ALBERT_KERNELS(NAME, FORMAT)                                                                                   \
  int64_t embed_##NAME(const Embedding* tables, const int64_t* ids, const int64_t* types, const int64_t* starts,       \
                       FORMAT::Number* out, int64_t texts, int64_t rows) {                                             \
    return tried([&] { embed<FORMAT>(*tables, ids, types, starts, out, texts, rows); });                               \
  }                                                                                                                    \
  int64_t encode_##NAME(const Block* const* blocks, FORMAT::Number* x, FORMAT::Number* out, const int64_t* starts,     \
                        int64_t depths, int64_t rows, int64_t wanted, int64_t texts, int64_t first_only) {             \
    return tried([&] { run_blocks<FORMAT>(blocks, x, out, starts, depths, rows, wanted, texts, first_only); });        \
  }                                                                                                                    \
  void attend_##NAME(const FORMAT::Number* qkv, FORMAT::Number* context, const int64_t* starts, int64_t texts,         \
                     int64_t heads, int64_t size, int64_t first_only) {                                                \
    attend<FORMAT>(qkv, context, starts, texts, heads, size, first_only);                                              \
  }                                                                                                                    \
  void quantize_##NAME(const FORMAT::Number* x, uint8_t* out, const float* factors, int64_t tokens, int64_t width,     \
                       int64_t zero) {                                                                                 \
    quantize<FORMAT>(x, out, factors, tokens, width, zero);                                                            \
  }

extern "C" {
ALBERT_KERNELS(float32, Float32)
#ifdef __AVX512BF16__
ALBERT_KERNELS(bfloat16, BFloat16)
#endif
}
