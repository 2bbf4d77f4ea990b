package cuda

import "tapweight/kernels/abi"

// The numbers of columns.cuh and segment.cuh.
const (
	tileRows    = 128
	sumWarps    = 32
	chunk       = 64
	tableFloats = 12288
	tableRows   = 256
)

// sumBlock is the block of the kernels that add up parts.
var sumBlock = Dim{32, sumWarps, 1}

func pieces(n, size int64) int64 { return (n + size - 1) / size }

// padded is the leading dimension of rows in scratch.
func padded(cols int64) int64 { return pieces(cols, 4) * 4 }

// segments is a sum over the rows of a sparse matrix: the kernel that does it and the one that finishes long rows.
type segments struct{ sum, long variants }

// scratch returns the bytes that a sum of cols columns needs, 0 where no row can be long.
func (segments) scratch(c abi.CSR, cols int64) int64 {
	if c.NNZ <= chunk {
		return 0
	}
	return 4 * pieces(c.NNZ, chunk) * (2*padded(cols) + 1)
}

// run launches a sum on arguments a, with scratch already there.
func runSegments[A any](q Queue, s segments, c abi.CSR, cols int64, wide bool, a *A, scratch uintptr) {
	chunks := int64(0)
	if c.NNZ > chunk {
		chunks = pieces(c.NNZ, chunk)
	}
	kernel, width := s.sum.pick(wide)
	grid, block := cells(c.Rows+chunks, cols, width)
	launch(q, kernel, grid, block, 0, a, scratch)
	if chunks > 0 {
		kernel, _ = s.long.pick(wide)
		grid, block = cells(chunks, cols, width)
		launch(q, kernel, grid, block, 0, a, scratch)
	}
}

// tables is a sum of rows into the rows of a table: the kernel that sums each part of the rows, and the one that adds up parts.
type tables struct{ sum, parts variants }

// parts returns how many parts the rows fall into.
func (tables) count(rows, table int64) int64 { return pieces(rows, max(tableRows, 16*table)) }

// scratch returns the bytes that the parts of a table need, 0 for a single part.
func (t tables) scratch(rows, table, cols int64) int64 {
	if n := t.count(rows, table); n > 1 {
		return 4 * n * table * padded(cols)
	}
	return 0
}

// shape returns how wide pieces are, how many warps share a block and how many table rows one holds: wide pieces and several
// warps as far as their private tables fit into shared memory together.
func (tables) shape(table int64, wide bool) (isWide bool, warps, rows int64) {
	fit := int64(tableFloats / 32)
	if wide && 2*table <= fit/4 {
		isWide, fit = true, fit/4
	}
	for warps = 8; warps > 1 && warps*table > fit; warps /= 2 {
	}
	return isWide, warps, min(table, fit/warps)
}

func runTables[A any](q Queue, t tables, rows, table, cols int64, wide bool, a *A, scratch uintptr) {
	wide, warps, held := t.shape(table, wide)
	kernel, width := t.sum.pick(wide)
	parts, tiles := t.count(rows, table), pieces(cols, 32*width)
	grid := Dim{uint32(min(parts, maxBlocks)), uint32(min(tiles, maxBlocks)), uint32(min(pieces(table, held), maxBlocks))}
	launch(q, kernel, grid, Dim{32, uint32(warps), 1}, int(4*warps*held*32*width), a, scratch)
	if parts > 1 {
		kernel, _ = t.parts.pick(wide)
		launch(q, kernel, blocks(table*tiles, 1), sumBlock, 0, a, scratch)
	}
}

// reserve asks for scratch memory where any is needed.
func reserve(q Queue, bytes int64) uintptr {
	if bytes == 0 {
		return 0
	}
	return q.Scratch(int(bytes))
}

var (
	aggregateKernels     = segments{named("aggregate"), named("aggregate_long")}
	edgeGradKernels      = tables{named("edge_grad"), named("edge_grad_parts")}
	embeddingKernels     = named("embedding")
	embeddingGradKernels = tables{named("embedding_grad"), named("embedding_grad_parts")}
	segmentMaxKernels    = named("segment_max")
)

// Aggregate queues gpu.Aggregate.
func Aggregate(q Queue, a *abi.AggregateArgs) {
	if a.Out.Rows == 0 || a.Out.Cols == 0 {
		return
	}
	runSegments(q, aggregateKernels, a.CSR, a.Out.Cols, alignedRows(a.H, a.E, a.Out), a, reserve(q, aggregateKernels.scratch(a.CSR, a.Out.Cols)))
}

// EdgeGrad queues gpu.EdgeGrad.
func EdgeGrad(q Queue, a *abi.EdgeGradArgs) {
	rows, table, cols := a.CSR.Rows, a.DE.Rows, a.DE.Cols
	if a.CSR.NNZ == 0 || cols == 0 {
		return
	}
	runTables(q, edgeGradKernels, rows, table, cols, alignedRows(a.DOut, a.DE), a, reserve(q, edgeGradKernels.scratch(rows, table, cols)))
}

// Embedding queues gpu.EmbeddingSum.
func Embedding(q Queue, a *abi.EmbeddingArgs) {
	if a.Out.Rows == 0 || a.Out.Cols == 0 {
		return
	}
	kernel, width := embeddingKernels.pick(alignedRows(a.Out, a.Table))
	grid, block := cells(a.Out.Rows, a.Out.Cols, width)
	launch(q, kernel, grid, block, 0, a, 0)
}

// EmbeddingGrad queues gpu.EmbeddingSumGrad.
func EmbeddingGrad(q Queue, a *abi.EmbeddingArgs) {
	rows, table, cols := a.Out.Rows, a.Table.Rows, a.Table.Cols
	if rows*a.Fields == 0 || cols == 0 {
		return
	}
	runTables(q, embeddingGradKernels, rows, table, cols, alignedRows(a.Out, a.Table), a, reserve(q, embeddingGradKernels.scratch(rows, table, cols)))
}

// SegmentMax queues gpu.SegmentMax.
func SegmentMax(q Queue, a *abi.SegmentMaxArgs) {
	if a.Out.Rows == 0 || a.Out.Cols == 0 {
		return
	}
	kernel, width := segmentMaxKernels.pick(alignedRows(a.Out, a.H) && a.Out.Cols%4 == 0 && aligned(a.Arg))
	grid, block := cells(a.Out.Rows, a.Out.Cols, width)
	launch(q, kernel, grid, block, 0, a, 0)
}

// SegmentMaxGrad queues gpu.SegmentMaxGrad.
func SegmentMaxGrad(q Queue, a *abi.SegmentMaxArgs) {
	if a.Out.Rows == 0 || a.Out.Cols == 0 {
		return
	}
	launch(q, "tw_segment_max_grad_f32", blocks(a.Out.Cols, threads/32), linear(threads), 0, a, 0)
}

// SegmentMaxTangent queues gpu.SegmentMaxTangent.
func SegmentMaxTangent(q Queue, a *abi.SegmentMaxArgs) {
	if a.Out.Rows == 0 || a.Out.Cols == 0 {
		return
	}
	grid, block := cells(a.Out.Rows, a.Out.Cols, 1)
	launch(q, "tw_segment_max_tangent_f32", grid, block, 0, a, 0)
}
