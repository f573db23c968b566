// Registers of float32 and what is done with them: one name for each operation, in the widest form of this compilation.
//
// albert-lite compiles all of this several times, for several processors. Each time has a namespace of its own, since
// the linker keeps one of several inline functions that have the same name.
#pragma once

#ifndef ALBERT_ISA
#define ALBERT_ISA native
#endif

#if defined(__AVX512F__)
#include "avx512.h"
#elif defined(__AVX2__) && defined(__FMA__)
#include "avx2.h"
#else
#include "portable.h"
#endif
