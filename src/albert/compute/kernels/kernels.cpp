// The encoder for texts that lie end to end, attention and quantization by themselves, and the decoder, for PyTorch.
#include "decoder.h"
#include "encoder.h"
#include "pytorch.h"

namespace albert {

// A linear layer: a product of ours if it has panels, else PyTorch's.
struct Product : Linear {
  using Rows = albert::Rows;

  Handle weight, bias, scale, zero, weight_scales, weight_zeros;
  const char *activation, *form;

  template <class Format>
  Rows apply(const Rows& x, const Rows* add = nullptr) const {
    return factors == nullptr ? multiply<Format>(x, add) : multiply<Format>(native::quantized<Format>(*this, x), add);
  }

 private:
  template <class Format>
  Rows multiply(const Rows& x, const Rows* add) const {
    if (panels.weights != nullptr) return native::multiply_by<Format>(*this, x, add);
    const int32_t type = panels.out_scale == 0 ? Format::kType : kUInt8;
    return Rows(by_pytorch(x.handle, add == nullptr ? nullptr : add->handle, type), x.rows, panels.out);
  }

  Handle by_pytorch(Handle x, Handle add, int32_t type) const {
    Handle made = nullptr, bias = this->bias;
    const char* form = this->form;
    const double out_scale = panels.out_scale == 0 ? 1.0 : panels.out_scale;
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
      failed = aoti_torch_cpu__qlinear_pointwise_binary_tensor(x, scale, zero, weight, weight_scales, weight_zeros,
                                                               &add, &bias, out_scale, panels.out_zero, &type, 1.0, 0,
                                                               "add", 1.0, "none", nullptr, 0, "", &made);
    }
    require(failed);
    return made;
  }
};

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

}  // namespace albert

using namespace albert;
using namespace albert::native;

#define ALBERT_KERNELS(NAME, FORMAT)                                                                               \
  int64_t embed_##NAME(const Embedding<Product>* tables, const int64_t* ids, const int64_t* types,                 \
                       const int64_t* starts, FORMAT::Number* out, int64_t texts, int64_t rows, int64_t place) {   \
    return tried([&] { embed<FORMAT>(*tables, ids, types, starts, out, texts, rows, place); });                    \
  }                                                                                                                \
  int64_t encode_##NAME(const Block<Product>* const* blocks, FORMAT::Number* x, FORMAT::Number* out,               \
                        const int64_t* starts, const int64_t* shared, int64_t depths, int64_t rows, int64_t wanted, \
                        int64_t texts, int64_t first_only, int64_t half) {                                         \
    return tried([&] {                                                                                             \
      run_blocks<FORMAT>(blocks, x, out, starts, shared, depths, rows, wanted, texts, first_only, half);           \
    });                                                                                                            \
  }                                                                                                                \
  void attend_##NAME(const FORMAT::Number* qkv, FORMAT::Number* context, const int64_t* starts,                    \
                     const int64_t* shared, int64_t texts, int64_t heads, int64_t size, int64_t first_only,        \
                     int64_t half) {                                                                               \
    attend<FORMAT>(qkv, context, starts, shared, texts, heads, size, first_only, half);                            \
  }                                                                                                                \
  void quantize_##NAME(const FORMAT::Number* x, uint8_t* out, const float* factors, int64_t tokens, int64_t width, \
                       int64_t zero) {                                                                             \
    quantize<FORMAT>(x, out, factors, tokens, width, zero);                                                        \
  }                                                                                                                \
  int64_t multiply_##NAME(const Product* by, FORMAT::Number* x, FORMAT::Number* out, int64_t rows) {               \
    return tried([&] { multiply_into<FORMAT>(*by, x, out, rows); });                                               \
  }                                                                                                                \
  int64_t decode_##NAME(const DecoderBlock<Product>* const* blocks, FORMAT::Number* x,                             \
                        FORMAT::Number* const* written, const int64_t* heights, const int64_t* places,             \
                        const FORMAT::Number* const* read, const int64_t* texts, int64_t depths, int64_t rows,     \
                        int64_t pieces) {                                                                          \
    return tried([&] {                                                                                             \
      decode<FORMAT>(blocks, x, {written, heights, places, pieces}, {read, texts}, depths, rows);                  \
    });                                                                                                            \
  }                                                                                                                \
  int64_t spell_##NAME(const Speller<Product>* by, FORMAT::Number* x, float* out, int64_t rows) {                  \
    return tried([&] { spell<FORMAT>(*by, x, out, rows); });                                                       \
  }

extern "C" {
ALBERT_KERNELS(float32, Float32)
#ifdef __AVX512BF16__
ALBERT_KERNELS(bfloat16, BFloat16)
#endif
}
