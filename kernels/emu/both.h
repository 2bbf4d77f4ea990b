// Compiles one topic of handlers for both instruction sets. Before: isa.h; EMU_TOPIC, the header; EMU_NAME, its select function
// without `select_`.
#define EMU_CONCAT2(a, b) a##b
#define EMU_CONCAT(a, b) EMU_CONCAT2(a, b)

namespace emu::avx2 {
namespace {
#include "lanes.h"
#include EMU_TOPIC
}  // namespace
Handler EMU_NAME(const Key &k) { return EMU_CONCAT(select_, EMU_NAME)(k); }
}  // namespace emu::avx2

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,prefer-vector-width=512")
namespace emu::avx512 {
namespace {
#include "lanes.h"
#include EMU_TOPIC
}  // namespace
Handler EMU_NAME(const Key &k) { return EMU_CONCAT(select_, EMU_NAME)(k); }
}  // namespace emu::avx512
#pragma GCC pop_options
