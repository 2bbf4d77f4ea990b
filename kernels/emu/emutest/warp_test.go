package emutest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// laneKernel runs body with the lane number in %lane and stores %d of each lane.
func laneKernel(name, declare, body string) string {
	return fmt.Sprintf(`.visible .entry %s(.param .u64 out)
{
.reg .b64 %%po; .reg .b32 %%lane, %%d; .reg .pred %%p;
%s
ld.param.u64 %%po, [out];
mov.u32 %%lane, %%tid.x;
mad.wide.u32 %%po, %%lane, 4, %%po;
mov.u32 %%d, 0;
%s
st.global.u32 [%%po], %%d;
ret;
}
`, name, declare, body)
}

// Shuffles, votes, matches and reductions, PTX ISA "Data Movement: shfl.sync", "Parallel Synchronization: vote.sync, match.sync,
// redux.sync".
func TestWarpOperations(t *testing.T) {
	const xor = "mul.lo.u32 %v, %lane, 10;\n"
	cases := []struct {
		name, body string
		want       func(l int) uint32
	}{
		{"bfly", "shfl.sync.bfly.b32 %d|%p, %v, 5, 31, -1;", func(l int) uint32 { return uint32(l^5) * 10 }},
		{"up", "shfl.sync.up.b32 %d|%p, %v, 3, 0, -1;\n@!%p mov.u32 %d, 7;", func(l int) uint32 {
			if l < 3 {
				return 7
			}
			return uint32(l-3) * 10
		}},
		{"down", "shfl.sync.down.b32 %d|%p, %v, 30, 31, -1;\n@!%p add.u32 %d, %d, 1;", func(l int) uint32 {
			if l+30 > 31 {
				return uint32(l)*10 + 1
			}
			return uint32(l+30) * 10
		}},
		// Width 8: c = 0x1800 | 31 for down and idx (segment mask 24), lanes keep their own value past the end.
		{"down8", "shfl.sync.down.b32 %d, %v, 6, 0x181f, -1;", func(l int) uint32 {
			if l%8+6 > 7 {
				return uint32(l) * 10
			}
			return uint32(l+6) * 10
		}},
		{"up8", "shfl.sync.up.b32 %d, %v, 6, 0x1800, -1;", func(l int) uint32 {
			if l%8 < 6 {
				return uint32(l) * 10
			}
			return uint32(l-6) * 10
		}},
		{"idx8", "shfl.sync.idx.b32 %d, %v, 10, 0x181f, -1;", func(l int) uint32 { return uint32(l/8*8+2) * 10 }},
		{"clamp", "shfl.sync.bfly.b32 %d|%p, %v, 16, 7, -1;\n@!%p add.u32 %d, %d, 1;", func(l int) uint32 { // lanes above 7 are out of range
			if l^16 > 7 {
				return uint32(l)*10 + 1
			}
			return uint32(l^16) * 10
		}},
		{"ballot", "setp.lt.u32 %p, %lane, 5;\nvote.sync.ballot.b32 %d, %p, -1;", func(int) uint32 { return 31 }},
		{"ballot_not", "setp.lt.u32 %p, %lane, 5;\nvote.sync.ballot.b32 %d, !%p, -1;", func(int) uint32 { return ^uint32(31) }},
		{"any", "setp.eq.u32 %p, %lane, 5;\nvote.sync.any.pred %p, %p, -1;\nselp.b32 %d, 1, 0, %p;", func(int) uint32 { return 1 }},
		{"all", "setp.ne.u32 %p, %lane, 5;\nvote.sync.all.pred %p, %p, -1;\nselp.b32 %d, 1, 0, %p;", func(int) uint32 { return 0 }},
		{"uni", "setp.ge.u32 %p, %lane, 0;\nvote.sync.uni.pred %p, %p, -1;\nselp.b32 %d, 1, 0, %p;", func(int) uint32 { return 1 }},
		{"match_any", "and.b32 %v, %lane, 3;\nmatch.any.sync.b32 %d, %v, -1;", func(l int) uint32 { return 0x11111111 << (l & 3) }},
		{"match_all", "mov.b32 %v, 9;\nmatch.all.sync.b32 %d|%p, %v, -1;\n@!%p mov.u32 %d, 1;", func(int) uint32 { return 0xffffffff }},
		{"match_not_all", "match.all.sync.b32 %d|%p, %v, -1;\n@%p mov.u32 %d, 1;", func(int) uint32 { return 0 }},
		{"redux_add", "redux.sync.add.s32 %d, %lane, -1;", func(int) uint32 { return 496 }},
		{"redux_min", "sub.s32 %v, 3, %lane;\nredux.sync.min.s32 %d, %v, -1;", func(int) uint32 { return 0xffffffe4 }},
		{"redux_max_u", "sub.s32 %v, 3, %lane;\nredux.sync.max.u32 %d, %v, -1;", func(int) uint32 { return 0xffffffff }},
		{"redux_xor", "redux.sync.xor.b32 %d, %lane, -1;", func(int) uint32 { return 0 }},
		{"activemask", "setp.lt.u32 %p, %lane, 7;\n@%p bra IN;\nbra OUT;\nIN:\nactivemask.b32 %d;\nOUT:", func(l int) uint32 {
			if l < 7 {
				return 127
			}
			return 0
		}},
		// Halves of a warp synchronise apart.
		{"halves", "mov.u32 %m, 0xffff;\nsetp.ge.u32 %p, %lane, 16;\n@%p mov.u32 %m, 0xffff0000;\nredux.sync.add.u32 %d, %lane, %m;", func(l int) uint32 {
			if l < 16 {
				return 120
			}
			return 376
		}},
	}
	var ptx strings.Builder
	ptx.WriteString(header)
	for _, c := range cases {
		ptx.WriteString(laneKernel(c.name, ".reg .b32 %v, %m;", xor+c.body))
	}
	for _, isa := range []string{"native", "avx2"} {
		r := start(t, "isa "+isa)
		r.mustLoad(ptx.String())
		for _, c := range cases {
			r.buffer(c.name, 128, nil)
			r.ok("launch %s 1 1 1 32 1 1 0 &%s", c.name, c.name)
			out := r.read(c.name)
			for l := range 32 {
				if got, want := binary.LittleEndian.Uint32(out[4*l:]), c.want(l); got != want {
					t.Errorf("%s, %s, lane %d: %#x, want %#x", isa, c.name, l, got, want)
				}
			}
		}
	}
}

// Divergence: nested branches, loops that lanes leave one by one, switches, calls; whatever path a lane takes, its values are its own.
func TestDivergence(t *testing.T) {
	ptx := header + `
.func (.param .b32 r) collatz(.param .b32 x)
{
.reg .b32 %n, %k, %o; .reg .pred %p;
ld.param.b32 %n, [x];
mov.u32 %k, 0;
setp.eq.u32 %p, %n, 0;
@%p bra DONE;
LOOP:
setp.eq.u32 %p, %n, 1;
@%p bra DONE;
add.u32 %k, %k, 1;
and.b32 %o, %n, 1;
setp.eq.u32 %p, %o, 0;
@%p bra EVEN;
mad.lo.u32 %n, %n, 3, 1;
bra.uni LOOP;
EVEN:
shr.u32 %n, %n, 1;
bra.uni LOOP;
DONE:
st.param.b32 [r], %k;
ret;
}
` + laneKernel("calls", ".reg .b32 %v;", `{
.param .b32 x;
.param .b32 r;
st.param.b32 [x], %lane;
call.uni (r), collatz, (x);
ld.param.b32 %d, [r];
}`) + laneKernel("switches", ".reg .b32 %v;", `and.b32 %v, %lane, 3;
T: .branchtargets A, B, C, B;
brx.idx %v, T;
A: mov.u32 %d, 100;
bra E;
B: mov.u32 %d, 200;
bra E;
C: mov.u32 %d, 300;
E:
add.u32 %d, %d, %lane;
activemask.b32 %v;
setp.ne.u32 %p, %v, -1;
@%p mov.u32 %d, 0;`) + laneKernel("early", ".reg .b32 %v;", `setp.ge.u32 %p, %lane, 20;
@%p bra GONE;
mov.u32 %d, 5;
vote.sync.ballot.b32 %d, -1, 0xfffff;
bra STORE;
GONE:
ret;
STORE:`)
	collatz := func(n uint32) (k uint32) {
		for n > 1 {
			k++
			if n%2 == 0 {
				n /= 2
			} else {
				n = 3*n + 1
			}
		}
		return k
	}
	r := start(t)
	ptx = strings.Replace(ptx, "vote.sync.ballot.b32 %d, -1, 0xfffff;", "setp.eq.u32 %p, %d, 5;\nvote.sync.ballot.b32 %d, %p, -1;", 1)
	r.mustLoad(ptx)
	for name, want := range map[string]func(l int) uint32{
		"calls":    func(l int) uint32 { return collatz(uint32(l)) },
		"switches": func(l int) uint32 { return []uint32{100, 200, 300, 200}[l%4] + uint32(l) },
		"early": func(l int) uint32 {
			if l >= 20 {
				return 0xeeeeeeee
			}
			return 0xfffff
		},
	} {
		fill := make([]byte, 128)
		for i := range fill {
			fill[i] = 0xee
		}
		r.buffer(name, 128, fill)
		r.ok("launch %s 1 1 1 32 1 1 0 &%s", name, name)
		out := r.read(name)
		for l := range 32 {
			if got := binary.LittleEndian.Uint32(out[4*l:]); got != want(l) {
				t.Errorf("%s, lane %d: %d, want %d", name, l, got, want(l))
			}
		}
	}
}

func bfloat(x float32) uint16 { return uint16(math.Float32bits(x) >> 16) } // for values that bf16 holds

// mma.sync multiplies the matrices whose elements lie as PTX ISA "Matrix Fragments for mma.m16n8k*" says: the test places them
// element by element from those formulas.
func TestMma(t *testing.T) {
	type shape struct {
		name, kind string
		k          int
	}
	for _, s := range []shape{{"m16n8k16", "bf16", 16}, {"m16n8k16", "f16", 16}, {"m16n8k8", "bf16", 8}, {"m16n8k8", "f16", 8}, {"m16n8k8", "tf32", 8}, {"m16n8k4", "tf32", 4}} {
		t.Run(s.name+s.kind, func(t *testing.T) {
			half := s.kind != "tf32"
			perReg := 1
			if half {
				perReg = 2
			}
			na, nb := 16*s.k/32/perReg, 8*s.k/32/perReg
			rng := rand.New(rand.NewPCG(1, uint64(s.k)))
			a, b, c := make([]float64, 16*s.k), make([]float64, 8*s.k), make([]float64, 16*8)
			for _, m := range [][]float64{a, b, c} {
				for i := range m {
					m[i] = float64(rng.IntN(15) - 7)
				}
			}
			regs := make([]byte, 4*32*(na+nb+4))
			put := func(lane, reg, part int, v float64) {
				at := 4 * (lane*(na+nb+4) + reg)
				switch s.kind {
				case "bf16":
					binary.LittleEndian.PutUint16(regs[at+2*part:], bfloat(float32(v)))
				case "f16":
					binary.LittleEndian.PutUint16(regs[at+2*part:], half16(v))
				default:
					binary.LittleEndian.PutUint32(regs[at:], math.Float32bits(float32(v)))
				}
			}
			for lane := range 32 {
				g, tid := lane>>2, lane&3
				for i := range na * perReg {
					row, col := g, 0
					switch {
					case half: // row = g for i in 0,1,4,5; col = 2 tid + (i & 1), + 8 for i >= 4
						if i&2 != 0 {
							row += 8
						}
						col = 2*tid + i&1
						if i >= 4 {
							col += 8
						}
					default: // a0 (g, tid) a1 (g+8, tid) a2 (g, tid+4) a3 (g+8, tid+4)
						if i&1 != 0 {
							row += 8
						}
						col = tid + i/2*4
					}
					put(lane, i/perReg, i%perReg, a[row*s.k+col])
				}
				for i := range nb * perReg {
					row := tid + 4*i
					if half { // row = 2 tid + (i & 1), + 8 for i >= 2
						row = 2*tid + i&1
						if i >= 2 {
							row += 8
						}
					}
					put(lane, na+i/perReg, i%perReg, b[row*8+g])
				}
				for i := range 4 {
					row, col := g, 2*tid+i&1
					if i >= 2 {
						row += 8
					}
					binary.LittleEndian.PutUint32(regs[4*(lane*(na+nb+4)+na+nb+i):], math.Float32bits(float32(c[row*8+col])))
				}
			}
			var load strings.Builder
			names := func(from, n int) string {
				var out []string
				for i := range n {
					out = append(out, fmt.Sprintf("%%r%d", from+i))
				}
				return "{" + strings.Join(out, ",") + "}"
			}
			for i := range na + nb + 4 {
				fmt.Fprintf(&load, "ld.global.b32 %%r%d, [%%pi+%d];\n", i, 4*i)
			}
			n := na + nb + 4
			load.WriteString(fmt.Sprintf("mma.sync.aligned.%s.row.col.f32.%s.%s.f32 {%%f0,%%f1,%%f2,%%f3}, %s, %s, {%%f0,%%f1,%%f2,%%f3};\n", s.name, s.kind, s.kind, names(0, na), names(na, nb)))
			body := strings.Replace(load.String(), "mma.sync", fmt.Sprintf("mov.b32 %%f0, %%r%d;\nmov.b32 %%f1, %%r%d;\nmov.b32 %%f2, %%r%d;\nmov.b32 %%f3, %%r%d;\nmma.sync", n-4, n-3, n-2, n-1), 1)
			if nb == 1 {
				body = strings.Replace(body, fmt.Sprintf("{%%r%d}", na), fmt.Sprintf("{%%r%d}", na), 1)
			}
			ptx := header + fmt.Sprintf(`.visible .entry k(.param .u64 in, .param .u64 out)
{
.reg .b64 %%pi, %%po; .reg .b32 %%t, %%r<%d>; .reg .f32 %%f<4>;
ld.param.u64 %%pi, [in];
ld.param.u64 %%po, [out];
mov.u32 %%t, %%laneid;
mad.wide.u32 %%pi, %%t, %d, %%pi;
mad.wide.u32 %%po, %%t, 16, %%po;
%sst.global.v4.f32 [%%po], {%%f0,%%f1,%%f2,%%f3};
ret;
}
`, n, 4*n, body)
			r := start(t)
			r.mustLoad(ptx)
			r.buffer("in", len(regs), regs)
			r.buffer("out", 512, nil)
			r.ok("launch k 1 1 1 32 1 1 0 &in &out")
			out := r.read("out")
			for lane := range 32 {
				for i := range 4 {
					row, col := lane>>2, 2*(lane&3)+i&1
					if i >= 2 {
						row += 8
					}
					want := c[row*8+col]
					for k := range s.k {
						want += a[row*s.k+k] * b[k*8+col]
					}
					if got := math.Float32frombits(binary.LittleEndian.Uint32(out[16*lane+4*i:])); float64(got) != want {
						t.Fatalf("element (%d,%d): %v, want %v", row, col, got, want)
					}
				}
			}
			if n := r.counters(); n["mma"] != 1 || n["flops"] != 2*16*8*s.k {
				t.Errorf("counted %d mma, %d flops", n["mma"], n["flops"])
			}
		})
	}
}

func half16(v float64) uint16 { // small integers
	if v == 0 {
		return 0
	}
	sign := uint16(0)
	if v < 0 {
		sign, v = 0x8000, -v
	}
	m, e := math.Frexp(v) // v = m 2^e, m in [1/2, 1)
	return sign | uint16(e+14)<<10 | uint16((m*2-1)*1024)
}

// ldmatrix hands lane l the pair of row l/4 at 2(l%4), or with .trans of column l/4; cp.async moves the rows in.
func TestLdmatrix(t *testing.T) {
	for _, trans := range []string{"", ".trans"} {
		for _, late := range []string{"early", "late"} {
			ptx := header + fmt.Sprintf(`.visible .entry k(.param .u64 in, .param .u64 out)
{
.shared .align 16 .b8 tile[512];
.reg .b64 %%pi, %%po; .reg .b32 %%t, %%s, %%r<4>;
ld.param.u64 %%pi, [in];
ld.param.u64 %%po, [out];
mov.u32 %%t, %%laneid;
mad.wide.u32 %%pi, %%t, 16, %%pi;
mad.wide.u32 %%po, %%t, 16, %%po;
mov.u32 %%s, tile;
mad.lo.u32 %%s, %%t, 16, %%s;
cp.async.cg.shared.global [%%s], [%%pi], 16;
cp.async.commit_group;
cp.async.wait_group 0;
bar.warp.sync -1;
ldmatrix.sync.aligned.m8n8.x4%s.shared.b16 {%%r0,%%r1,%%r2,%%r3}, [%%s];
st.global.v4.b32 [%%po], {%%r0,%%r1,%%r2,%%r3};
ret;
}
`, trans)
			r := start(t, "async "+late)
			r.mustLoad(ptx)
			in := make([]byte, 512) // four matrices of 8x8, element i of matrix m is 64m+i
			for i := range 256 {
				binary.LittleEndian.PutUint16(in[2*i:], uint16(i))
			}
			r.buffer("in", 512, in)
			r.buffer("out", 512, nil)
			r.ok("launch k 1 1 1 32 1 1 0 &in &out")
			out := r.read("out")
			for l := range 32 {
				for m := range 4 {
					i, j := l/4*8+l%4*2, l/4*8+l%4*2+1
					if trans != "" {
						i, j = l%4*2*8+l/4, (l%4*2+1)*8+l/4
					}
					want := uint32(64*m+i) | uint32(64*m+j)<<16
					if got := binary.LittleEndian.Uint32(out[16*l+4*m:]); got != want {
						t.Fatalf("%q lane %d matrix %d: %#x, want %#x", trans, l, m, got, want)
					}
				}
			}
		}
	}
}

// The approximations stay within the errors that the PTX ISA documents.
func TestApproximations(t *testing.T) {
	cases := []struct {
		ptx   string
		f     func(float64) float64
		lo    float64
		hi    float64
		limit float64 // relative, or absolute when the ISA says so
		abs   bool
	}{
		{"ex2.approx.f32", math.Exp2, -140, 127, 0x1p-22, false},
		{"ex2.approx.ftz.f32", math.Exp2, -120, 127, 0x1p-22, false},
		{"lg2.approx.f32", math.Log2, 2, 1e30, 0x1p-22, false},
		{"lg2.approx.f32", math.Log2, 0.5, 2, 0x1p-22, true},
		{"rsqrt.approx.f32", func(x float64) float64 { return 1 / math.Sqrt(x) }, 1e-30, 1e30, 0x1p-22, false},
		{"rcp.approx.f32", func(x float64) float64 { return 1 / x }, 1e-30, 1e30, 0x1p-23, false},
		{"sqrt.approx.f32", math.Sqrt, 1e-30, 1e30, 0x1p-23, false},
		{"sin.approx.f32", math.Sin, -math.Pi, math.Pi, 0x1p-20, true},
		{"cos.approx.f32", math.Cos, -math.Pi, math.Pi, 0x1p-20, true},
		{"tanh.approx.f32", math.Tanh, -8, 8, 0x1p-11, false},
	}
	rng := rand.New(rand.NewPCG(3, 4))
	const n = 1024
	for i, c := range cases {
		o := op{ptx: c.ptx + " %d, %a;", in: "f32", out: "f32"}
		r := start(t)
		r.mustLoad(header + o.kernel("k"))
		in, x := make([]byte, 8*n), make([]float32, n)
		for j := range x {
			u := rng.Float64()
			if c.lo > 0 && c.hi/c.lo > 1e6 {
				x[j] = float32(c.lo * math.Pow(c.hi/c.lo, u))
			} else {
				x[j] = float32(c.lo + (c.hi-c.lo)*u)
			}
			binary.LittleEndian.PutUint32(in[8*j:], math.Float32bits(x[j]))
		}
		r.buffer("in", 8*n, in)
		r.buffer("out", 8*n, make([]byte, 8*n))
		r.ok("launch k 1 1 1 1024 1 1 0 &in &out")
		out := r.read("out")
		for j := range x {
			got, want := float64(math.Float32frombits(binary.LittleEndian.Uint32(out[8*j:]))), c.f(float64(x[j]))
			err := math.Abs(got - want)
			if !c.abs && math.Abs(want) > 0x1p-126 {
				err /= math.Abs(want)
			}
			if !(err <= c.limit) {
				t.Errorf("%d %s(%v) = %v, want %v, error %g above %g", i, c.ptx, x[j], got, want, err, c.limit)
				break
			}
		}
	}
	special := []op{
		{"ex2.approx.f32 %d, %a;", "f32", "f32", [][]uint64{{ninf, 0}, {inf, inf}, {0, f(1)}, {f(-149), 1}, {f(200), inf}, {f(-200), 0}}},
		{"ex2.approx.ftz.f32 %d, %a;", "f32", "f32", [][]uint64{{f(-130), 0}}},
		{"lg2.approx.f32 %d, %a;", "f32", "f32", [][]uint64{{0, ninf}, {inf, inf}, {f(1), 0}, {tiny, f(-149)}, {f(8), f(3)}}},
		{"rsqrt.approx.f32 %d, %a;", "f32", "f32", [][]uint64{{0, inf}, {inf, 0}, {0x80000000, ninf}, {f(4), f(0.5)}}},
	}
	r := start(t)
	for i, o := range special {
		r.mustLoad(header + o.kernel("k"))
		in, n := []byte{}, len(o.rows)
		for _, row := range o.rows {
			in = binary.LittleEndian.AppendUint64(in, row[0])
		}
		r.buffer(fmt.Sprint("in", i), 8*n, in)
		r.buffer(fmt.Sprint("out", i), 8*n, make([]byte, 8*n))
		r.ok("launch k 1 1 1 %d 1 1 0 &in%d &out%d", n, i, i)
		out := r.read(fmt.Sprint("out", i))
		for j, row := range o.rows {
			if got := binary.LittleEndian.Uint64(out[8*j:]); got != row[1] {
				t.Errorf("%s: %#x gives %#x, want %#x", o.ptx, row[0], got, row[1])
			}
		}
	}
}
