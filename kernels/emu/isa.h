// What the translation units of the instruction sets share. Headers come before any target pragma, so that no inline function of
// theirs is compiled for an instruction set that the machine may lack.
#pragma once
#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include "warp.h"
