package cuda

import (
	"sync"

	"tapweight/kernels/abi"
)

// Logits are gone through in blocks of at most ceRows rows, and where slopes are kept of at most ceElements elements: 8 MiB, which
// stay in the L2 cache. The loss keeps 8 bytes for each row of a block and each tileN classes.
const (
	ceRows     = 4096
	ceElements = 1 << 21
)

// panelLimit is what the panels of a product take of scratch at most: no more blocks than are wanted have a tile each.
const panelLimit = 4 * wantedBlocks * tileM * tileN

var (
	ceKernels        = named("gemm_simt_nt_ce")
	slopesKernels    = named("gemm_simt_nt_slopes")
	ceTangentKernels = named("linear_ce_tangent")
)

// logitsArgs are a block of logits, tw_logits_args in linear_ce.cu.
type logitsArgs struct {
	abi.GemmArgs
	Target      abi.Ptr
	First       int64
	LSE, Up     abi.Ptr
	Scale       float64
	Sums, Terms abi.Ptr
}

// slopesArgs are tw_slopes_args in linear_ce.cu.
type slopesArgs struct {
	Slopes, T abi.Mat
	TBias     abi.Ptr
}

// ce goes through the blocks of logits of one operation: rows [r0, r1), classes [v0, v1).
type ce struct {
	q              Queue
	a              *abi.LinearCEArgs
	rows, width    int64 // of a block, at most
	r0, r1, v0, v1 int64
	scratch        uintptr // of products

	// What launches are given, whose address the compiler cannot see to stay here.
	logits logitsArgs
	gemm   abi.GemmArgs
	colSum abi.ColSumArgs
	slopes slopesArgs
}

var ces = sync.Pool{New: func() any { return new(ce) }}

// start begins at the first block.
func (c *ce) start(q Queue, a *abi.LinearCEArgs, width int64) {
	*c = ce{q: q, a: a, rows: min(a.X.Rows, ceRows), width: width}
	c.r1, c.v1 = c.rows, min(width, a.W.Rows)
}

// slopesWidth returns the classes of a block that keeps slopes: equally many in all, in whole tiles.
func slopesWidth(a *abi.LinearCEArgs) int64 {
	most := ceElements / min(a.X.Rows, ceRows)
	return pieces(pieces(a.W.Rows, pieces(a.W.Rows, most)), tileN) * tileN
}

// next goes on to the next block and says whether there is one: classes first, then rows.
func (c *ce) next() bool {
	c.v0, c.v1 = c.v1, min(c.v1+c.width, c.a.W.Rows)
	if c.v0 == c.a.W.Rows {
		c.v0, c.v1 = 0, min(c.width, c.a.W.Rows)
		c.r0, c.r1 = c.r1, min(c.r1+c.rows, c.a.X.Rows)
	}
	return c.r0 < c.a.X.Rows
}

// ofRows and ofClasses return the block's rows of a matrix whose rows are those of X or of W.
func (c *ce) ofRows(m abi.Mat) abi.Mat    { return part(m, c.r0, c.r1) }
func (c *ce) ofClasses(m abi.Mat) abi.Mat { return part(m, c.v0, c.v1) }

func part(m abi.Mat, lo, hi int64) abi.Mat {
	return abi.Mat{P: from(m.P, lo*m.LD), Rows: hi - lo, Cols: m.Cols, LD: m.LD}
}

// from returns the address of element i of a vector that may be absent.
func from(p abi.Ptr, i int64) abi.Ptr {
	if p == 0 {
		return 0
	}
	return p + abi.Ptr(4*i)
}

// run launches a kernel on the tiles of the block, with slopes of rows of c.width floats at to.
func (c *ce) run(tensor string, simt variants, to, sums, terms, scratch uintptr) {
	a, l := c.a, &c.logits
	*l = logitsArgs{GemmArgs: abi.GemmArgs{A: c.ofRows(a.X), B: c.ofClasses(a.W), C: abi.Mat{P: to, Rows: c.r1 - c.r0, Cols: c.v1 - c.v0, LD: c.width},
		TransB: 1, Bias: from(a.Bias, c.v0)}, Target: from(a.Target, c.r0), First: c.v0, LSE: from(a.LSE, c.r0), Up: a.Up, Scale: a.Scale, Sums: sums, Terms: terms}
	wide := alignedRows(l.A, l.B)
	kernel, _ := simt.pick(wide)
	if wide && l.C.Rows*l.C.Cols*l.A.Cols >= tensorWork {
		kernel = tensor
	}
	launch(c.q, kernel, blocks(gemmTiles(l.C.Rows, l.C.Cols), 1), linear(gemmThreads), gemmShared(&l.GemmArgs), l, scratch)
}

// slopesTo leaves the slopes of the loss in the block's logits at to, and their sums over the rows of each tile at sums, unless 0.
func (c *ce) slopesTo(to, sums uintptr) abi.Mat {
	c.run("tw_gemm_tf32x3_nt_slopes_f32", slopesKernels, to, sums, 0, 0)
	return c.logits.C
}

// multiply queues out (+)= op(x)·op(y).
func (c *ce) multiply(x, y, out abi.Mat, transX, transY int32, accumulate bool) {
	c.gemm = abi.GemmArgs{A: x, B: y, C: out, TransA: transX, TransB: transY}
	if accumulate {
		c.gemm.Accumulate = 1
	}
	if out.Cols > 0 {
		gemm(c.q, Float32, &c.gemm, c.scratch)
	}
}

// LinearCE queues gpu.LinearCE.
func LinearCE(q Queue, a *abi.LinearCEArgs) {
	if a.X.Rows == 0 {
		return
	}
	c := ces.Get().(*ce)
	defer ces.Put(c)
	c.start(q, a, a.W.Rows)
	terms := pieces(a.X.Rows, sumRows)
	scratch := q.Scratch(int(8*terms + c.rows*(8*pieces(a.W.Rows, tileN)+4)))
	parts := scratch + uintptr(8*terms)
	for more := true; more; more = c.next() {
		c.run("tw_gemm_tf32x3_nt_ce_f32", ceKernels, 0, 0, scratch+uintptr(8*(c.r0/sumRows)), parts)
		launch(q, "tw_linear_ce_f32", blocks(c.r1-c.r0, sumRows), linear(threads), 0, &c.logits, parts)
	}
	sum(q, a.Loss, terms, 1, 1, scratch)
}

// LinearCEGrad queues gpu.LinearCEGrad.
func LinearCEGrad(q Queue, a *abi.LinearCEArgs) {
	if a.X.Rows == 0 {
		return
	}
	c := ces.Get().(*ce)
	defer ces.Put(c)
	c.start(q, a, slopesWidth(a))
	tiles := pieces(c.rows, tileM)
	slopes := q.Scratch(int(4*(c.rows+tiles)*c.width + panelLimit))
	c.scratch = slopes + uintptr(4*(c.rows+tiles)*c.width)
	var sums uintptr
	if a.DBias != 0 {
		sums = slopes + uintptr(4*c.rows*c.width)
	}
	for more := true; more; more = c.next() {
		d := c.slopesTo(slopes, sums)
		if sums != 0 {
			c.colSum = abi.ColSumArgs{Dst: from(a.DBias, c.v0), Src: abi.Mat{P: sums, Rows: pieces(d.Rows, tileM), Cols: d.Cols, LD: d.LD}, Accumulate: 1}
			ColSum(q, &c.colSum) // of so few rows that it needs no scratch
		}
		if a.DX.P != 0 {
			c.multiply(d, c.ofClasses(a.W), c.ofRows(a.DX), 0, 0, a.Accumulate != 0 || c.v0 > 0)
		}
		if a.DW.P != 0 {
			c.multiply(d, c.ofRows(a.X), c.ofClasses(a.DW), 1, 0, true)
		}
	}
}

// LinearCETangent queues gpu.LinearCETangent.
func LinearCETangent(q Queue, a *abi.LinearCEArgs) {
	if a.X.Rows == 0 {
		return
	}
	c := ces.Get().(*ce)
	defer ces.Put(c)
	c.start(q, a, slopesWidth(a))
	terms := pieces(a.X.Rows, sumRows) * pieces(a.W.Rows, c.width)
	block := 4 * c.rows * c.width
	slopes := q.Scratch(int(2*block + panelLimit + 8*terms))
	tangents := slopes + uintptr(block)
	c.scratch = tangents + uintptr(block)
	sums := c.scratch + panelLimit
	to := sums
	for more := true; more; more = c.next() {
		d := c.slopesTo(slopes, 0)
		c.slopes = slopesArgs{Slopes: d, TBias: from(a.TBias, c.v0)}
		t := abi.Mat{P: tangents, Rows: d.Rows, Cols: d.Cols, LD: d.LD}
		if a.TX.P != 0 {
			c.multiply(c.ofRows(a.TX), c.ofClasses(a.W), t, 0, 1, false)
			c.slopes.T = t
		}
		if a.TW.P != 0 {
			c.multiply(c.ofRows(a.X), c.ofClasses(a.TW), t, 0, 1, a.TX.P != 0)
			c.slopes.T = t
		}
		kernel, _ := ceTangentKernels.pick(aligned(a.TBias))
		launch(q, kernel, blocks(d.Rows, sumRows), linear(threads), 0, &c.slopes, to)
		to += uintptr(8 * pieces(d.Rows, sumRows))
	}
	sum(q, a.Out, terms, a.C, 1, sums)
}
