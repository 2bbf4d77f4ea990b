package dry

import (
	"errors"
	"testing"

	"tapweight/gpu"
	"tapweight/kernels/op"
)

func TestCost(t *testing.T) {
	b := Open(8)
	arena, err := gpu.NewArena(b, 1<<12, 8)
	if err != nil {
		t.Fatal(err)
	}
	x, w, y := arena.Mat(10, 5), arena.Mat(7, 5), arena.Mat(10, 7)
	b.Gemm(gpu.Gemm{A: x, B: w, TransB: true, C: y, Bias: arena.Alloc(7)})
	b.Gemm(gpu.Gemm{A: y, TransA: true, B: x, C: w, Accumulate: true})
	b.Fill(x.Buf, 1)
	gemm := op.Float(8).Gemm(10, 7, 5, true, false, false).Plus(op.Float(8).Gemm(7, 5, 10, false, false, true))
	if e := b.ByOp()["Gemm"]; e.Launches != 2 || e.Cost != gemm {
		t.Errorf("products: %+v, want 2 launches of %+v", e, gemm)
	}
	if want := gemm.Plus(op.Cost{Bytes: 8 * int64(x.Buf.Len())}); b.Cost() != want {
		t.Errorf("total %+v, want %+v", b.Cost(), want)
	}
	if b.Stats().Launches != 3 {
		t.Errorf("%d launches, want 3", b.Stats().Launches)
	}
	if want := int64(8 * (160 + 112 + 160 + 16)); arena.PeakBytes() != want {
		t.Errorf("arena peak of %d bytes, want %d", arena.PeakBytes(), want)
	}
	b.Reset()
	if b.Cost() != (op.Cost{}) || len(b.ByOp()) != 0 || b.PeakBytes() != 8<<12 {
		t.Errorf("after a reset: cost %+v, %d entries, %d bytes", b.Cost(), len(b.ByOp()), b.PeakBytes())
	}
}

func TestMemory(t *testing.T) {
	b := Open(4)
	var last gpu.Buffer
	for i, n := range []int{0, 1, 1000, 0, 1 << 30} {
		buf, err := b.Alloc(n, 4)
		if err != nil {
			t.Fatal(err)
		}
		if buf.Addr()%64 != 0 || buf.Len() != n || i > 0 && buf.Addr() < last.Addr()+uintptr(4*last.Len()) {
			t.Errorf("%d elements at %#x after %d at %#x", n, buf.Addr(), last.Len(), last.Addr())
		}
		last = buf
	}
	b.Free(last)
	if _, err := b.Alloc(1000, 4); err != nil || b.PeakBytes() != 4*(1001+1<<30) {
		t.Errorf("error %v, peak %d", err, b.PeakBytes())
	}
	if _, err := b.Alloc(1<<50, 4); !errors.Is(err, gpu.ErrOutOfMemory) {
		t.Errorf("2^50 elements: %v", err)
	}
	got := []float64{1, 2}
	buf, _ := b.Alloc(2, 4)
	b.Upload(buf, got)
	if err := b.Download(got, buf); err != nil || got[0] != 0 || got[1] != 0 {
		t.Errorf("downloaded %v, error %v", got, err)
	}
	if s := b.Stats(); s.Uploads != 1 || s.UploadBytes != 8 || s.Downloads != 1 || s.DownloadBytes != 8 {
		t.Errorf("counts %+v", s)
	}
}

// TestPairs: the floor of what self-attention computes is what sequences of lengths as equal as can be would take; with a query each,
// every key counts once.
func TestPairs(t *testing.T) {
	for _, c := range []struct{ queries, keys, sequences, longestQ, longest, want int }{
		{0, 0, 0, 0, 0, 0}, {0, 0, 3, 0, 0, 0}, {1, 1, 1, 1, 1, 1}, {7, 7, 1, 7, 7, 49}, {7, 7, 3, 7, 7, 49}, {12, 12, 3, 4, 4, 48}, {12, 12, 3, 6, 6, 36 + 18},
		{3, 20, 3, 1, 11, 20}, {0, 12, 3, 0, 6, 0}, {1, 9, 1, 1, 9, 9},
	} {
		o := gpu.Attention{Q: gpu.Mat{Rows: c.queries}, K: gpu.Mat{Rows: c.keys}, Sequences: c.sequences, LongestQ: c.longestQ, Longest: c.longest}
		if got := pairs(o); got != c.want {
			t.Errorf("%d queries and %d keys in %d sequences of at most %d and %d: %d pairs, want %d", c.queries, c.keys, c.sequences, c.longestQ, c.longest, got, c.want)
		}
	}
}

// TestCUDAScratch works out what two operations need on gpu/cuda: three moments of every column of every 128 rows, and a product of
// few results and a long sum, cut into panels of 256.
func TestCUDAScratch(t *testing.T) {
	b := Open(4)
	arena, err := gpu.NewArena(b, 1<<25, 4)
	if err != nil {
		t.Fatal(err)
	}
	x, y := arena.Mat(40000, 300), arena.Mat(40000, 300)
	v := func() gpu.Buffer { return arena.Alloc(300) }
	b.BatchNorm(gpu.BatchNorm{X: x, Y: y, Total: 40000, Gamma: v(), Beta: v(), Mean: v(), Rstd: v(), Eps: 1e-5})
	if need := 4 * 3 * (313 + 1) * 300; b.scratch != need || b.CUDAScratchBytes() != 2<<20 {
		t.Errorf("statistics need %d bytes and get %d, want %d and 2 MiB", b.scratch, b.CUDAScratchBytes(), need)
	}
	b.Gemm(gpu.Gemm{A: x, TransA: true, B: y, C: arena.Mat(300, 300)})
	if need := 4 * (528 / 15) * 300 * 300; b.scratch != need || b.CUDAScratchBytes() != 16<<20 {
		t.Errorf("the panels of a product need %d bytes and get %d, want %d and 16 MiB", b.scratch, b.CUDAScratchBytes(), need)
	}
	b.Fill(x.Buf, 0)
	for i, want := range []int{3, 2, 1} { // statistics, their parts, the result; panels, their sum
		if o := b.Operations()[i]; o.Launches != want {
			t.Errorf("%s is %d launches, want %d", o.Name, o.Launches, want)
		}
	}
}

// TestReserve: a piece that was reserved does not grow the arena, and one that is free is not reserved again.
func TestReserve(t *testing.T) {
	b := Open(4)
	a, err := gpu.NewArena(b, 0, 4)
	if err != nil {
		t.Fatal(err)
	}
	const n = 5 << 20
	for _, want := range []int64{4 * n, 4 * n} {
		if err := a.Reserve(n); err != nil || b.PeakBytes() != want {
			t.Fatalf("%d bytes, want %d (%v)", b.PeakBytes(), want, err)
		}
	}
	x := a.Alloc(n - 1)
	if b.PeakBytes() != 4*n {
		t.Errorf("the arena grew to %d bytes", b.PeakBytes())
	}
	if err := a.Reserve(16); err != nil || b.PeakBytes() <= 4*n {
		t.Errorf("nothing is free, but the arena has still %d bytes (%v)", b.PeakBytes(), err)
	}
	a.Free(x)
	a.Close()
}
