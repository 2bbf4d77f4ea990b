package cuda

import "tapweight/kernels/abi"

// The numbers of gemm.cuh and dense.cu.
const (
	tileM       = 128
	tileN       = 64
	tileK       = 16
	stages      = 3
	gemmThreads = 128
	colRows     = 256
)

// Math is how tensor cores multiply.
type Math uint8

// Maths. Float32 takes three products of tf32 numbers, which together have the accuracy of float32. TF32 takes one: 11 bits. BF16
// rounds to bfloat16: 8 bits. Sums are float32 in all of them.
const (
	Float32 Math = iota
	TF32
	BF16
)

// simtKernels and tensorKernels are indexed by TransA + 2*TransB; a product of two transposes has no kernel for tensor cores.
var (
	simtKernels   = [4]variants{named("gemm_simt_nn"), named("gemm_simt_tn"), named("gemm_simt_nt"), named("gemm_simt_tt")}
	tensorKernels = [3][3]string{
		Float32: {"tw_gemm_tf32x3_nn_f32", "tw_gemm_tf32x3_tn_f32", "tw_gemm_tf32x3_nt_f32"},
		TF32:    {"tw_gemm_tf32_nn_f32", "tw_gemm_tf32_tn_f32", "tw_gemm_tf32_nt_f32"},
		BF16:    {"tw_gemm_bf16_nn_f32", "tw_gemm_bf16_tn_f32", "tw_gemm_bf16_nt_f32"},
	}
	gemmSums      = named("gemm_sum")
	colSumKernels = named("colsum")
)

// tensorWork is the number of multiplications from which a product is worth the tensor cores.
const tensorWork = 1 << 18

// wantedBlocks is how many blocks keep the largest card busy: two waves of two for each multiprocessor. minPanel is how much of a
// sum is worth a block of its own.
const (
	wantedBlocks = 528
	minPanel     = 256
)

// pad4 rounds up to whole float4.
func pad4(n int64) int64 { return (n + 3) / 4 * 4 }

// tileBytes returns the bytes of a tile in shared memory, with consecutive elements along the sum (lines) or along its rows.
func tileBytes(rows int, lines bool) int {
	if lines {
		return 4 * rows * tileK
	}
	return 4 * (rows + 8) * tileK
}

// Gemm queues gpu.Gemm in float32.
func Gemm(q Queue, a *abi.GemmArgs) { GemmIn(q, Float32, a) }

// GemmIn queues gpu.Gemm in a math: on tensor cores where it is large and aligned, otherwise in float32 on the ordinary units; cut
// into panels where it has too few tiles for the card.
func GemmIn(q Queue, math Math, a *abi.GemmArgs) {
	if a.C.Rows > 0 && a.C.Cols > 0 {
		gemm(q, math, a, reserve(q, panelBytes(a)))
	}
}

// inner returns the number of terms of the sums of a product.
func inner(a *abi.GemmArgs) int64 {
	if a.TransA != 0 {
		return a.A.Rows
	}
	return a.A.Cols
}

// gemmTiles returns the number of tiles of a product.
func gemmTiles(m, n int64) int64 { return pieces(m, tileM) * pieces(n, tileN) }

// gemmShared returns the bytes of shared memory of a product.
func gemmShared(a *abi.GemmArgs) int {
	return stages * (tileBytes(tileM, a.TransA == 0) + tileBytes(tileN, a.TransB != 0))
}

// panels returns how many pieces the sums of a product are cut into.
func panels(a *abi.GemmArgs) int64 {
	return max(1, min(wantedBlocks/gemmTiles(a.C.Rows, a.C.Cols), inner(a)/minPanel))
}

// panelBytes returns the scratch memory of a product, 0 for a single panel.
func panelBytes(a *abi.GemmArgs) int64 {
	if n := panels(a); n > 1 {
		return 4 * n * a.C.Rows * pad4(a.C.Cols)
	}
	return 0
}

// gemm queues a product, which has elements, and where it is cut into panels their sum.
func gemm(q Queue, math Math, a *abi.GemmArgs, scratch uintptr) {
	m, n := a.C.Rows, a.C.Cols
	trans := a.TransA + 2*a.TransB
	wide := alignedRows(a.A, a.B, a.C)
	kernel, _ := simtKernels[trans].pick(wide)
	if wide && trans < 3 && m*n*inner(a) >= tensorWork {
		kernel = tensorKernels[math][trans]
	}
	panels := panels(a)
	grid := blocks(gemmTiles(m, n), 1)
	grid[1] = uint32(panels)
	if panels == 1 {
		scratch = 0
	}
	launch(q, kernel, grid, linear(gemmThreads), gemmShared(a), a, scratch)
	if panels == 1 {
		return
	}
	a.A = abi.Mat{P: scratch, Rows: panels * m, Cols: n, LD: pad4(n)}
	kernel, width := gemmSums.pick(alignedRows(a.C))
	grid, block := cells(m, n, width)
	launch(q, kernel, grid, block, 0, a, 0)
}

// GemmStatsArgs are a product and the weights of its rows in the moments of its columns.
type GemmStatsArgs struct {
	abi.GemmArgs
	Mult abi.Ptr
}

// Normed says whether a product that became one launch of kernel can be queued by GemmBatchNorm with the normalisation of its result.
func Normed(kernel string, g *abi.GemmArgs, n *abi.NormArgs) bool {
	return kernel == tensorKernels[Float32][2] && g.Accumulate == 0 && n.Frozen == 0 && n.X == g.C
}

// GemmBatchNorm queues a product and the batch normalisation n of it, which need not read the product for its statistics. The bits
// are those of Gemm and BatchNorm.
func GemmBatchNorm(q Queue, a *GemmStatsArgs, n *abi.NormArgs) {
	scratch := columnSums(q, 3, n)
	a.Mult = n.Mult
	launch(q, "tw_gemm_tf32x3_nt_stats_f32", blocks(gemmTiles(a.C.Rows, a.C.Cols), 1), linear(gemmThreads), gemmShared(&a.GemmArgs), a, scratch)
	batchNormOf(q, n, scratch)
}

// ColSum queues gpu.ColSum: a sum of sums of colRows rows, until they are few enough.
func ColSum(q Queue, a *abi.ColSumArgs) {
	n, ld := a.Src.Cols, pad4(a.Src.Cols)
	if n == 0 {
		return
	}
	var partial int64 // rows of partial sums, of all rounds
	for rows := a.Src.Rows; rows > colRows; {
		rows = (rows + colRows - 1) / colRows
		partial += rows
	}
	var scratch uintptr
	if partial > 0 {
		scratch = q.Scratch(4 * int(partial*ld))
	}
	for {
		kernel, width := colSumKernels.pick(alignedRows(a.Src))
		parts := (a.Src.Rows + colRows - 1) / colRows
		launch(q, kernel, blocks((n+32*width-1)/(32*width)*max(1, parts), 1), linear(threads), 0, a, scratch)
		if parts <= 1 {
			return
		}
		a.Src = abi.Mat{P: scratch, Rows: parts, Cols: n, LD: ld}
		scratch += uintptr(4 * parts * ld)
	}
}
