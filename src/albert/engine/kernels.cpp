// What PyTorch's operators do slowly to texts that lie end to end, and a block of the encoder in one call.
//
// Attention, without padding and without a call for each length, reads rows of queries, keys and values side by side,
// [tokens, 3 * heads * size], writes [tokens, heads * size], or [texts, heads * size] if only the first piece of each
// text asks. Sums and softmax are float32. A task is one head of one text: its keys are turned so that 16 of them lie
// in a register, and 4 queries go over them at a time. bfloat16 products add pairs (VDPBF16PS), hence the pairs of
// neighbouring columns of keys and of rows of values.
//
// A block calls PyTorch's products through the C interface that compiled models use.
#include <immintrin.h>

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

// How numbers are read, turned, multiplied and written; Pair is what one lane holds of a key or a value.
struct Float32 {
  static constexpr int32_t kType = 6;  // PyTorch's number for it (c10::ScalarType)
  using Number = float;
  using Pair = float;
  static constexpr int kPer = 1;  // columns of a key, or rows of values, that one product takes
  static __m512 multiply_add(__m512 sum, Pair x, const Pair* y) {
    return _mm512_fmadd_ps(_mm512_set1_ps(x), _mm512_loadu_ps(y), sum);
  }
  static __m512 get(const Number* from) { return _mm512_loadu_ps(from); }
  static void put(Number* to, __m512 x) { _mm512_storeu_ps(to, x); }
  static void values(const Number* row, const Number*, Pair* to) { _mm512_storeu_ps(to, _mm512_loadu_ps(row)); }
};

#ifdef __AVX512BF16__
struct BFloat16 {
  static constexpr int32_t kType = 15;
  using Number = uint16_t;
  using Pair = uint32_t;
  static constexpr int kPer = 2;
  static __m512 multiply_add(__m512 sum, Pair x, const Pair* y) {
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
  static void values(const Number* row, const Number* next, Pair* to) {
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

// sums[query][tile] of x[query][step] * y[step][tile], both in pairs; x may be anywhere, y has `stride` lanes a step.
template <class Format, int Tiles>
inline void multiply(const typename Format::Pair* const* x, int queries, const typename Format::Pair* y, int64_t stride,
                     int steps, __m512 (&sums)[kQueries][Tiles]) {
  for (auto& row : sums)
    for (auto& sum : row) sum = _mm512_setzero_ps();
  if (queries == kQueries) {
    for (int step = 0; step < steps; ++step, y += stride)
      for (int query = 0; query < kQueries; ++query)
        for (int tile = 0; tile < Tiles; ++tile)
          sums[query][tile] = Format::multiply_add(sums[query][tile], x[query][step], y + tile * kLanes);
  } else {
    for (int query = 0; query < queries; ++query) {
      const typename Format::Pair* at = y;
      for (int step = 0; step < steps; ++step, at += stride)
        for (int tile = 0; tile < Tiles; ++tile)
          sums[query][tile] = Format::multiply_add(sums[query][tile], x[query][step], at + tile * kLanes);
    }
  }
}

template <class Format>
struct Scratch {
  std::vector<typename Format::Pair> keys, values, weights;
  std::vector<float> scores;
};

// Up to kQueries rows of scores against `Tiles` registers of keys.
template <class Format, int Tiles>
inline void score(const typename Format::Pair* const* queries, int count, const typename Format::Pair* keys,
                  int64_t padded, int pairs, float* scores) {
  __m512 sums[kQueries][Tiles];
  multiply<Format, Tiles>(queries, count, keys, padded, pairs, sums);
  for (int query = 0; query < count; ++query)
    for (int tile = 0; tile < Tiles; ++tile) _mm512_storeu_ps(scores + query * padded + tile * kLanes, sums[query][tile]);
}

template <class Format, int Tiles>
inline void mix(const typename Format::Pair* const* weights, int count, const typename Format::Pair* values,
                int64_t size, int steps, const float* shares, typename Format::Number* const* out) {
  __m512 sums[kQueries][Tiles];
  multiply<Format, Tiles>(weights, count, values, size, steps, sums);
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
  using Pair = typename Format::Pair;
  const int64_t padded = (length + kLanes - 1) / kLanes * kLanes, pairs = size / Format::kPer;
  const int64_t steps = (length + Format::kPer - 1) / Format::kPer;
  scratch.keys.resize(pairs * padded);
  scratch.values.resize(steps * size);
  scratch.weights.resize(kQueries * padded / Format::kPer);
  scratch.scores.resize(kQueries * padded);
  const Number *query = qkv, *key = qkv + hidden, *value = qkv + 2 * hidden;
  Pair* keys = scratch.keys.data();
  for (int64_t at = 0; at < length; ++at) {
    const Pair* row = reinterpret_cast<const Pair*>(key + at * width);
    for (int64_t pair = 0; pair < pairs; ++pair) keys[pair * padded + at] = row[pair];
  }
  for (int64_t pair = 0; pair < pairs; ++pair)
    std::memset(keys + pair * padded + length, 0, (padded - length) * sizeof(Pair));
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
    const Pair *asked[kQueries], *weighed[kQueries];
    Number* out[kQueries];
    float shares[kQueries];
    for (int row = 0; row < count; ++row) {
      asked[row] = reinterpret_cast<const Pair*>(query + (first + row) * width);
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
      Pair* weights = scratch.weights.data() + row * padded / Format::kPer;
      shares[row] = soften<Format>(scores + row * padded, length, padded, scale, reinterpret_cast<Number*>(weights));
      weighed[row] = weights;
    }
    for (int64_t column = 0; column < size;) {
      const Pair* values = scratch.values.data() + column;
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

// round(x * factor of the column) + zero, kept within 0 and 255.
template <class Format>
void quantize(const typename Format::Number* x, uint8_t* out, const float* factors, int64_t tokens, int64_t width,
              int64_t zero) {
  const __m512i shift = _mm512_set1_epi32(static_cast<int>(zero)), none = _mm512_setzero_si512();
#pragma omp parallel for
  for (int64_t token = 0; token < tokens; ++token) {
    for (int64_t at = 0; at < width; at += kLanes) {
      const __m512 value = _mm512_mul_ps(Format::get(x + token * width + at), _mm512_loadu_ps(factors + at));
      const __m512i shifted = _mm512_max_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(value), shift), none);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + token * width + at), _mm512_cvtusepi32_epi8(shifted));
    }
  }
}

struct Norm {
  const float *weight, *bias;
  double eps;
};

// LayerNorm; `out` may be `x`.
template <class Format>
void normalize(const typename Format::Number* x, typename Format::Number* out, const Norm& norm, int64_t tokens,
               int64_t width) {
#pragma omp parallel for
  for (int64_t token = 0; token < tokens; ++token) {
    const auto* row = x + token * width;
    __m512 sum = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
    for (int64_t at = 0; at < width; at += kLanes) sum = _mm512_add_ps(sum, Format::get(row + at));
    const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / static_cast<float>(width));
    for (int64_t at = 0; at < width; at += kLanes) {
      const __m512 far = _mm512_sub_ps(Format::get(row + at), mean);
      squares = _mm512_fmadd_ps(far, far, squares);
    }
    const double variance = _mm512_reduce_add_ps(squares) / static_cast<double>(width);
    const __m512 scale = _mm512_set1_ps(static_cast<float>(1 / std::sqrt(variance + norm.eps)));
    for (int64_t at = 0; at < width; at += kLanes) {
      const __m512 even = _mm512_mul_ps(_mm512_sub_ps(Format::get(row + at), mean), scale);
      Format::put(out + token * width + at,
                  _mm512_fmadd_ps(even, _mm512_loadu_ps(norm.weight + at), _mm512_loadu_ps(norm.bias + at)));
    }
  }
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
  ~Rows() { aoti_torch_delete_tensor_object(handle); }

  template <class Number>
  Number* data() const {
    void* found = nullptr;
    require(aoti_torch_get_data_ptr(handle, &found));
    return static_cast<Number*>(found);
  }

  Handle handle = nullptr;
  const int64_t rows, width;
};

// A linear layer; in int8 with scales and zeros, and with factors if it reads numbers and not uint8.
struct Product {
  Handle weight, bias, scale, zero, weight_scales, weight_zeros;
  const float* factors;
  int64_t shift, out;
  double out_scale;  // of the uint8 that it writes; 0 where it writes numbers
  int64_t out_zero;

  template <class Format>
  Rows apply(const Rows& x, Handle add, const char* activation = "none", const char* form = "") const {
    if (factors == nullptr) return Rows(multiply<Format>(x.handle, add, activation, form), x.rows, out);
    const Rows whole(nullptr, x.rows, x.width, kUInt8);
    quantize<Format>(x.data<typename Format::Number>(), whole.data<uint8_t>(), factors, x.rows, x.width, shift);
    return Rows(multiply<Format>(whole.handle, add, activation, form), x.rows, out);
  }

 private:
  template <class Format>
  Handle multiply(Handle x, Handle add, const char* activation, const char* form) const {
    Handle made = nullptr, bias = this->bias;
    const int32_t type = out_scale == 0 ? Format::kType : kUInt8;
    const double by = out_scale == 0 ? 1.0 : out_scale;
    int32_t failed;
    if (weight_scales == nullptr && add == nullptr) {
      failed = aoti_torch_cpu__linear_pointwise(x, weight, &bias, activation, nullptr, 0, &form, &made);
    } else if (weight_scales == nullptr) {
      failed = aoti_torch_cpu__linear_pointwise_binary(x, add, weight, &bias, "add", &made);
    } else if (add == nullptr) {
      failed = aoti_torch_cpu__qlinear_pointwise_tensor(x, scale, zero, weight, weight_scales, weight_zeros, &bias, by,
                                                        out_zero, &type, activation, nullptr, 0, form, &made);
    } else {
      failed = aoti_torch_cpu__qlinear_pointwise_binary_tensor(
          x, scale, zero, weight, weight_scales, weight_zeros, &add, &bias, by, out_zero, &type, 1.0, 0, "add", 1.0, "none",
          nullptr, 0, "", &made);
    }
    require(failed);
    return made;
  }
};

struct Block {
  Product qkv, output, inner, outer;
  Norm norm, norm2;
  const char *activation, *form;
  int64_t heads, size;
};

// `skipped` are the rows that are wanted: all of x, or the pieces that ask.
template <class Format>
void run_block(const Block& block, typename Format::Number* x, typename Format::Number* skipped,
               typename Format::Number* out, const int64_t* starts, int64_t rows, int64_t wanted, int64_t texts,
               int64_t first_only) {
  using Number = typename Format::Number;
  const int64_t hidden = block.heads * block.size;
  const Rows before(x, rows, hidden, Format::kType), kept(skipped, wanted, hidden, Format::kType);
  const Rows context(nullptr, wanted, hidden, Format::kType);
  Number* contexts = context.data<Number>();
  {
    const Rows qkv = block.qkv.apply<Format>(before, nullptr);
    attend<Format>(qkv.data<Number>(), contexts, starts, texts, block.heads, block.size, first_only);
  }
  for (int64_t row = first_only ? texts : starts[texts]; row < wanted; ++row)
    std::memcpy(contexts + row * hidden, contexts, hidden * sizeof(Number));
  const Rows y = block.output.apply<Format>(context, kept.handle);
  normalize<Format>(y.data<Number>(), y.data<Number>(), block.norm, wanted, hidden);
  const Rows middle = block.inner.apply<Format>(y, nullptr, block.activation, block.form);
  const Rows z = block.outer.apply<Format>(middle, y.handle);
  normalize<Format>(z.data<Number>(), out, block.norm2, wanted, hidden);
}

// Whether it failed.
template <class Format>
int64_t tried_block(const Block* block, typename Format::Number* x, typename Format::Number* skipped,
                    typename Format::Number* out, const int64_t* starts, int64_t rows, int64_t wanted, int64_t texts,
                    int64_t first_only) {
  try {
    run_block<Format>(*block, x, skipped, out, starts, rows, wanted, texts, first_only);
    return 0;
  } catch (...) {
    return 1;
  }
}

}  // namespace

extern "C" {

int64_t block_float32(const Block* block, float* x, float* skipped, float* out, const int64_t* starts, int64_t rows,
                      int64_t wanted, int64_t texts, int64_t first_only) {
  return tried_block<Float32>(block, x, skipped, out, starts, rows, wanted, texts, first_only);
}

void attend_float32(const float* qkv, float* context, const int64_t* starts, int64_t texts, int64_t heads, int64_t size,
                    int64_t first_only) {
  attend<Float32>(qkv, context, starts, texts, heads, size, first_only);
}

#ifdef __AVX512BF16__
void quantize_bfloat16(const uint16_t* x, uint8_t* out, const float* factors, int64_t tokens, int64_t width,
                       int64_t zero) {
  quantize<BFloat16>(x, out, factors, tokens, width, zero);
}

int64_t block_bfloat16(const Block* block, uint16_t* x, uint16_t* skipped, uint16_t* out, const int64_t* starts,
                       int64_t rows, int64_t wanted, int64_t texts, int64_t first_only) {
  return tried_block<BFloat16>(block, x, skipped, out, starts, rows, wanted, texts, first_only);
}

void attend_bfloat16(const uint16_t* qkv, uint16_t* context, const int64_t* starts, int64_t texts, int64_t heads,
                     int64_t size, int64_t first_only) {
  attend<BFloat16>(qkv, context, starts, texts, heads, size, first_only);
}
#endif
}
