// What one set of instructions computes: the encoder of src/albert/compute/kernels, compiled for it.
#pragma once

#include <cstdint>
#include <string>

#include "blocks.h"

namespace albert::lite {

enum class Precision { kFloat32, kBFloat16 };  // of products, and of the values between layers

struct Kernels {
  const char* name;
  bool (*here)();        // whether this processor has the instructions
  int64_t lanes, panel;  // all widths are multiples of `lanes`; weights lie in panels of so many columns
  bool bfloat16;         // multiplies bfloat16
  bool whole;            // multiplies int8 faster than other numbers
  float greatest;        // of weights in int8

  // As in encoder.h. `x` and `out` are numbers of the precision.
  void (*embed)(Precision, const Embedding<Linear>& tables, const int64_t* ids, const int64_t* types,
                const int64_t* starts, void* out, int64_t texts);
  void (*encode)(Precision, const Block<Linear>* const* blocks, void* x, void* out, const int64_t* starts,
                 int64_t depths, int64_t wanted, int64_t texts, bool first_only);
  void (*multiply)(const Panels& by, const float* x, int64_t rows, float* out);
};

// The fastest kernels of this processor, or those of a name, for widths that are multiples of `widths`.
//
// Throws `Error` (usage) for a name that is unknown, or instructions that are missing or too wide.
const Kernels& choose_kernels(const std::string& name, int64_t widths);

}  // namespace albert::lite
