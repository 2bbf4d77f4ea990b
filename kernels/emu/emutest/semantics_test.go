package emutest

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
)

// op is an instruction with rows of operand bits and, last, the result's bits. Registers: %a %b %c %e of the types in, %d of out.
type op struct {
	ptx  string
	in   string // types, separated by spaces
	out  string
	rows [][]uint64
}

func f(x float32) uint64 { return uint64(math.Float32bits(x)) }
func d(x float64) uint64 { return math.Float64bits(x) }
func s(x int32) uint64   { return uint64(uint32(x)) }
func s64(x int64) uint64 { return uint64(x) }
func sh(x int16) uint64  { return uint64(uint16(x)) }

const (
	qnan   = 0x7fffffff
	inf    = 0x7f800000
	ninf   = 0xff800000
	tiny   = 0x00000001 // smallest subnormal
	minSub = 0x807fffff // largest negative subnormal
	dnan   = 0x7fffffffffffffff
)

// The expected values are worked out by hand from the semantics in the PTX ISA, sections "Integer Arithmetic Instructions",
// "Floating Point Instructions", "Comparison and Selection", "Logic and Shift", "Data Movement and Conversion".
var ops = []op{
	{"add.s32 %d, %a, %b;", "b32 b32", "b32", [][]uint64{{1, 2, 3}, {0xffffffff, 1, 0}, {0x7fffffff, 1, 0x80000000}}},
	{"add.sat.s32 %d, %a, %b;", "b32 b32", "b32", [][]uint64{{0x7fffffff, 1, 0x7fffffff}, {0x80000000, 0xffffffff, 0x80000000}, {5, s(-7), s(-2)}}},
	{"sub.sat.s32 %d, %a, %b;", "b32 b32", "b32", [][]uint64{{0x80000000, 1, 0x80000000}, {0x7fffffff, s(-1), 0x7fffffff}}},
	{"add.u16 %d, %a, %b;", "b16 b16", "b16", [][]uint64{{0xffff, 2, 1}}},
	{"add.s64 %d, %a, %b;", "b64 b64", "b64", [][]uint64{{1<<64 - 1, 2, 1}}},
	{"sub.s32 %d, %a, %b;", "b32 b32", "b32", [][]uint64{{0, 1, 0xffffffff}}},
	{"mul.lo.s32 %d, %a, %b;", "b32 b32", "b32", [][]uint64{{0x10000, 0x10000, 0}, {s(-3), 7, s(-21)}}},
	{"mul.hi.s32 %d, %a, %b;", "b32 b32", "b32", [][]uint64{{s(-1), 1, s(-1)}, {0x40000000, 4, 1}, {0x80000000, 0x80000000, 0x40000000}}},
	{"mul.hi.u32 %d, %a, %b;", "b32 b32", "b32", [][]uint64{{0xffffffff, 0xffffffff, 0xfffffffe}}},
	{"mul.hi.s64 %d, %a, %b;", "b64 b64", "b64", [][]uint64{{s64(-1), 1, s64(-1)}, {1 << 62, 4, 1}}},
	{"mul.hi.u64 %d, %a, %b;", "b64 b64", "b64", [][]uint64{{1<<64 - 1, 1<<64 - 1, 1<<64 - 2}}},
	{"mul.lo.s16 %d, %a, %b;", "b16 b16", "b16", [][]uint64{{sh(-3), 7, sh(-21)}, {0x100, 0x100, 0}}},
	{"mul.wide.s32 %d, %a, %b;", "b32 b32", "b64", [][]uint64{{s(-2), 3, s64(-6)}, {0x80000000, 0x80000000, 1 << 62}}},
	{"mul.wide.u32 %d, %a, %b;", "b32 b32", "b64", [][]uint64{{0xffffffff, 0xffffffff, 0xfffffffe00000001}}},
	{"mul.wide.s16 %d, %a, %b;", "b16 b16", "b32", [][]uint64{{sh(-2), 3, s(-6)}}},
	{"mul.wide.u16 %d, %a, %b;", "b16 b16", "b32", [][]uint64{{0xffff, 0xffff, 0xfffe0001}}},
	{"mad.lo.s32 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{s(-3), 7, 1, s(-20)}}},
	{"mad.hi.u32 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{0xffffffff, 0xffffffff, 2, 0}}},
	{"mad.wide.s32 %d, %a, %b, %c;", "b32 b32 b64", "b64", [][]uint64{{s(-2), 3, 10, 4}}},
	{"mad.wide.u32 %d, %a, %b, %c;", "b32 b32 b64", "b64", [][]uint64{{0xffffffff, 2, 1, 0x1ffffffff}}},
	{"div.s32 %d, %a, %b;", "b32 b32", "b32", [][]uint64{{s(-7), 2, s(-3)}, {7, s(-2), s(-3)}, {0x80000000, s(-1), 0x80000000}}},
	{"rem.s32 %d, %a, %b;", "b32 b32", "b32", [][]uint64{{s(-7), 2, s(-1)}, {7, s(-2), 1}, {0x80000000, s(-1), 0}}},
	{"div.u32 %d, %a, %b;", "b32 b32", "b32", [][]uint64{{0xfffffffe, 2, 0x7fffffff}}},
	{"rem.u64 %d, %a, %b;", "b64 b64", "b64", [][]uint64{{1<<64 - 1, 10, 5}}},
	{"abs.s32 %d, %a;", "b32", "b32", [][]uint64{{s(-5), 5}, {0x80000000, 0x80000000}}},
	{"neg.s32 %d, %a;", "b32", "b32", [][]uint64{{5, s(-5)}}},
	{"min.s32 %d, %a, %b;", "b32 b32", "b32", [][]uint64{{s(-1), 1, s(-1)}}},
	{"min.u32 %d, %a, %b;", "b32 b32", "b32", [][]uint64{{s(-1), 1, 1}}},
	{"max.s64 %d, %a, %b;", "b64 b64", "b64", [][]uint64{{s64(-1), 1, 1}}},
	{"max.u16 %d, %a, %b;", "b16 b16", "b16", [][]uint64{{0xffff, 1, 0xffff}}},
	{"sad.s32 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{s(-3), 4, 10, 17}}},
	{"sad.u32 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{9, 4, 10, 15}}},
	{"popc.b32 %d, %a;", "b32", "b32", [][]uint64{{0xf0f0, 8}, {0, 0}}},
	{"popc.b64 %d, %a;", "b64", "b32", [][]uint64{{1<<63 | 1, 2}}},
	{"clz.b32 %d, %a;", "b32", "b32", [][]uint64{{0, 32}, {1, 31}, {0x80000000, 0}}},
	{"clz.b64 %d, %a;", "b64", "b32", [][]uint64{{0, 64}, {1, 63}}},
	{"bfind.u32 %d, %a;", "b32", "b32", [][]uint64{{0, 0xffffffff}, {1, 0}, {0x80000001, 31}}},
	{"bfind.s32 %d, %a;", "b32", "b32", [][]uint64{{s(-1), 0xffffffff}, {s(-2), 0}, {4, 2}}},
	{"bfind.shiftamt.u32 %d, %a;", "b32", "b32", [][]uint64{{1, 31}, {0x80000000, 0}, {0, 0xffffffff}}},
	{"bfind.u64 %d, %a;", "b64", "b32", [][]uint64{{1 << 40, 40}}},
	{"brev.b32 %d, %a;", "b32", "b32", [][]uint64{{1, 0x80000000}, {0x12345678, 0x1e6a2c48}}},
	{"brev.b64 %d, %a;", "b64", "b64", [][]uint64{{1, 1 << 63}}},
	{"bfe.u32 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{0x12345678, 8, 8, 0x56}, {0xffffffff, 28, 8, 0xf}, {0xffffffff, 32, 4, 0}, {0xffffffff, 4, 0, 0}, {0xabcd, 0, 32, 0xabcd}, {0xff, 256, 4, 0xf}}},
	// Sign: bit min(pos + len - 1, 31); past the end all bits are the sign.
	{"bfe.s32 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{0x0000f000, 12, 4, 0xffffffff}, {0x00007000, 12, 4, 7}, {0x80000000, 28, 8, 0xfffffff8}, {0x80000000, 40, 8, 0xffffffff}, {0x80000000, 31, 0, 0}}},
	{"bfe.u64 %d, %a, %b, %c;", "b64 b32 b32", "b64", [][]uint64{{1<<64 - 1, 60, 8, 0xf}, {0x123456789abcdef0, 4, 64, 0x0123456789abcdef}}},
	{"bfi.b32 %d, %a, %b, %c, %e;", "b32 b32 b32 b32", "b32", [][]uint64{{0xf, 0, 4, 4, 0xf0}, {0, 0xffffffff, 28, 8, 0x0fffffff}, {0xff, 0x12345678, 32, 8, 0x12345678}, {0xff, 0x12345678, 4, 0, 0x12345678}, {0xabcdef01, 0, 0, 32, 0xabcdef01}}},
	{"bfi.b64 %d, %a, %b, %c, %e;", "b64 b64 b32 b32", "b64", [][]uint64{{0xff, 0, 60, 8, 0xf << 60}}},
	{"shl.b32 %d, %a, %b;", "b32 b32", "b32", [][]uint64{{1, 31, 0x80000000}, {1, 32, 0}, {0xffffffff, 0xffffffff, 0}}},
	{"shl.b64 %d, %a, %b;", "b64 b32", "b64", [][]uint64{{1, 63, 1 << 63}, {1, 64, 0}}},
	{"shl.b16 %d, %a, %b;", "b16 b32", "b16", [][]uint64{{1, 15, 0x8000}, {1, 16, 0}}},
	{"shr.u32 %d, %a, %b;", "b32 b32", "b32", [][]uint64{{0x80000000, 31, 1}, {0x80000000, 32, 0}, {0x80000000, 1 << 31, 0}}},
	{"shr.s32 %d, %a, %b;", "b32 b32", "b32", [][]uint64{{0x80000000, 31, 0xffffffff}, {0x80000000, 32, 0xffffffff}, {0x7fffffff, 40, 0}}},
	{"shr.s64 %d, %a, %b;", "b64 b32", "b64", [][]uint64{{1 << 63, 100, 1<<64 - 1}}},
	{"shf.l.wrap.b32 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{0x80000000, 1, 1, 3}, {0x12345678, 0x9abcdef0, 32, 0x9abcdef0}}},
	{"shf.l.clamp.b32 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{0x12345678, 0x9abcdef0, 32, 0x12345678}, {0x12345678, 0x9abcdef0, 99, 0x12345678}}},
	{"shf.r.wrap.b32 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{0x80000000, 1, 1, 0xc0000000}, {7, 9, 32, 7}}},
	{"shf.r.clamp.b32 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{7, 9, 32, 9}}},
	{"lop3.b32 %d, %a, %b, %c, 0x80;", "b32 b32 b32", "b32", [][]uint64{{0xff00, 0x0ff0, 0x3c3c, 0x0c00}}},                // and
	{"lop3.b32 %d, %a, %b, %c, 0xfe;", "b32 b32 b32", "b32", [][]uint64{{0xf000, 0x0f00, 0x0001, 0xff01}}},                // or
	{"lop3.b32 %d, %a, %b, %c, 0x96;", "b32 b32 b32", "b32", [][]uint64{{0xff, 0x0f, 0x55, 0xa5}}},                        // xor
	{"lop3.b32 %d, %a, %b, %c, 0xca;", "b32 b32 b32", "b32", [][]uint64{{0xff00, 0x1234, 0x5678, 0x1278}}},                // a ? b : c
	{"lop3.b32 %d, %a, %b, %c, 0x1a;", "b32 b32 b32", "b32", [][]uint64{{0x0f0f0f0f, 0x00ff00ff, 0x0000ffff, 0xf00f0f0}}}, // bit 4a+2b+c of the table
	{"prmt.b32 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{0x33221100, 0x77665544, 0x7531, 0x77553311}, {0x00000080, 0, 0x8888, 0xffffffff}, {0x00000070, 0, 0x8888, 0}, {0x33221100, 0x77665544, 0x3210, 0x33221100}}},
	{"prmt.b32.f4e %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{0x33221100, 0x77665544, 1, 0x44332211}, {0x33221100, 0x77665544, 3, 0x66554433}}},
	{"prmt.b32.b4e %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{0x33221100, 0x77665544, 0, 0x55667700}, {0x33221100, 0x77665544, 3, 0x00112233}}},
	{"prmt.b32.rc8 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{0x33221100, 0, 2, 0x22222222}}},
	{"prmt.b32.ecl %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{0x33221100, 0, 2, 0x33222222}}},
	{"prmt.b32.ecr %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{0x33221100, 0, 1, 0x11111100}}},
	{"prmt.b32.rc16 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{0x33221100, 0, 1, 0x33223322}, {0x33221100, 0, 0, 0x11001100}}},
	{"dp4a.s32.s32 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{0xff020304, 0x01010101, 10, 18}}},
	{"dp4a.u32.u32 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{0xff020304, 0x01010101, 0, 264}}},
	{"slct.b32.s32 %d, %a, %b, %c;", "b32 b32 b32", "b32", [][]uint64{{1, 2, 0, 1}, {1, 2, s(-1), 2}}},
	{"slct.b32.f32 %d, %a, %b, %c;", "b32 b32 f32", "b32", [][]uint64{{1, 2, 0x80000000, 1}, {1, 2, qnan, 2}}},
	{"selp.b32 %d, %a, %b, %c;", "b32 b32 pred", "b32", [][]uint64{{1, 2, 1, 1}, {1, 2, 0, 2}}},
	{"cnot.b32 %d, %a;", "b32", "b32", [][]uint64{{0, 1}, {7, 0}}},

	{"add.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{f(1), f(0x1p-24), f(1)}, {f(1), f(0x1.8p-24), f(1 + 0x1p-23)}, {tiny, tiny, 2}}},
	{"add.rz.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{f(1), f(0x1.8p-24), f(1)}, {f(-1), f(-0x1.8p-24), f(-1)}}},
	{"add.rm.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{f(-1), f(-0x1p-30), f(-1 - 0x1p-23)}, {f(1), f(0x1p-30), f(1)}}},
	{"add.rp.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{f(1), f(0x1p-30), f(1 + 0x1p-23)}, {f(-1), f(-0x1p-30), f(-1)}}},
	{"add.ftz.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{tiny, f(0), 0}, {minSub, 0x80000000, 0x80000000}, {f(1), tiny, f(1)}}},
	{"add.sat.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{f(1), f(1), f(1)}, {f(-1), f(0.5), 0}, {f(0.25), f(0.5), f(0.75)}, {qnan, f(1), 0}}},
	{"mul.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{f(3), f(-2), f(-6)}, {0x00800000, f(0.5), 0x00400000}}},
	{"mul.ftz.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{0x00800000, f(0.5), 0}, {0x80800000, f(0.5), 0x80000000}}},
	// (1 + 2^-12)^2 - 1 needs the unrounded product.
	{"fma.rn.f32 %d, %a, %b, %c;", "f32 f32 f32", "f32", [][]uint64{{f(1 + 0x1p-12), f(1 + 0x1p-12), f(-1), f(0x1p-11 + 0x1p-24)}}},
	{"fma.rz.f32 %d, %a, %b, %c;", "f32 f32 f32", "f32", [][]uint64{{f(1), f(1), f(0x1.8p-24), f(1)}}},
	{"fma.rm.f32 %d, %a, %b, %c;", "f32 f32 f32", "f32", [][]uint64{{f(-1), f(1), f(-0x1p-40), f(-1 - 0x1p-23)}}},
	{"fma.rn.sat.f32 %d, %a, %b, %c;", "f32 f32 f32", "f32", [][]uint64{{f(2), f(2), f(2), f(1)}}},
	{"fma.rn.f64 %d, %a, %b, %c;", "f64 f64 f64", "f64", [][]uint64{{d(1 + 0x1p-30), d(1 + 0x1p-30), d(-1), d(0x1p-29 + 0x1p-60)}}},
	{"add.f64 %d, %a, %b;", "f64 f64", "f64", [][]uint64{{d(0.1), d(0.2), d(0.30000000000000004)}}},
	{"div.rn.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{f(1), f(3), 0x3eaaaaab}, {f(1), 0, inf}, {f(-1), 0, ninf}}},
	{"div.rz.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{f(1), f(3), 0x3eaaaaaa}}},
	{"div.approx.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{f(6), f(3), f(2)}, {f(1), f(0x1p127), 0}}},
	{"div.full.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{f(6), f(3), f(2)}, {f(1), f(0x1p127), f(0x1p-127)}}},
	{"div.rn.f64 %d, %a, %b;", "f64 f64", "f64", [][]uint64{{d(1), d(3), 0x3fd5555555555555}}},
	{"sqrt.rn.f32 %d, %a;", "f32", "f32", [][]uint64{{f(2), 0x3fb504f3}, {0x80000000, 0x80000000}}},
	{"sqrt.rp.f32 %d, %a;", "f32", "f32", [][]uint64{{f(2), 0x3fb504f4}}},
	{"sqrt.rn.f64 %d, %a;", "f64", "f64", [][]uint64{{d(2), 0x3ff6a09e667f3bcd}}},
	{"rcp.rn.f32 %d, %a;", "f32", "f32", [][]uint64{{f(3), 0x3eaaaaab}, {f(-0x1p-2), f(-4)}}},
	{"rcp.approx.ftz.f64 %d, %a;", "f64", "f64", [][]uint64{{d(3), 0x3fd5555500000000}, {d(2), d(0.5)}}},
	{"neg.f32 %d, %a;", "f32", "f32", [][]uint64{{f(1), f(-1)}, {0, 0x80000000}}},
	{"abs.f32 %d, %a;", "f32", "f32", [][]uint64{{f(-1), f(1)}, {0x80000000, 0}}},
	{"abs.ftz.f32 %d, %a;", "f32", "f32", [][]uint64{{minSub, 0}}},
	{"min.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{qnan, f(1), f(1)}, {f(1), qnan, f(1)}, {0, 0x80000000, 0x80000000}, {0x80000000, 0, 0x80000000}, {f(2), f(-3), f(-3)}}},
	{"max.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{qnan, f(1), f(1)}, {f(1), qnan, f(1)}, {0, 0x80000000, 0}, {0x80000000, 0, 0}, {f(2), ninf, f(2)}}},
	{"min.NaN.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{qnan, f(1), qnan}, {f(1), qnan, qnan}}},
	{"max.NaN.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{qnan, f(1), qnan}, {f(3), f(1), f(3)}}},
	{"max.f64 %d, %a, %b;", "f64 f64", "f64", [][]uint64{{dnan, d(1), d(1)}, {d(0), 1 << 63, 0}}},
	{"copysign.f32 %d, %a, %b;", "f32 f32", "f32", [][]uint64{{f(-1), f(3), f(-3)}}}, // the sign of a, the rest of b
	{"testp.subnormal.f32 %d, %a;", "f32", "pred", [][]uint64{{tiny, 1}, {0, 0}, {f(1), 0}}},
	{"testp.notanumber.f32 %d, %a;", "f32", "pred", [][]uint64{{qnan, 1}, {inf, 0}}},
	{"testp.finite.f64 %d, %a;", "f64", "pred", [][]uint64{{d(1), 1}, {d(math.Inf(1)), 0}}},

	{"setp.lt.f32 %d, %a, %b;", "f32 f32", "pred", [][]uint64{{f(1), f(2), 1}, {qnan, f(2), 0}, {f(1), qnan, 0}, {f(2), f(1), 0}}},
	{"setp.ltu.f32 %d, %a, %b;", "f32 f32", "pred", [][]uint64{{qnan, f(2), 1}, {f(2), f(1), 0}}},
	{"setp.ne.f32 %d, %a, %b;", "f32 f32", "pred", [][]uint64{{qnan, qnan, 0}, {f(1), f(2), 1}, {0, 0x80000000, 0}}},
	{"setp.neu.f32 %d, %a, %b;", "f32 f32", "pred", [][]uint64{{qnan, qnan, 1}}},
	{"setp.equ.f32 %d, %a, %b;", "f32 f32", "pred", [][]uint64{{qnan, f(1), 1}, {f(2), f(1), 0}, {0, 0x80000000, 1}}},
	{"setp.geu.f64 %d, %a, %b;", "f64 f64", "pred", [][]uint64{{dnan, d(1), 1}, {d(0), d(1), 0}}},
	{"setp.num.f32 %d, %a, %b;", "f32 f32", "pred", [][]uint64{{f(1), f(2), 1}, {f(1), qnan, 0}}},
	{"setp.nan.f32 %d, %a, %b;", "f32 f32", "pred", [][]uint64{{f(1), f(2), 0}, {f(1), qnan, 1}}},
	{"setp.eq.ftz.f32 %d, %a, %b;", "f32 f32", "pred", [][]uint64{{tiny, minSub, 1}}},
	{"setp.lo.u32 %d, %a, %b;", "b32 b32", "pred", [][]uint64{{1, 0xffffffff, 1}}},
	{"setp.lt.s32 %d, %a, %b;", "b32 b32", "pred", [][]uint64{{1, 0xffffffff, 0}}},
	{"setp.hs.u64 %d, %a, %b;", "b64 b64", "pred", [][]uint64{{1<<64 - 1, 0, 1}}},
	{"setp.gt.s16 %d, %a, %b;", "b16 b16", "pred", [][]uint64{{0x8000, 1, 0}}},
	{"setp.lt.and.s32 %d, %a, %b, %c;", "b32 b32 pred", "pred", [][]uint64{{1, 2, 1, 1}, {1, 2, 0, 0}}},
	{"setp.lt.or.s32 %d, %a, %b, !%c;", "b32 b32 pred", "pred", [][]uint64{{2, 1, 1, 0}, {2, 1, 0, 1}}},
	{"setp.lt.xor.s32 %d, %a, %b, %c;", "b32 b32 pred", "pred", [][]uint64{{1, 2, 1, 0}, {1, 2, 0, 1}}},
	{"setp.lt.s32 %q|%d, %a, %b;", "b32 b32", "pred", [][]uint64{{1, 2, 0}, {2, 1, 1}}},
	{"setp.lt.and.s32 %q|%d, %a, %b, %c;", "b32 b32 pred", "pred", [][]uint64{{2, 1, 1, 1}, {2, 1, 0, 0}, {1, 2, 1, 0}}},
	{"set.lt.u32.f32 %d, %a, %b;", "f32 f32", "b32", [][]uint64{{f(1), f(2), 0xffffffff}, {f(3), f(2), 0}}},
	{"set.eq.f32.s32 %d, %a, %b;", "b32 b32", "f32", [][]uint64{{3, 3, f(1)}, {3, 2, 0}}},

	{"cvt.rni.s32.f32 %d, %a;", "f32", "b32", [][]uint64{{f(2.5), 2}, {f(3.5), 4}, {f(-2.5), s(-2)}, {f(3e9), 0x7fffffff}, {f(-3e9), 0x80000000}, {qnan, 0}, {inf, 0x7fffffff}, {f(2147483520), 2147483520}}},
	{"cvt.rzi.u32.f32 %d, %a;", "f32", "b32", [][]uint64{{f(2.9), 2}, {f(-1), 0}, {f(5e9), 0xffffffff}, {qnan, 0}, {f(4294967040), 4294967040}}},
	{"cvt.rzi.s64.f32 %d, %a;", "f32", "b64", [][]uint64{{f(-2.9), s64(-2)}, {f(1e20), 1<<63 - 1}, {f(-1e20), 1 << 63}}},
	{"cvt.rzi.u64.f64 %d, %a;", "f64", "b64", [][]uint64{{d(1.8e19), 18000000000000000000}, {d(2e19), 1<<64 - 1}, {d(-3), 0}}},
	{"cvt.rmi.s32.f64 %d, %a;", "f64", "b32", [][]uint64{{d(-2.1), s(-3)}, {d(1e10), 0x7fffffff}}},
	{"cvt.rpi.s32.f32 %d, %a;", "f32", "b32", [][]uint64{{f(2.1), 3}, {f(-2.9), s(-2)}}},
	{"cvt.rzi.u8.f32 %d, %a;", "f32", "b32", [][]uint64{{f(300), 255}, {f(-3), 0}}},
	{"cvt.rzi.s8.f32 %d, %a;", "f32", "b32", [][]uint64{{f(-300), s(-128)}, {f(-3), s(-3)}}},
	{"cvt.rni.f32.f32 %d, %a;", "f32", "f32", [][]uint64{{f(2.5), f(2)}, {f(-0.25), 0x80000000}}},
	{"cvt.rzi.f32.f32 %d, %a;", "f32", "f32", [][]uint64{{f(-2.75), f(-2)}}},
	{"cvt.rmi.f64.f64 %d, %a;", "f64", "f64", [][]uint64{{d(-2.25), d(-3)}}},
	{"cvt.sat.f32.f32 %d, %a;", "f32", "f32", [][]uint64{{f(2.5), f(1)}, {f(-2), 0}, {qnan, 0}}},
	{"cvt.ftz.f32.f32 %d, %a;", "f32", "f32", [][]uint64{{minSub, 0x80000000}}},
	{"cvt.rn.f32.s32 %d, %a;", "b32", "f32", [][]uint64{{16777217, f(16777216)}, {s(-3), f(-3)}}},
	{"cvt.rp.f32.s32 %d, %a;", "b32", "f32", [][]uint64{{16777217, f(16777218)}}},
	{"cvt.rz.f32.u32 %d, %a;", "b32", "f32", [][]uint64{{0xffffffff, 0x4f7fffff}}},
	{"cvt.rn.f32.u32 %d, %a;", "b32", "f32", [][]uint64{{0xffffffff, 0x4f800000}}},
	{"cvt.rn.f32.u64 %d, %a;", "b64", "f32", [][]uint64{{1<<64 - 1, 0x5f800000}, {1<<40 + 1<<16 + 1, f(0x1.000002p40)}}},
	{"cvt.rn.f64.s64 %d, %a;", "b64", "f64", [][]uint64{{1<<53 + 1, d(1 << 53)}, {s64(-5), d(-5)}}},
	{"cvt.rn.f32.f64 %d, %a;", "f64", "f32", [][]uint64{{d(0.1), f(0.1)}, {d(1 + 0x1p-24), f(1)}, {d(1e300), inf}}},
	{"cvt.rz.f32.f64 %d, %a;", "f64", "f32", [][]uint64{{d(0.1), 0x3dcccccc}}},
	{"cvt.f64.f32 %d, %a;", "f32", "f64", [][]uint64{{f(0.5), d(0.5)}, {tiny, d(0x1p-149)}}},
	{"cvt.s32.s8 %d, %a;", "b32", "b32", [][]uint64{{0x1280, s(-128)}, {0x127f, 127}}},
	{"cvt.u32.u8 %d, %a;", "b32", "b32", [][]uint64{{0x1280, 0x80}}},
	{"cvt.s64.s32 %d, %a;", "b32", "b64", [][]uint64{{s(-2), s64(-2)}}},
	{"cvt.u64.u32 %d, %a;", "b32", "b64", [][]uint64{{s(-2), 0xfffffffe}}},
	{"cvt.u32.u64 %d, %a;", "b64", "b32", [][]uint64{{0x123456789, 0x23456789}}},
	{"cvt.u16.u32 %d, %a;", "b32", "b16", [][]uint64{{0x12345678, 0x5678}}},
	{"cvt.s32.s16 %d, %a;", "b16", "b32", [][]uint64{{0x8000, 0xffff8000}}},
	{"cvt.u8.u32 %d, %a;", "b32", "b16", [][]uint64{{0x1ff, 0xff}}},
	{"cvt.s8.s32 %d, %a;", "b32", "b32", [][]uint64{{0x80, 0xffffff80}}},
	{"cvt.sat.u8.s32 %d, %a;", "b32", "b32", [][]uint64{{s(-1), 0}, {300, 255}}},
	{"cvt.sat.s16.s32 %d, %a;", "b32", "b32", [][]uint64{{40000, 32767}, {s(-40000), s(-32768)}}},
	{"cvt.rn.bf16x2.f32 %d, %a, %b;", "f32 f32", "b32", [][]uint64{{f(1), f(2), 0x3f804000}, {0x3f808000, 0x3f818000, 0x3f803f82}, {qnan, inf, 0x7fff7f80}}},
	{"cvt.rz.bf16x2.f32 %d, %a, %b;", "f32 f32", "b32", [][]uint64{{0x3f80ffff, 0xbf81ffff, 0x3f80bf81}}},
	{"cvt.rn.bf16.f32 %d, %a;", "f32", "b16", [][]uint64{{0x3f808000, 0x3f80}, {0x3f808001, 0x3f81}}},
	{"cvt.f32.bf16 %d, %a;", "b16", "f32", [][]uint64{{0x3f80, f(1)}}},
	{"cvt.rn.f16.f32 %d, %a;", "f32", "b16", [][]uint64{{f(1), 0x3c00}, {f(65520), 0x7c00}, {f(65519), 0x7bff}, {f(0x1p-24), 1}, {f(0x1p-25), 0}}},
	{"cvt.rn.f16x2.f32 %d, %a, %b;", "f32 f32", "b32", [][]uint64{{f(1), f(-2), 0x3c00c000}}},
	{"cvt.f32.f16 %d, %a;", "b16", "f32", [][]uint64{{0x3555, f(0x1.554p-2)}, {0x0001, f(0x1p-24)}}},
	{"cvt.rna.tf32.f32 %d, %a;", "f32", "b32", [][]uint64{{0x3f801000, 0x3f802000}, {0x3f800fff, 0x3f800000}, {0xbf801000, 0xbf802000}, {inf, inf}, {0x7f7fffff, inf}}},
	{"mov.b64 %d, {%a, %b};", "b32 b32", "b64", [][]uint64{{0x11111111, 0x22222222, 0x2222222211111111}}},
	{"mov.b32 %d, {%a, %b};", "b16 b16", "b32", [][]uint64{{0x1111, 0x2222, 0x22221111}}},
	{"mov.b64 {%q, %d}, %a;", "b64", "b32", [][]uint64{{0x2222222211111111, 0x22222222}}},
}

var operandNames = []string{"%a", "%b", "%c", "%e"}

func memoryType(t string) string { // what loads and stores a register of type t
	if t == "pred" {
		return "b32"
	}
	return t
}

// kernel reads a row per thread, executes the instruction and writes its result; every value has 8 bytes.
func (o op) kernel(name string) string {
	var b strings.Builder
	in := strings.Fields(o.in)
	fmt.Fprintf(&b, ".visible .entry %s(.param .u64 in, .param .u64 out)\n{\n.reg .b64 %%pi, %%po;\n.reg .b32 %%t, %%x;\n.reg .%s %%d;\n", name, o.out)
	if strings.Contains(o.ptx, "%q") {
		fmt.Fprintf(&b, ".reg .%s %%q;\n", o.out)
	}
	fmt.Fprintf(&b, "ld.param.u64 %%pi, [in];\nld.param.u64 %%po, [out];\nmov.u32 %%t, %%tid.x;\n")
	fmt.Fprintf(&b, "mad.wide.u32 %%pi, %%t, %d, %%pi;\nmad.wide.u32 %%po, %%t, 8, %%po;\n", 8*len(in))
	for i, t := range in {
		fmt.Fprintf(&b, ".reg .%s %s;\n", t, operandNames[i])
		if t == "pred" {
			fmt.Fprintf(&b, "ld.global.b32 %%x, [%%pi+%d];\nsetp.ne.b32 %s, %%x, 0;\n", 8*i, operandNames[i])
		} else {
			fmt.Fprintf(&b, "ld.global.%s %s, [%%pi+%d];\n", t, operandNames[i], 8*i)
		}
	}
	fmt.Fprintf(&b, "%s\n", o.ptx)
	if o.out == "pred" {
		fmt.Fprintf(&b, "selp.b32 %%x, 1, 0, %%d;\nst.global.b32 [%%po], %%x;\n")
	} else {
		fmt.Fprintf(&b, "st.global.%s [%%po], %%d;\n", memoryType(o.out))
	}
	b.WriteString("ret;\n}\n")
	return b.String()
}

// Instructions compute what the PTX ISA says, with a few lanes and with full warps, for both instruction sets of the host.
func TestSemantics(t *testing.T) {
	var ptx strings.Builder
	ptx.WriteString(header)
	for i, o := range ops {
		ptx.WriteString(o.kernel(fmt.Sprintf("t%d", i)))
	}
	for _, isa := range []string{"native", "avx2"} {
		r := start(t, "isa "+isa)
		r.mustLoad(ptx.String())
		for i, o := range ops {
			for _, threads := range []int{len(o.rows), 96} {
				in := make([]byte, 0, threads*32)
				for k := range threads {
					row := o.rows[k%len(o.rows)]
					for _, v := range row[:len(row)-1] {
						in = binary.LittleEndian.AppendUint64(in, v)
					}
				}
				name := fmt.Sprintf("%d_%d", i, threads)
				r.buffer("in"+name, len(in), in)
				r.buffer("out"+name, 8*threads, make([]byte, 8*threads))
				r.ok("launch t%d 1 1 1 %d 1 1 0 &in%s &out%s", i, threads, name, name)
				out := r.read("out" + name)
				for k := range threads {
					row := o.rows[k%len(o.rows)]
					want := row[len(row)-1]
					if got := binary.LittleEndian.Uint64(out[8*k:]); got != want {
						t.Errorf("%s, %s, thread %d of %d: %#x gives %#x, want %#x", isa, o.ptx, k, threads, row[:len(row)-1], got, want)
						break
					}
				}
			}
		}
	}
}
