// The kernels for AVX512.
#include "isa.h"
#pragma GCC optimize("no-math-errno")  // sqrt is vectorised only without errno
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TW_ISA avx512
#define TW_LANES 16  // floats of a vector
#include "kernels.h"

const tw_table tw_avx512 = {
#define TW_ENTRY(name, args) avx512::name,
    TW_OPS(TW_ENTRY)
#undef TW_ENTRY
};
