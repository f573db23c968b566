// The kernels for one set of instructions: CMake compiles this file for each of them, with its flags and ALBERT_ISA.
#include "encoder.h"
#include "kernels.h"

#define ALBERT_NAME_OF(isa) #isa
#define ALBERT_NAME(isa) ALBERT_NAME_OF(isa)
#define ALBERT_KERNELS_OF(isa) kKernels_##isa
#define ALBERT_KERNELS(isa) ALBERT_KERNELS_OF(isa)

namespace albert::ALBERT_ISA {

// Memory that is used again from product to product: fresh memory costs page faults.
class Pool {
 public:
  ~Pool() {
    for (Piece* piece = first; piece != nullptr;) {
      Piece* next = piece->next;
      std::free(piece);
      piece = next;
    }
  }

  void* take(int64_t size) {
    Piece* best = nullptr;
    for (Piece* piece = first; piece != nullptr; piece = piece->next)
      if (!piece->taken && piece->size >= size && (best == nullptr || piece->size < best->size)) best = piece;
    if (best == nullptr) {
      void* memory = std::malloc(kHead + size);
      if (memory == nullptr) throw std::bad_alloc();
      best = first = new (memory) Piece{first, size, true};
    }
    best->taken = true;
    return reinterpret_cast<char*>(best) + kHead;
  }

  static void give(void* memory) { reinterpret_cast<Piece*>(static_cast<char*>(memory) - kHead)->taken = false; }

 private:
  struct Piece {
    Piece* next;
    int64_t size;
    bool taken;
  };
  static constexpr int64_t kHead = 64;
  Piece* first = nullptr;
};

static thread_local Pool* pool = nullptr;  // of the call under way

class Rows {
 public:
  Rows(void* data, int64_t rows, int64_t width, int32_t type)
      : rows(rows), width(width), taken(data == nullptr), memory(data) {
    const int64_t size = type == kUInt8 ? 1 : type == Float32::kType ? 4 : 2;
    if (taken) memory = pool->take(rows * width * size);
  }
  Rows(const Rows&) = delete;
  Rows(Rows&& other) : rows(other.rows), width(other.width), taken(other.taken), memory(other.memory) {
    other.taken = false;
  }
  ~Rows() {
    if (taken) Pool::give(memory);
  }

  template <class Number>
  Number* data() const {
    return static_cast<Number*>(memory);
  }

  const int64_t rows, width;

 private:
  bool taken;
  void* memory;
};

// A linear layer with our products. It adds nothing to `Linear`, which the rest of the library fills.
struct Product : Linear {
  using Rows = ALBERT_ISA::Rows;

  template <class Format>
  Rows apply(const Rows& x, const Rows* add = nullptr) const {
    return multiply_by<Format>(*this, x, add);
  }
};

template <class Work>
static void with_pool(const Work& work) {
  Pool own;
  Pool* const before = pool;
  pool = &own;
  try {
    work();
  } catch (...) {
    pool = before;
    throw;
  }
  pool = before;
}

template <class Work>
static void in_format(lite::Precision precision, const Work& work) {
  with_pool([&] {
#ifdef __AVX512BF16__
    if (precision == lite::Precision::kBFloat16) return work(BFloat16());
#endif
    (void)precision;
    return work(Float32());
  });
}

static void embed_texts(lite::Precision precision, const Embedding<Linear>& tables, const int64_t* ids,
                        const int64_t* types, const int64_t* starts, void* out, int64_t texts) {
  in_format(precision, [&](auto format) {
    using Format = decltype(format);
    embed<Format>(reinterpret_cast<const Embedding<Product>&>(tables), ids, types, starts,
                  static_cast<typename Format::Number*>(out), texts, starts[texts]);
  });
}

static void encode(lite::Precision precision, const Block<Linear>* const* blocks, void* x, void* out,
                   const int64_t* starts, int64_t depths, int64_t wanted, int64_t texts, bool first_only) {
  in_format(precision, [&](auto format) {
    using Format = decltype(format);
    run_blocks<Format>(reinterpret_cast<const Block<Product>* const*>(blocks), static_cast<typename Format::Number*>(x),
                       static_cast<typename Format::Number*>(out), starts, nullptr, depths, starts[texts], wanted,
                       texts, first_only, -1);
  });
}

static void multiply_floats(const Panels& by, const float* x, int64_t rows, float* out) {
  multiply_rows<Float32, Float32>(by, x, nullptr, rows, nullptr, out);
}

static bool here() {
#ifdef ALBERT_NEEDS
  return ALBERT_NEEDS;
#else
  return true;
#endif
}

}  // namespace albert::ALBERT_ISA

namespace albert::lite {

#ifdef __AVX512BF16__
constexpr bool kHasBFloat16 = true;
#else
constexpr bool kHasBFloat16 = false;
#endif
#if defined(__AVX512VNNI__) || (defined(__AVX2__) && !defined(__AVX512F__)) || defined(__wasm_simd128__)
constexpr bool kHasWhole = true;
#else
constexpr bool kHasWhole = false;
#endif

extern const Kernels ALBERT_KERNELS(ALBERT_ISA);
const Kernels ALBERT_KERNELS(ALBERT_ISA) = {ALBERT_NAME(ALBERT_ISA),
                                            albert::ALBERT_ISA::here,
                                            albert::ALBERT_ISA::kLanes,
                                            albert::ALBERT_ISA::kPanel,
                                            kHasBFloat16,
                                            kHasWhole,
                                            albert::ALBERT_ISA::kGreatest,
                                            albert::ALBERT_ISA::embed_texts,
                                            albert::ALBERT_ISA::encode,
                                            albert::ALBERT_ISA::multiply_floats};

}  // namespace albert::lite
