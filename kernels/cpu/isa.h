// What the translation units of the instruction sets share. Standard headers come before any target pragma, so that no inline
// function of theirs is compiled for an instruction set that the machine may lack.
#pragma once
#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "tw.h"

extern int tw_threads;

struct tw_table {
#define TW_FIELD(name, args) void (*name)(const args *);
  TW_OPS(TW_FIELD)
#undef TW_FIELD
};

extern const tw_table tw_avx2, tw_avx512;
