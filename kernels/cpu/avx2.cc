// The kernels for AVX2.
#include "isa.h"
#pragma GCC optimize("no-math-errno")  // sqrt is vectorised only without errno
#pragma GCC target("avx2,fma")
#define TW_ISA avx2
#define TW_LANES 8  // floats of a vector
#include "kernels.h"

const tw_table tw_avx2 = {
#define TW_ENTRY(name, args) avx2::name,
    TW_OPS(TW_ENTRY)
#undef TW_ENTRY
};
