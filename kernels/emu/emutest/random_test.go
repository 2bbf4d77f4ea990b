package emutest

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"
)

// rounded computes with unlimited precision and rounds once to prec bits. Operands and results must be normal.
func rounded(prec uint, mode big.RoundingMode, f func(z *big.Float, x []*big.Float)) func([]uint64) uint64 {
	return func(v []uint64) uint64 {
		x := make([]*big.Float, len(v))
		for i := range v {
			x[i] = new(big.Float).SetPrec(2000).SetFloat64(float64(math.Float32frombits(uint32(v[i]))))
		}
		exact := new(big.Float).SetPrec(2000)
		f(exact, x)
		r, _ := new(big.Float).SetPrec(prec).SetMode(mode).Set(exact).Float32()
		return uint64(math.Float32bits(r))
	}
}

func sum(z *big.Float, x []*big.Float)     { z.Add(x[0], x[1]) }
func product(z *big.Float, x []*big.Float) { z.Mul(x[0], x[1]) }
func fused(z *big.Float, x []*big.Float)   { z.Mul(x[0], x[1]).Add(z, x[2]) }
func ratio(z *big.Float, x []*big.Float)   { z.Quo(x[0], x[1]) }

// field is bfe by its bits, as the ISA writes it.
func field(v []uint64, signed bool, size uint64) uint64 {
	pos, n := v[1]&0xff, v[2]&0xff
	var sign, out uint64
	if signed && n > 0 {
		sign = v[0] >> min(pos+n-1, size-1) & 1
	}
	for i := range size {
		bit := sign
		if i < n && pos+i < size {
			bit = v[0] >> (pos + i) & 1
		}
		out |= bit << i
	}
	return out
}

func insert(v []uint64, size uint64) uint64 {
	out, pos, n := v[1], v[2]&0xff, v[3]&0xff
	for i := range n {
		if pos+i < size {
			out = out&^(1<<(pos+i)) | v[0]>>i&1<<(pos+i)
		}
	}
	return out
}

func permuted(v []uint64) uint64 {
	both, out := v[0]|v[1]<<32, uint64(0)
	for i := range 4 {
		s := v[2] >> (4 * i)
		b := both >> (8 * (s & 7)) & 0xff
		if s&8 != 0 {
			b = b >> 7 * 0xff
		}
		out |= b << (8 * i)
	}
	return out
}

// clamped converts to an integer of the size and clamps; NaN is 0.
func clamped(size uint, signed bool, round func(float64) float64) func([]uint64) uint64 {
	return func(v []uint64) uint64 {
		x := float64(math.Float32frombits(uint32(v[0])))
		if x != x {
			return 0
		}
		lo, hi := new(big.Int), new(big.Int).Lsh(big.NewInt(1), size)
		if signed {
			hi.Rsh(hi, 1)
			lo.Neg(hi)
		}
		hi.Sub(hi, big.NewInt(1))
		if math.IsInf(x, 0) {
			x = math.Copysign(0x1p200, x)
		}
		n, _ := new(big.Float).SetFloat64(round(x)).Int(nil)
		if n.Cmp(lo) < 0 {
			n = lo
		}
		if n.Cmp(hi) > 0 {
			n = hi
		}
		return new(big.Int).And(n, new(big.Int).SetUint64(1<<(size-1)*2-1)).Uint64()
	}
}

// Instructions on random operands against arithmetic of unlimited precision or their definition bit by bit.
func TestRandom(t *testing.T) {
	lo32 := func(f func(v []uint64) uint64) func([]uint64) uint64 {
		return func(v []uint64) uint64 { return f(v) & 0xffffffff }
	}
	cases := []struct {
		ptx, in, out string
		want         func(v []uint64) uint64
	}{
		{"add.rn.f32 %d, %a, %b;", "f32 f32", "f32", rounded(24, big.ToNearestEven, sum)},
		{"add.rz.f32 %d, %a, %b;", "f32 f32", "f32", rounded(24, big.ToZero, sum)},
		{"add.rm.f32 %d, %a, %b;", "f32 f32", "f32", rounded(24, big.ToNegativeInf, sum)},
		{"add.rp.f32 %d, %a, %b;", "f32 f32", "f32", rounded(24, big.ToPositiveInf, sum)},
		{"mul.rn.f32 %d, %a, %b;", "f32 f32", "f32", rounded(24, big.ToNearestEven, product)},
		{"mul.rm.f32 %d, %a, %b;", "f32 f32", "f32", rounded(24, big.ToNegativeInf, product)},
		{"fma.rn.f32 %d, %a, %b, %c;", "f32 f32 f32", "f32", rounded(24, big.ToNearestEven, fused)},
		{"fma.rz.f32 %d, %a, %b, %c;", "f32 f32 f32", "f32", rounded(24, big.ToZero, fused)},
		{"fma.rm.f32 %d, %a, %b, %c;", "f32 f32 f32", "f32", rounded(24, big.ToNegativeInf, fused)},
		{"fma.rp.f32 %d, %a, %b, %c;", "f32 f32 f32", "f32", rounded(24, big.ToPositiveInf, fused)},
		{"div.rn.f32 %d, %a, %b;", "f32 f32", "f32", rounded(24, big.ToNearestEven, ratio)},
		{"div.rp.f32 %d, %a, %b;", "f32 f32", "f32", rounded(24, big.ToPositiveInf, ratio)},
		{"cvt.rn.bf16.f32 %d, %a;", "f32", "b16", func(v []uint64) uint64 {
			return rounded(8, big.ToNearestEven, func(z *big.Float, x []*big.Float) { z.Set(x[0]) })(v) >> 16
		}},
		{"cvt.rna.tf32.f32 %d, %a;", "f32", "b32", rounded(11, big.ToNearestAway, func(z *big.Float, x []*big.Float) { z.Set(x[0]) })},
		{"mul.hi.u64 %d, %a, %b;", "b64 b64", "b64", func(v []uint64) uint64 { hi, _ := bits.Mul64(v[0], v[1]); return hi }},
		{"mul.hi.s64 %d, %a, %b;", "b64 b64", "b64", func(v []uint64) uint64 {
			p := new(big.Int).Mul(big.NewInt(int64(v[0])), big.NewInt(int64(v[1])))
			return uint64(p.Rsh(p, 64).Int64())
		}},
		{"mul.hi.s32 %d, %a, %b;", "b32 b32", "b32", lo32(func(v []uint64) uint64 { return uint64(int64(int32(v[0])) * int64(int32(v[1])) >> 32) })},
		{"mul.wide.s32 %d, %a, %b;", "b32 b32", "b64", func(v []uint64) uint64 { return uint64(int64(int32(v[0])) * int64(int32(v[1]))) }},
		{"mad.lo.u32 %d, %a, %b, %c;", "b32 b32 b32", "b32", lo32(func(v []uint64) uint64 { return v[0]*v[1] + v[2] })},
		{"mad.wide.u32 %d, %a, %b, %c;", "b32 b32 b64", "b64", func(v []uint64) uint64 { return v[0]*v[1] + v[2] }},
		{"rem.s64 %d, %a, %b;", "b64 b64", "b64", func(v []uint64) uint64 { return uint64(int64(v[0]) % int64(v[1])) }},
		{"div.u32 %d, %a, %b;", "b32 b32", "b32", func(v []uint64) uint64 { return v[0] / v[1] }},
		{"bfe.u32 %d, %a, %b, %c;", "b32 n n", "b32", func(v []uint64) uint64 { return field(v, false, 32) }},
		{"bfe.s32 %d, %a, %b, %c;", "b32 n n", "b32", func(v []uint64) uint64 { return field(v, true, 32) }},
		{"bfe.s64 %d, %a, %b, %c;", "b64 n n", "b64", func(v []uint64) uint64 { return field(v, true, 64) }},
		{"bfi.b32 %d, %a, %b, %c, %e;", "b32 b32 n n", "b32", func(v []uint64) uint64 { return insert(v, 32) }},
		{"bfi.b64 %d, %a, %b, %c, %e;", "b64 b64 n n", "b64", func(v []uint64) uint64 { return insert(v, 64) }},
		{"prmt.b32 %d, %a, %b, %c;", "b32 b32 b32", "b32", permuted},
		{"lop3.b32 %d, %a, %b, %c, 0x6b;", "b32 b32 b32", "b32", func(v []uint64) (out uint64) {
			for i := range 32 {
				out |= 0x6b >> (v[0]>>i&1<<2 | v[1]>>i&1<<1 | v[2]>>i&1) & 1 << i
			}
			return out
		}},
		{"brev.b64 %d, %a;", "b64", "b64", func(v []uint64) uint64 { return bits.Reverse64(v[0]) }},
		{"shf.r.wrap.b32 %d, %a, %b, %c;", "b32 b32 b32", "b32", lo32(func(v []uint64) uint64 { return (v[0] | v[1]<<32) >> (v[2] & 31) })},
		{"shr.s32 %d, %a, %b;", "b32 n", "b32", lo32(func(v []uint64) uint64 { return uint64(int32(v[0]) >> v[1]) })},
		{"shl.b64 %d, %a, %b;", "b64 n", "b64", func(v []uint64) uint64 { return v[0] << v[1] }},
		{"cvt.rni.s32.f32 %d, %a;", "any", "b32", clamped(32, true, math.RoundToEven)},
		{"cvt.rzi.u32.f32 %d, %a;", "any", "b32", clamped(32, false, math.Trunc)},
		{"cvt.rmi.s64.f32 %d, %a;", "any", "b64", clamped(64, true, math.Floor)},
		{"cvt.rpi.u64.f32 %d, %a;", "any", "b64", clamped(64, false, math.Ceil)},
		{"cvt.rzi.s16.f32 %d, %a;", "any", "b16", clamped(16, true, math.Trunc)},
		{"cvt.rn.f32.s64 %d, %a;", "b64", "f32", func(v []uint64) uint64 { return f(float32(int64(v[0]))) }},
		{"cvt.rn.f32.u64 %d, %a;", "b64", "f32", func(v []uint64) uint64 {
			r, _ := new(big.Float).SetPrec(24).SetUint64(v[0]).Float32()
			return f(r)
		}},
	}
	const threads = 1024
	for _, isa := range []string{"native", "avx2"} {
		r := start(t, "isa "+isa)
		rng := rand.New(rand.NewPCG(11, 12))
		for i, c := range cases {
			kinds := strings.Fields(c.in)
			registers := strings.NewReplacer("any", "f32", "n", "b32").Replace(c.in)
			r.mustLoad(header + op{ptx: c.ptx, in: registers, out: c.out}.kernel("k"))
			var in []byte
			var rows [][]uint64
			for range threads {
				var row []uint64
				for _, k := range kinds {
					v := rng.Uint64()
					switch k {
					case "b32", "any":
						v &= 0xffffffff
						if k == "any" && rng.IntN(2) == 0 { // also where integers are
							v = f(float32(rng.NormFloat64() * math.Exp2(float64(rng.IntN(70)))))
						}
					case "n":
						v = rng.Uint64N(72)
					case "f32": // near enough to each other for rounding to matter
						v = f(float32(rng.NormFloat64() * math.Exp2(float64(rng.IntN(24)-12))))
					}
					row = append(row, v)
					in = binary.LittleEndian.AppendUint64(in, v)
				}
				rows = append(rows, row)
			}
			name := string(rune('a'+i/26)) + string(rune('a'+i%26))
			r.buffer("in"+name, len(in), in)
			r.buffer("out"+name, 8*threads, make([]byte, 8*threads))
			r.ok("launch k 1 1 1 %d 1 1 0 &in%s &out%s", threads, name, name)
			out := r.read("out" + name)
			for j, row := range rows {
				if got, want := binary.LittleEndian.Uint64(out[8*j:]), c.want(row); got != want {
					t.Errorf("%s, %s: %#x gives %#x, want %#x", isa, c.ptx, row, got, want)
					break
				}
			}
		}
	}
}
