#include "kernels.h"

#include "error.h"

namespace albert::lite {

#ifdef ALBERT_X86
extern const Kernels kKernels_avx512bf16, kKernels_avx512vnni, kKernels_avx512, kKernels_avx2;
#endif
extern const Kernels kKernels_portable, kKernels_scalar;

// The widest first.
static const Kernels* const kAll[] = {
#ifdef ALBERT_X86
    &kKernels_avx512bf16, &kKernels_avx512vnni, &kKernels_avx512, &kKernels_avx2,
#endif
    &kKernels_portable,   &kKernels_scalar};

const Kernels& choose_kernels(const std::string& name, int64_t widths) {
  std::string known;
  for (const Kernels* each : kAll) {
    const bool usable = each->here() && widths % each->lanes == 0;
    if (usable && (name.empty() || name == each->name)) return *each;
    if (usable) known += (known.empty() ? "" : ", ") + std::string(each->name);
  }
  fail(Kind::kUsage, "instructions", {"one of " + known + " for this processor and network", name, ""});
}

}  // namespace albert::lite
