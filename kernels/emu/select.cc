// Which topic an instruction belongs to, and which instruction set this machine has.
#include "program.h"

namespace emu {

#define EMU_TOPICS(F) F(control) F(integer) F(floating) F(compare) F(convert) F(memory) F(atomic) F(warp) F(matrix)
#define EMU_DECLARE(name) Handler name(const Key &k);
namespace avx2 {
EMU_TOPICS(EMU_DECLARE)
}
namespace avx512 {
EMU_TOPICS(EMU_DECLARE)
}
#undef EMU_DECLARE

bool narrow_lanes = false;

namespace {

struct Topics {
#define EMU_POINTER(name) Handler (*name)(const Key &k);
  EMU_TOPICS(EMU_POINTER)
#undef EMU_POINTER
};

#define EMU_AVX2(name) avx2::name,
#define EMU_AVX512(name) avx512::name,
constexpr Topics kAvx2 = {EMU_TOPICS(EMU_AVX2)}, kAvx512 = {EMU_TOPICS(EMU_AVX512)};
#undef EMU_AVX2
#undef EMU_AVX512

const Topics &topics() {
  static const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  return wide && !narrow_lanes ? kAvx512 : kAvx2;
}

}  // namespace

Handler select_handler(const Key &k) {
  const Topics &t = topics();
  switch (k.op) {
    case Op::Bra: case Op::Brx: case Op::Exit: case Op::Trap: case Op::Fence: case Op::Enter: case Op::Guarded:
      return t.control(k);
    case Op::Ld: case Op::St: return t.memory(k);
    case Op::Atom: case Op::Red: return t.atomic(k);
    case Op::Setp: case Op::Set: case Op::Testp: return t.compare(k);
    case Op::Cvt: case Op::Resize: return t.convert(k);
    case Op::Shfl: case Op::Vote: case Op::Match: case Op::Redux: case Op::Activemask: case Op::BarWarp: case Op::Bar:
      return t.warp(k);
    case Op::Ldmatrix: case Op::Mma: case Op::CpAsync: case Op::CpCommit: case Op::CpWait: return t.matrix(k);
    case Op::Mov: case Op::Selp: case Op::And: case Op::Or: case Op::Xor: case Op::Not: case Op::Slct: return t.integer(k);
    default: break;
  }
  switch (k.type) {
    case Type::F32: case Type::F64: return t.floating(k);
    case Type::F16: case Type::BF16: case Type::F16x2: case Type::BF16x2: case Type::TF32: return nullptr;
    default: return k.round == Round::None && !k.has(kFtz) ? t.integer(k) : nullptr;
  }
}

}  // namespace emu
