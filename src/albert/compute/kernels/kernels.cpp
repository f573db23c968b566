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
    if (panels.weights != nullptr) return native::multiply_by<Format>(*this, x, add);
    if (factors != nullptr) return whole_by_pytorch<Format>(x, add);
    return Rows(by_pytorch(x.handle, add == nullptr ? nullptr : add->handle), x.rows, panels.out);
  }

 private:
  Handle by_pytorch(Handle x, Handle add) const {
    Handle made = nullptr, bias = this->bias;
    const char* form = this->form;
    require(add == nullptr
                ? aoti_torch_cpu__linear_pointwise(x, weight, &bias, activation, nullptr, 0, &form, &made)
                : aoti_torch_cpu__linear_pointwise_binary(x, add, weight, &bias, "add", &made));
    return made;
  }

  // PyTorch's product has one scale for all rows: it gives the sums, as float32.
  template <class Format>
  Rows whole_by_pytorch(const Rows& x, const Rows* add) const {
    using Number = typename Format::Number;
    const auto from = native::quantized<Format>(*this, x);
    const int32_t type = native::Float32::kType;
    Handle made = nullptr;
    require(aoti_torch_cpu__qlinear_pointwise_tensor(from.bytes.handle, scale, zero, weight, weight_scales,
                                                     weight_zeros, nullptr, 1.0, 0, &type, "none", nullptr, 0, "",
                                                     &made));
    const Rows sums(made, x.rows, panels.out);
    Rows y(nullptr, x.rows, panels.out, Format::kType);
    native::finish_rows<Format>(panels, sums.template data<float>(), from.ranges.template data<float>(), x.rows,
                                add == nullptr ? nullptr : add->template data<Number>(), y.template data<Number>());
    return y;
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
                        const int64_t* starts, const int64_t* shared, int64_t depths, int64_t rows, int64_t wanted,\
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
  void quantize_##NAME(const FORMAT::Number* x, uint8_t* out, float* ranges, const float* factors, int64_t tokens, \
                       int64_t width) {                                                                            \
    quantize<FORMAT>(x, out, ranges, factors, tokens, width);                                                      \
  }                                                                                                                \
  int64_t multiply_##NAME(const Product* by, FORMAT::Number* x, FORMAT::Number* out, int64_t rows) {               \
    return tried([&] { multiply_into<FORMAT>(*by, x, out, rows); });                                               \
  }                                                                                                                \
  int64_t decode_##NAME(const DecoderBlock<Product>* const* blocks, FORMAT::Number* x,                             \
                        const Place<FORMAT::Number>* written, const int64_t* starts,                               \
                        const FORMAT::Number* const* texts, const int64_t* lengths, int64_t depths, int64_t rows) {\
    return tried([&] { decode<FORMAT>(blocks, x, {written, starts}, {texts, lengths}, depths, rows); });           \
  }                                                                                                                \
  int64_t spell_##NAME(const Speller<Product>* by, FORMAT::Number* x, float* out, int64_t rows) {                  \
    return tried([&] { spell<FORMAT>(*by, x, out, rows); });                                                       \
  }

extern "C" {
int64_t panel_columns() { return kPanel; }
ALBERT_KERNELS(float32, Float32)
#ifdef __AVX512BF16__
ALBERT_KERNELS(bfloat16, BFloat16)
#endif
}
