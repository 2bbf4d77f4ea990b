package cuda

import "tapweight/kernels/abi"

var (
	gatKernels       = named("gat")
	gatTangent       = named("gat_tangent")
	gatGradScores    = named("gat_grad_scores")
	gatGradX         = segments{named("gat_grad_x"), named("gat_grad_x_long")}
	gatGradE         = tables{named("gat_grad_e"), named("gat_grad_e_parts")}
	gatGradAtt       = named("gat_grad_att")
	gatGradAttParts  = named("gat_grad_att_parts")
	gatGradNodesName = "tw_gat_grad_nodes_f32"
)

// gatWide says whether the kernels of attention can use wide accesses.
func gatWide(a *abi.GATArgs, more ...abi.Mat) bool {
	return a.X.Cols/a.Heads%4 == 0 && alignedRows(a.X, a.E, a.Att) && alignedRows(more...)
}

// perHead launches a kernel with a warp to each row and head.
func perHead(q Queue, kernel string, rows int64, a *abi.GATArgs, scratch uintptr) {
	launch(q, kernel, blocks(rows*a.Heads, threads/32), linear(threads), 0, a, scratch)
}

// GAT queues gpu.GAT.
func GAT(q Queue, a *abi.GATArgs) {
	if a.Out.Rows == 0 || a.Out.Cols == 0 {
		return
	}
	kernel, _ := gatKernels.pick(gatWide(a, a.Out))
	perHead(q, kernel, a.Out.Rows, a, 0)
}

// GATTangent queues gpu.GATTangent.
func GATTangent(q Queue, a *abi.GATArgs) {
	if a.Out.Rows == 0 || a.Out.Cols == 0 {
		return
	}
	kernel, _ := gatTangent.pick(gatWide(a, a.TX, a.TE, a.TAtt, a.TOut))
	perHead(q, kernel, a.Out.Rows, a, reserve(q, 4*a.CSR.NNZ*a.Heads))
}

// GATGrad queues gpu.GATGrad.
func GATGrad(q Queue, a *abi.GATArgs) {
	if a.CSR.NNZ == 0 || a.Out.Cols == 0 {
		return
	}
	// Scratch as gat_scratch in gat.cu cuts it up.
	cols, nodes := a.X.Cols, a.X.Rows+a.E.Rows
	bytes := int64(0)
	for _, n := range []int64{a.CSR.NNZ, a.CSR.Rows * a.Heads, a.X.Rows * a.Heads, a.X.Rows * a.Heads, a.E.Rows * a.Heads} {
		bytes += 4 * 64 * pieces(n, 64)
	}
	bytes += max(gatGradX.scratch(a.T, cols), gatGradE.scratch(a.CSR.Rows, a.E.Rows, cols+a.Heads), 8*pieces(nodes, tileRows)*padded(cols))
	scratch := q.Scratch(int(bytes))

	wide := gatWide(a, a.DOut, a.DX, a.DE, a.DAtt)
	kernel, _ := gatGradScores.pick(wide)
	perHead(q, kernel, a.CSR.Rows, a, scratch)
	perHead(q, gatGradNodesName, a.X.Rows, a, scratch)
	runSegments(q, gatGradX, a.T, cols, wide, a, scratch)
	runTables(q, gatGradE, a.CSR.Rows, a.E.Rows, cols+a.Heads, wide, a, scratch)
	kernel, width := gatGradAtt.pick(wide)
	launch(q, kernel, tiles(nodes, cols, width), linear(threads), 0, a, scratch)
	kernel, _ = gatGradAttParts.pick(wide)
	launch(q, kernel, blocks(2*pieces(cols, 32*width), 1), sumBlock, 0, a, scratch)
}
