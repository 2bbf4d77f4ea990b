package dry

import (
	"tapweight/gpu"
	"tapweight/gpu/args"
	"tapweight/kernels/cuda"
)

func (b *Backend) Gemm(g gpu.Gemm) {
	k := g.A.Cols
	if g.TransA {
		k = g.A.Rows
	}
	b.add("Gemm", b.float.Gemm(g.C.Rows, g.C.Cols, k, !g.Bias.IsNil(), g.Act == gpu.ReLU, g.Accumulate))
	a := args.Gemm(g)
	cuda.Gemm((*queue)(b), &a)
}

func (b *Backend) ColSum(dst gpu.Buffer, src gpu.Mat, accumulate bool) {
	b.add("ColSum", b.float.ColSum(src.Rows, src.Cols))
	a := args.ColSum(dst, src, accumulate)
	cuda.ColSum((*queue)(b), &a)
}

func (b *Backend) Aggregate(a gpu.Aggregate) {
	b.add("Aggregate", b.float.Aggregate(a.CSR.Rows, a.CSR.NNZ, a.Out.Cols, a.E.Rows, !a.CSR.Weight.IsNil(), a.Accumulate))
	x := args.Aggregate(a)
	cuda.Aggregate((*queue)(b), &x)
}

func (b *Backend) EdgeGrad(e gpu.EdgeGrad) {
	b.add("EdgeGrad", b.float.EdgeGrad(e.CSR.Rows, e.CSR.NNZ, e.DE.Cols, e.DE.Rows, !e.CSR.Weight.IsNil()))
	a := args.EdgeGrad(e)
	cuda.EdgeGrad((*queue)(b), &a)
}

func (b *Backend) EmbeddingSum(out, table gpu.Mat, _ gpu.Buffer, fields int) {
	b.add("EmbeddingSum", b.float.EmbeddingSum(out.Rows, out.Cols, fields, table.Rows))
}

func (b *Backend) EmbeddingSumGrad(dtable, dout gpu.Mat, idx gpu.Buffer, fields int) {
	b.add("EmbeddingSumGrad", b.float.EmbeddingSumGrad(dout.Rows, dout.Cols, fields, dtable.Rows))
	a := args.EmbeddingSumGrad(dtable, dout, idx, fields)
	cuda.EmbeddingGrad((*queue)(b), &a)
}

func (b *Backend) SegmentMax(out gpu.Mat, _ gpu.Buffer, csr gpu.CSR, _ gpu.Mat) {
	b.add("SegmentMax", b.float.SegmentMax(csr.Rows, csr.NNZ, out.Cols))
}

func (b *Backend) SegmentMaxGrad(_, dout gpu.Mat, _ gpu.Buffer) {
	b.add("SegmentMaxGrad", b.float.SegmentMaxGrad(dout.Rows, dout.Cols))
}

func (b *Backend) SegmentMaxTangent(tout, _ gpu.Mat, _ gpu.Buffer) {
	b.add("SegmentMaxTangent", b.float.SegmentMaxTangent(tout.Rows, tout.Cols))
}

func (b *Backend) GAT(g gpu.GAT) {
	b.add("GAT", b.float.GAT(g.CSR.Rows, g.CSR.NNZ, g.Heads, g.X.Cols/g.Heads, g.E.Rows))
}

func (b *Backend) GATGrad(g gpu.GATGrad) {
	b.add("GATGrad", b.float.GATGrad(g.CSR.Rows, g.X.Rows, g.CSR.NNZ, g.Heads, g.X.Cols/g.Heads, g.E.Rows))
	a := args.GATGrad(g)
	cuda.GATGrad((*queue)(b), &a)
}

func (b *Backend) GATTangent(g gpu.GATTangent) {
	b.add("GATTangent", b.float.GATTangent(g.CSR.Rows, g.CSR.NNZ, g.Heads, g.X.Cols/g.Heads, g.E.Rows))
	a := args.GATTangent(g)
	cuda.GATTangent((*queue)(b), &a)
}

func (b *Backend) BatchNorm(o gpu.BatchNorm) {
	b.add("BatchNorm", b.float.BatchNorm(o.X.Rows, o.X.Cols, !o.Mult.IsNil(), o.Act == gpu.ReLU, o.Frozen))
	a := args.BatchNorm(o)
	cuda.BatchNorm((*queue)(b), &a)
}

func (b *Backend) BatchNormGrad(o gpu.BatchNormGrad) {
	b.add("BatchNormGrad", b.float.BatchNormGrad(o.X.Rows, o.X.Cols, !o.Mult.IsNil(), o.Act == gpu.ReLU, o.Frozen, !o.DX.IsNil(), o.Accumulate))
	a := args.BatchNormGrad(o)
	cuda.BatchNormGrad((*queue)(b), &a)
}

func (b *Backend) BatchNormTangent(o gpu.BatchNormTangent) {
	b.add("BatchNormTangent", b.float.BatchNormTangent(o.X.Rows, o.X.Cols, !o.Mult.IsNil(), o.Act == gpu.ReLU, o.Frozen))
	a := args.BatchNormTangent(o)
	cuda.BatchNormTangent((*queue)(b), &a)
}

func (b *Backend) BatchNormRunning(_, _, mean, _ gpu.Buffer, _, _, _ float64) {
	b.add("BatchNormRunning", b.float.BatchNormRunning(mean.Len()))
}

func (b *Backend) RstdOf(rstd, _ gpu.Buffer, _ float64) { b.add("RstdOf", b.float.RstdOf(rstd.Len())) }

func (b *Backend) LayerNorm(o gpu.LayerNorm) {
	b.add("LayerNorm", b.float.LayerNorm(o.X.Rows, o.X.Cols, o.Act == gpu.ReLU))
}

func (b *Backend) LayerNormGrad(o gpu.LayerNormGrad) {
	b.add("LayerNormGrad", b.float.LayerNormGrad(o.X.Rows, o.X.Cols, o.Act == gpu.ReLU, !o.DX.IsNil(), o.Accumulate))
	a := args.LayerNormGrad(o)
	cuda.LayerNormGrad((*queue)(b), &a)
}

func (b *Backend) LayerNormTangent(o gpu.LayerNormTangent) {
	b.add("LayerNormTangent", b.float.LayerNormTangent(o.X.Rows, o.X.Cols, o.Act == gpu.ReLU))
}

func (b *Backend) Activate(_ gpu.Act, _, x gpu.Mat) {
	b.add("Activate", b.float.Map(x.Rows*x.Cols, 1, 1, false))
}

func (b *Backend) ActivateGrad(_ gpu.Act, _, dy, _ gpu.Mat, accumulate bool) {
	b.add("ActivateGrad", b.float.Map(dy.Rows*dy.Cols, 2, 2, accumulate))
}

func (b *Backend) Dropout(_, x gpu.Mat, _ float64, _ gpu.Key, accumulate bool) {
	b.add("Dropout", b.float.Dropout(x.Rows*x.Cols, accumulate))
}

func (b *Backend) AddScaled(_, x gpu.Mat, _ float64) {
	b.add("AddScaled", b.float.Map(x.Rows*x.Cols, 1, 1, true))
}

func (b *Backend) CopyMat(_, x gpu.Mat) { b.add("CopyMat", b.float.Map(x.Rows*x.Cols, 1, 0, false)) }

func (b *Backend) ScaleMat(_, x gpu.Mat, _ float64, _ gpu.Buffer) {
	b.add("ScaleMat", b.float.Map(x.Rows*x.Cols, 1, 1, false))
}

func (b *Backend) RowDot(_ gpu.Buffer, x, _ gpu.Mat, _ float64, accumulate bool) {
	b.add("RowDot", b.float.RowDot(x.Rows, x.Cols, accumulate))
}

func (b *Backend) RowScale(_ gpu.Mat, _ gpu.Buffer, src gpu.Mat, _ float64, accumulate bool) {
	b.add("RowScale", b.float.RowScale(src.Rows, src.Cols, accumulate))
}

func (b *Backend) RowNormalize(_, x gpu.Mat, _ gpu.Buffer, _ float64) {
	b.add("RowNormalize", b.float.RowNormalize(x.Rows, x.Cols))
}

func (b *Backend) RowNormalizeJac(_, in, _ gpu.Mat, _ gpu.Buffer, accumulate bool) {
	b.add("RowNormalizeJac", b.float.RowNormalizeJac(in.Rows, in.Cols, accumulate))
}

func (b *Backend) SoftmaxCE(l gpu.SoftmaxCE) {
	b.add("SoftmaxCE", b.float.SoftmaxCE(l.X.Rows, l.X.Cols, !l.Weight.IsNil()))
	a := args.SoftmaxCE(l)
	cuda.SoftmaxCE((*queue)(b), &a)
}

func (b *Backend) ElementLoss(l gpu.ElementLoss) {
	b.add("ElementLoss", b.float.ElementLoss(l.X.Rows*l.X.Cols, l.Kind == gpu.BCE, !l.Weight.IsNil()))
	a := args.ElementLoss(l)
	cuda.ElementLoss((*queue)(b), &a)
}

func (b *Backend) NTXent(l gpu.NTXent) {
	b.add("NTXent", b.float.NTXent(l.S.Rows))
	a := args.NTXent(l)
	cuda.NTXent((*queue)(b), &a)
}

func (b *Backend) PairDistance(l gpu.PairDistance) {
	b.add("PairDistance", b.float.PairDistance(l.A.Rows, l.A.Cols))
	a := args.PairDistance(l)
	cuda.PairDistance((*queue)(b), &a)
}

func (b *Backend) Fill(x gpu.Buffer, _ float64) { b.add("Fill", b.float.Map(x.Len(), 0, 0, false)) }

func (b *Backend) Copy(dst, _ gpu.Buffer) { b.add("Copy", b.float.Map(dst.Len(), 1, 0, false)) }

func (b *Backend) Scale(x gpu.Buffer, _ float64, _ gpu.Buffer) {
	b.add("Scale", b.float.Map(x.Len(), 1, 1, false))
}

func (b *Backend) Axpy(y gpu.Buffer, _ float64, _, _ gpu.Buffer) {
	b.add("Axpy", b.float.Map(y.Len(), 1, 1, true))
}

func (b *Backend) Perturb(dst, _ gpu.Buffer, _ float64, _, _ gpu.Buffer) {
	b.add("Perturb", b.float.Map(dst.Len(), 2, 2, false))
}

func (b *Backend) Mul(dst gpu.Buffer, _ float64, _, _ gpu.Buffer) {
	b.add("Mul", b.float.Map(dst.Len(), 2, 2, false))
}

func (b *Backend) Dot(out gpu.Buffer, c float64, x, y gpu.Buffer, accumulate bool) {
	b.add("Dot", b.float.Dot(x.Len()))
	a := args.Dot(out, c, x, y, accumulate)
	cuda.Dot((*queue)(b), &a)
}

func (b *Backend) Combine(dst, _ gpu.Buffer, xs []gpu.Buffer, accumulate bool) {
	b.add("Combine", b.float.Combine(dst.Len(), len(xs), accumulate))
}

func (b *Backend) Dots(out gpu.Buffer, c float64, xs []gpu.Buffer, y gpu.Buffer) {
	b.add("Dots", b.float.Dots(y.Len(), len(xs)))
	a := args.Dots(out, c, xs, y)
	cuda.Dots((*queue)(b), &a)
}

func (b *Backend) Gram(out gpu.Buffer, xs []gpu.Buffer) {
	b.add("Gram", b.float.Gram(xs[0].Len(), len(xs)))
	a := args.Gram(out, xs)
	cuda.Gram((*queue)(b), &a)
}

func (b *Backend) DotMat(out gpu.Buffer, c float64, x, y gpu.Mat, accumulate bool) {
	b.add("DotMat", b.float.Dot(x.Rows*x.Cols))
	a := args.DotMat(out, c, x, y, accumulate)
	cuda.DotMat((*queue)(b), &a)
}

func (b *Backend) Prox(g, w, anchor gpu.Buffer, gamma float64, loss gpu.Buffer) {
	flops := 2 // difference and product, the addition is the update
	if !loss.IsNil() {
		flops += 2
	}
	b.add("Prox", b.float.Map(g.Len(), 2, flops, true))
	a := args.Prox(g, w, anchor, gamma, loss)
	cuda.Prox((*queue)(b), &a)
}

func (b *Backend) ClipScale(gpu.Buffer, gpu.Buffer, float64) {
	b.add("ClipScale", b.float.Map(1, 1, 3, false))
}

func (b *Backend) ClipCoef(_, _, _, _ gpu.Buffer) { b.add("ClipCoef", b.float.Map(1, 3, 2, false)) }

func (b *Backend) StepSize(_, _ gpu.Buffer, _ float64) {
	b.add("StepSize", b.float.Map(1, 1, 4, false))
}

func (b *Backend) Quotient(_, _, _ gpu.Buffer) { b.add("Quotient", b.float.Map(1, 2, 1, false)) }

func (b *Backend) Update(u gpu.Update) {
	adaptive := u.Rule != gpu.SGD
	b.add("Update", b.float.Update(u.P.Len(), !adaptive && !u.M.IsNil(), adaptive, u.WeightDecay != 0, !u.Jac.IsNil()))
}

func (b *Backend) UpdateRows(u gpu.UpdateRows) {
	adaptive, rows := u.Rule != gpu.SGD, u.P.Rows
	if !u.Row.IsNil() {
		rows = u.Row.Len()
	}
	b.add("UpdateRows", b.float.UpdateRows(rows, u.P.Cols, !adaptive && !u.M.IsNil(), adaptive, u.WeightDecay != 0, !u.G.IsNil(), !u.Row.IsNil()))
}

func (b *Backend) Softmax(out, _ gpu.Buffer) { b.add("Softmax", b.float.Softmax(out.Len())) }

func (b *Backend) SoftmaxGrad(dx, _, _ gpu.Buffer) {
	b.add("SoftmaxGrad", b.float.SoftmaxGrad(dx.Len()))
}
