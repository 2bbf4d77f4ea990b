//go:build cuda

package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/args"
	kernels "tapweight/kernels/cuda"
	"tapweight/kernels/ref"
)

// bf16Unit is how far rounding to bfloat16 takes a number off, relatively; float32Sums what sums and exponentials in float32 add to
// a result, relative to the magnitudes that it is a sum of.
const (
	bf16Unit    = 0x1p-8
	float32Sums = 0x1p-16
)

// TestAttentionMaths holds attention in bfloat16 to the bounds that follow from its numbers. A product of two rounded factors is off
// by 2u+u² of its magnitude, a score so by that of a sum of magnitudes; the exponential makes a relative error of it, e^δ-1, and
// twice that where the sum of the probabilities is off as well. Weights are rounded once more, with what they weigh. The bounds are
// worked out term by term in float64, and float32 must be far below them, so that neither stands in for the other. A grid of one block
// must give the same bits.
func TestAttentionMaths(t *testing.T) {
	b := open(t)
	for _, c := range []struct {
		queries, lengths []int
		heads, dims      int
		drop             float64
	}{
		{[]int{1, 0, 12, 31, 33}, []int{1, 0, 12, 31, 33}, 3, 32, 0}, {[]int{64, 65, 100}, []int{64, 65, 100}, 2, 64, 0.1}, {[]int{40, 130}, []int{40, 130}, 2, 24, 0.5},
		{[]int{17, 2}, []int{17, 2}, 2, 60, 0.1}, {[]int{8, 200}, []int{8, 200}, 1, 32, 0.1}, {[]int{1, 0, 70}, []int{40, 70, 33}, 2, 32, 0.1},
		{[]int{0, 3, 0}, []int{130, 66, 5}, 2, 64, 0.1},
	} {
		t.Run(fmt.Sprintf("%v of %v/%dx%d/drop=%v", c.queries, c.lengths, c.heads, c.dims, c.drop), func(t *testing.T) {
			s := newSequences(t, b, c.queries, c.lengths, c.heads, c.dims, c.drop)
			for _, kind := range []kernels.Math{kernels.Float32, kernels.BF16} {
				var first [][]float64
				for _, device := range []gpu.Backend{b, narrow{b, new(int)}} {
					b.args.attention = args.Attention(s.op)
					kernels.AttentionIn(b.op(), kind, &b.args.attention)
					got := [][]float64{elements(t, device, s.op.Out), elements(t, device, s.op.LSE)}
					// The gradient from what the oracle had, so that its errors are its own.
					b.Upload(s.op.Out.Buf, s.out.D)
					b.Upload(s.op.LSE.Buf, s.lse.D)
					b.args.attention = args.AttentionGrad(s.grad)
					kernels.AttentionGradIn(b.op(), kind, &b.args.attention)
					got = append(got, elements(t, device, s.grad.DQ), elements(t, device, s.grad.DK), elements(t, device, s.grad.DV))
					if first == nil {
						first = got
					} else if !reflect.DeepEqual(got, first) {
						t.Errorf("math %d: other bits on a grid of one block", kind)
					}
				}
				s.hold(t, kind, "Out", first[0], s.out, s.outBound)
				s.hold(t, kind, "LSE", first[1], s.lse, s.lseBound)
				s.hold(t, kind, "DQ", first[2], s.dq, s.dqBound)
				s.hold(t, kind, "DK", first[3], s.dk, s.dkBound)
				s.hold(t, kind, "DV", first[4], s.dv, s.dvBound)
			}
		})
	}
}

// sequences is attention and its gradient on the device and by the oracle, with bounds for bfloat16.
type sequences struct {
	op                                            gpu.Attention
	grad                                          gpu.AttentionGrad
	out, lse, dq, dk, dv                          ref.M[float64]
	outBound, lseBound, dqBound, dkBound, dvBound ref.M[float64]
	worst                                         map[string]float64 // share of the bound that float32 takes
}

// elements downloads a matrix, row by row.
func elements(t *testing.T, b gpu.Backend, m gpu.Mat) (v []float64) {
	t.Helper()
	all := make([]float64, m.Buf.Len())
	if err := b.Download(all, m.Buf); err != nil {
		t.Fatal(err)
	}
	for i := range m.Rows {
		v = append(v, all[i*m.LD:i*m.LD+m.Cols]...)
	}
	return v
}

// hold compares a result with the oracle's.
func (s *sequences) hold(t *testing.T, kind kernels.Math, name string, got []float64, want, bound ref.M[float64]) {
	t.Helper()
	share := 0.0
	for i := range want.Rows {
		for j := range want.Cols {
			e := math.Abs(got[i*want.Cols+j] - want.Row(i)[j])
			if e == 0 { // as it must be where the bound is 0: for keys that no query sees
				continue
			}
			if e /= bound.Row(i)[j]; !(e <= share) { // NaN stays
				share = e
			}
		}
	}
	switch {
	case !(share <= 1):
		t.Errorf("%s, math %d: off by %.3g of the bound", name, kind, share)
	case kind == kernels.Float32:
		s.worst[name] = share
	case !(share > 16*s.worst[name]):
		t.Errorf("%s: in bfloat16 off by %.3g of the bound, in float32 by %.3g", name, share, s.worst[name])
	}
}

func newSequences(t *testing.T, b *Backend, queries, lengths []int, heads, dims int, drop float64) *sequences {
	rng := rand.New(rand.NewPCG(uint64(dims), uint64(len(lengths))))
	pointer := func(lengths []int) (ptr []int32, on gpu.Buffer) {
		ptr = []int32{0}
		for i, n := range lengths {
			ptr = append(ptr, ptr[i]+int32(n))
		}
		on = alloc(t, b, len(ptr))
		b.UploadInts(on, ptr)
		return ptr, on
	}
	qptr, onQ := pointer(queries)
	ptr, on := pointer(lengths)
	rows, keys, cols := int(qptr[len(queries)]), int(ptr[len(lengths)]), heads*dims
	input := func(rows int) (gpu.Mat, ref.M[float64]) {
		o := matrix(t, b, rng, rows, cols, false)
		return o.Mat, ref.M[float64]{Rows: rows, Cols: cols, LD: o.LD, D: o.v}
	}
	output := func(rows, cols int) (gpu.Mat, ref.M[float64], ref.M[float64]) {
		ld := gpu.PadCols(cols)
		m := func() ref.M[float64] {
			return ref.M[float64]{Rows: rows, Cols: cols, LD: ld, D: make([]float64, rows*ld)}
		}
		return gpu.MatOf(alloc(t, b, rows*ld), rows, cols, ld), m(), m()
	}
	s := &sequences{worst: map[string]float64{}}
	s.op = gpu.Attention{QPtr: onQ, Ptr: on, Sequences: len(lengths), LongestQ: slices.Max(queries), Longest: slices.Max(lengths), Heads: heads, Scale: 1 / math.Sqrt(float64(dims)), DropP: drop,
		Key: gpu.Key{Seed: rng.Uint64(), Step: rng.Uint32(), Stream: rng.Uint32()}}
	o := ref.Attention[float64]{QPtr: qptr, Ptr: ptr, Heads: heads, Scale: s.op.Scale, DropP: drop, Seed: s.op.Key.Seed, Step: s.op.Key.Step, Stream: s.op.Key.Stream}
	s.op.Q, o.Q = input(rows)
	s.op.K, o.K = input(keys)
	s.op.V, o.V = input(keys)
	s.op.Out, s.out, s.outBound = output(rows, cols)
	s.op.LSE, s.lse, s.lseBound = output(rows, heads)
	o.Out, o.LSE = s.out, s.lse
	o.Forward()
	s.grad.Attention = s.op
	var dout ref.M[float64]
	s.grad.DOut, dout = input(rows)
	s.grad.DQ, s.dq, s.dqBound = output(rows, cols)
	s.grad.DK, s.dk, s.dkBound = output(keys, cols)
	s.grad.DV, s.dv, s.dvBound = output(keys, cols)
	o.Backward(dout, s.dq, s.dk, s.dv)

	const twice = 2*bf16Unit + bf16Unit*bf16Unit // of a product of two rounded factors
	dot := func(x ref.M[float64], i int, y ref.M[float64], j, h int) (sum, size float64) {
		for c := h * dims; c < (h+1)*dims; c++ {
			sum += x.Row(i)[c] * y.Row(j)[c]
			size += math.Abs(x.Row(i)[c] * y.Row(j)[c])
		}
		return
	}
	// spread adds to row i of a bound what a weight that is off by so much, and rounded, with row j of x does.
	spread := func(bound ref.M[float64], i int, weight, off float64, x ref.M[float64], j, h int) {
		weight = math.Abs(weight)
		for c := h * dims; c < (h+1)*dims; c++ {
			bound.Row(i)[c] += ((weight+off)*(1+twice) - weight + float32Sums*weight) * math.Abs(x.Row(j)[c])
		}
	}
	for n := range lengths {
		lo, hi := int(ptr[n]), int(ptr[n+1])
		for i := int(qptr[n]); i < int(qptr[n+1]); i++ {
			for h := range heads {
				mean, meanSize := dot(dout, i, s.out, i, h)
				most := 0.0
				for j := lo; j < hi; j++ {
					_, size := dot(o.Q, i, o.K, j, h)
					most = max(most, twice*o.Scale*size)
				}
				s.lseBound.Row(i)[h] = most + float32Sums*(1+math.Abs(s.lse.Row(i)[h]))
				for j := lo; j < hi; j++ {
					score, size := dot(o.Q, i, o.K, j, h)
					off := twice * o.Scale * size
					p, keep := math.Exp(o.Scale*score-s.lse.Row(i)[h]), 1/(1-drop)
					if drop > 0 && ref.Uniform(o.Seed, o.Step, o.Stream, uint64(i*heads+h)*65536+uint64(j-lo)) < drop {
						keep = 0
					}
					spread(s.outBound, i, keep*p, keep*p*math.Expm1(off+most), o.V, j, h)
					spread(s.dvBound, j, keep*p, keep*p*math.Expm1(off), dout, i, h)
					dp, dpSize := dot(dout, i, o.V, j, h)
					ds := p * (keep*dp - mean)
					dsOff := p*math.Exp(off)*(math.Abs(keep*dp-mean)+keep*twice*dpSize+float32Sums*(keep*dpSize+meanSize)) - math.Abs(ds)
					spread(s.dqBound, i, o.Scale*ds, o.Scale*dsOff, o.K, j, h)
					spread(s.dkBound, j, o.Scale*ds, o.Scale*dsOff, o.Q, i, h)
				}
			}
		}
	}
	return s
}
