//go:build cuda

package cuda

import (
	"tapweight/gpu"
	"tapweight/gpu/args"
	"tapweight/kernels/abi"
	kernels "tapweight/kernels/cuda"
)

// arguments hold one operation's arguments while its launches are queued, which copies them: outside of the backend they would
// be allocated anew for every operation.
type arguments struct {
	addNorm    abi.AddNormArgs
	aggregate  abi.AggregateArgs
	attention  abi.AttentionArgs
	colSum     abi.ColSumArgs
	edgeGrad   abi.EdgeGradArgs
	element    abi.ElementArgs
	embedding  abi.EmbeddingArgs
	gat        abi.GATArgs
	gelu       abi.GELUArgs
	gemm       abi.GemmArgs
	gemmStats  kernels.GemmStatsArgs
	product    product // of cuBLAS
	linearCE   abi.LinearCEArgs
	loss       abi.LossArgs
	norm       abi.NormArgs
	running    abi.RunningArgs
	scatter    abi.ScatterArgs
	rows       abi.RowsArgs
	segmentMax abi.SegmentMaxArgs
	update     abi.UpdateArgs
	updateRows abi.UpdateRowsArgs
	vector     abi.VectorArgs
	vectors    abi.VectorsArgs
}

// op counts an operation and returns the queue for its launches.
func (b *Backend) op() *queue {
	b.stats.Launches++
	return (*queue)(b)
}

func (b *Backend) Gemm(g gpu.Gemm) {
	b.args.gemm = args.Gemm(g)
	if !b.product(&b.args.gemm) {
		kernels.Gemm(b.op(), &b.args.gemm)
	}
}

func (b *Backend) ColSum(dst gpu.Buffer, src gpu.Mat, accumulate bool) {
	b.args.colSum = args.ColSum(dst, src, accumulate)
	kernels.ColSum(b.op(), &b.args.colSum)
}

func (b *Backend) Activate(act gpu.Act, y, x gpu.Mat) {
	b.args.element = args.Activate(act, y, x)
	kernels.Activate(b.op(), &b.args.element)
}

func (b *Backend) ActivateGrad(act gpu.Act, dx, dy, y gpu.Mat, accumulate bool) {
	b.args.element = args.ActivateGrad(act, dx, dy, y, accumulate)
	kernels.ActivateGrad(b.op(), &b.args.element)
}

func (b *Backend) Dropout(y, x gpu.Mat, p float64, key gpu.Key, accumulate bool) {
	b.args.element = args.Dropout(y, x, p, key, accumulate)
	kernels.Dropout(b.op(), &b.args.element)
}

func (b *Backend) AddScaled(y, x gpu.Mat, s float64) {
	b.args.element = args.AddScaled(y, x, s)
	kernels.AddScaled(b.op(), &b.args.element)
}

func (b *Backend) CopyMat(y, x gpu.Mat) {
	b.args.element = args.CopyMat(y, x)
	kernels.CopyMat(b.op(), &b.args.element)
}

func (b *Backend) ScaleMat(y, x gpu.Mat, c float64, s gpu.Buffer) {
	b.args.element = args.ScaleMat(y, x, c, s)
	kernels.ScaleMat(b.op(), &b.args.element)
}

func (b *Backend) RowDot(out gpu.Buffer, x, y gpu.Mat, scale float64, accumulate bool) {
	b.args.element = args.RowDot(out, x, y, scale, accumulate)
	kernels.RowDot(b.op(), &b.args.element)
}

func (b *Backend) RowScale(dst gpu.Mat, s gpu.Buffer, src gpu.Mat, scale float64, accumulate bool) {
	b.args.element = args.RowScale(dst, s, src, scale, accumulate)
	kernels.RowScale(b.op(), &b.args.element)
}

func (b *Backend) RowNormalize(y, x gpu.Mat, norm gpu.Buffer, eps float64) {
	b.args.element = args.RowNormalize(y, x, norm, eps)
	kernels.RowNormalize(b.op(), &b.args.element)
}

func (b *Backend) RowNormalizeJac(out, in, y gpu.Mat, norm gpu.Buffer, accumulate bool) {
	b.args.element = args.RowNormalizeJac(out, in, y, norm, accumulate)
	kernels.RowNormalizeJac(b.op(), &b.args.element)
}

func (b *Backend) Combine(dst, s gpu.Buffer, xs []gpu.Buffer, accumulate bool) {
	b.args.vectors = args.Combine(dst, s, xs, accumulate)
	kernels.Combine(b.op(), &b.args.vectors)
}

func (b *Backend) Dots(out gpu.Buffer, c float64, xs []gpu.Buffer, y gpu.Buffer) {
	b.args.vectors = args.Dots(out, c, xs, y)
	kernels.Dots(b.op(), &b.args.vectors)
}

func (b *Backend) Gram(out gpu.Buffer, xs []gpu.Buffer) {
	b.args.vectors = args.Gram(out, xs)
	kernels.Gram(b.op(), &b.args.vectors)
}

func (b *Backend) DotMat(out gpu.Buffer, c float64, x, y gpu.Mat, accumulate bool) {
	b.args.element = args.DotMat(out, c, x, y, accumulate)
	kernels.DotMat(b.op(), &b.args.element)
}

func (b *Backend) SoftmaxCE(l gpu.SoftmaxCE) {
	b.args.loss = args.SoftmaxCE(l)
	kernels.SoftmaxCE(b.op(), &b.args.loss)
}

func (b *Backend) ElementLoss(l gpu.ElementLoss) {
	b.args.loss = args.ElementLoss(l)
	kernels.ElementLoss(b.op(), &b.args.loss)
}

func (b *Backend) NTXent(l gpu.NTXent) {
	b.args.loss = args.NTXent(l)
	kernels.NTXent(b.op(), &b.args.loss)
}

func (b *Backend) PairDistance(l gpu.PairDistance) {
	b.args.loss = args.PairDistance(l)
	kernels.PairDistance(b.op(), &b.args.loss)
}

func (b *Backend) Fill(x gpu.Buffer, v float64) {
	b.args.vector = args.Fill(x, v)
	kernels.Fill(b.op(), &b.args.vector)
}

func (b *Backend) Copy(dst, src gpu.Buffer) {
	b.args.vector = args.Copy(dst, src)
	kernels.Copy(b.op(), &b.args.vector)
}

func (b *Backend) Scale(x gpu.Buffer, c float64, s gpu.Buffer) {
	b.args.vector = args.Scale(x, c, s)
	kernels.Scale(b.op(), &b.args.vector)
}

func (b *Backend) Axpy(y gpu.Buffer, c float64, s gpu.Buffer, x gpu.Buffer) {
	b.args.vector = args.Axpy(y, c, s, x)
	kernels.Axpy(b.op(), &b.args.vector)
}

func (b *Backend) Perturb(dst, x gpu.Buffer, c float64, s gpu.Buffer, d gpu.Buffer) {
	b.args.vector = args.Perturb(dst, x, c, s, d)
	kernels.Perturb(b.op(), &b.args.vector)
}

func (b *Backend) Mul(dst gpu.Buffer, c float64, x, y gpu.Buffer) {
	b.args.vector = args.Mul(dst, c, x, y)
	kernels.Mul(b.op(), &b.args.vector)
}

func (b *Backend) Dot(out gpu.Buffer, c float64, x, y gpu.Buffer, accumulate bool) {
	b.args.vector = args.Dot(out, c, x, y, accumulate)
	kernels.Dot(b.op(), &b.args.vector)
}

func (b *Backend) Prox(g, w, anchor gpu.Buffer, gamma float64, loss gpu.Buffer) {
	b.args.vector = args.Prox(g, w, anchor, gamma, loss)
	kernels.Prox(b.op(), &b.args.vector)
}

func (b *Backend) RstdOf(rstd, variance gpu.Buffer, eps float64) {
	b.args.vector = args.RstdOf(rstd, variance, eps)
	kernels.RstdOf(b.op(), &b.args.vector)
}

func (b *Backend) Update(u gpu.Update) {
	b.args.update = args.Update(u)
	kernels.Update(b.op(), &b.args.update)
}

func (b *Backend) UpdateRows(u gpu.UpdateRows) {
	b.args.updateRows = args.UpdateRows(u)
	kernels.UpdateRows(b.op(), &b.args.updateRows)
}

func (b *Backend) ClipScale(scale, norm2 gpu.Buffer, maxNorm float64) {
	b.args.vector = args.ClipScale(scale, norm2, maxNorm)
	kernels.ClipScale(b.op(), &b.args.vector)
}

func (b *Backend) ClipCoef(out, scale, norm2, dot gpu.Buffer) {
	b.args.vector = args.ClipCoef(out, scale, norm2, dot)
	kernels.ClipCoef(b.op(), &b.args.vector)
}

func (b *Backend) StepSize(out, norm2 gpu.Buffer, radius float64) {
	b.args.vector = args.StepSize(out, norm2, radius)
	kernels.StepSize(b.op(), &b.args.vector)
}

func (b *Backend) Quotient(out, x, y gpu.Buffer) {
	b.args.vector = args.Quotient(out, x, y)
	kernels.Quotient(b.op(), &b.args.vector)
}

func (b *Backend) Softmax(out, x gpu.Buffer) {
	b.args.vector = args.Softmax(out, x)
	kernels.Softmax(b.op(), &b.args.vector)
}

func (b *Backend) SoftmaxGrad(dx, y, dy gpu.Buffer) {
	b.args.vector = args.SoftmaxGrad(dx, y, dy)
	kernels.SoftmaxGrad(b.op(), &b.args.vector)
}

func (b *Backend) Aggregate(o gpu.Aggregate) {
	b.args.aggregate = args.Aggregate(o)
	kernels.Aggregate(b.op(), &b.args.aggregate)
}

func (b *Backend) EdgeGrad(e gpu.EdgeGrad) {
	b.args.edgeGrad = args.EdgeGrad(e)
	kernels.EdgeGrad(b.op(), &b.args.edgeGrad)
}

func (b *Backend) EmbeddingSum(out, table gpu.Mat, idx gpu.Buffer, fields int) {
	b.args.embedding = args.EmbeddingSum(out, table, idx, fields)
	kernels.Embedding(b.op(), &b.args.embedding)
}

func (b *Backend) EmbeddingSumGrad(dtable, dout gpu.Mat, idx gpu.Buffer, fields int) {
	b.args.embedding = args.EmbeddingSumGrad(dtable, dout, idx, fields)
	kernels.EmbeddingGrad(b.op(), &b.args.embedding)
}

func (b *Backend) SegmentMax(out gpu.Mat, arg gpu.Buffer, c gpu.CSR, h gpu.Mat) {
	b.args.segmentMax = args.SegmentMax(out, arg, c, h)
	kernels.SegmentMax(b.op(), &b.args.segmentMax)
}

func (b *Backend) SegmentMaxGrad(dh, dout gpu.Mat, arg gpu.Buffer) {
	b.args.segmentMax = args.SegmentMaxGrad(dh, dout, arg)
	kernels.SegmentMaxGrad(b.op(), &b.args.segmentMax)
}

func (b *Backend) SegmentMaxTangent(tout, th gpu.Mat, arg gpu.Buffer) {
	b.args.segmentMax = args.SegmentMaxTangent(tout, th, arg)
	kernels.SegmentMaxTangent(b.op(), &b.args.segmentMax)
}

func (b *Backend) GAT(g gpu.GAT) {
	b.args.gat = args.GAT(g)
	kernels.GAT(b.op(), &b.args.gat)
}

func (b *Backend) GATGrad(g gpu.GATGrad) {
	b.args.gat = args.GATGrad(g)
	kernels.GATGrad(b.op(), &b.args.gat)
}

func (b *Backend) GATTangent(g gpu.GATTangent) {
	b.args.gat = args.GATTangent(g)
	kernels.GATTangent(b.op(), &b.args.gat)
}

// BatchNorm of what a product just left in the list has that product take the statistics on its way.
func (b *Backend) BatchNorm(o gpu.BatchNorm) {
	b.args.norm = args.BatchNorm(o)
	q := b.op()
	if name, g := b.list.lastGemm(); g != nil && kernels.Normed(name, g, &b.args.norm) {
		b.args.gemmStats.GemmArgs = *g
		b.list.drop()
		b.work.Kernels--
		kernels.GemmBatchNorm(q, &b.args.gemmStats, &b.args.norm)
		return
	}
	kernels.BatchNorm(q, &b.args.norm)
}

func (b *Backend) BatchNormGrad(o gpu.BatchNormGrad) {
	b.args.norm = args.BatchNormGrad(o)
	kernels.BatchNormGrad(b.op(), &b.args.norm)
}

func (b *Backend) BatchNormTangent(o gpu.BatchNormTangent) {
	b.args.norm = args.BatchNormTangent(o)
	kernels.BatchNormTangent(b.op(), &b.args.norm)
}

func (b *Backend) BatchNormRunning(runMean, runVar, mean, rstd gpu.Buffer, momentum, total, eps float64) {
	b.args.running = args.BatchNormRunning(runMean, runVar, mean, rstd, momentum, total, eps)
	kernels.Running(b.op(), &b.args.running)
}

func (b *Backend) LayerNorm(o gpu.LayerNorm) {
	b.args.norm = args.LayerNorm(o)
	kernels.LayerNorm(b.op(), &b.args.norm)
}

func (b *Backend) LayerNormGrad(o gpu.LayerNormGrad) {
	b.args.norm = args.LayerNormGrad(o)
	kernels.LayerNormGrad(b.op(), &b.args.norm)
}

func (b *Backend) LayerNormTangent(o gpu.LayerNormTangent) {
	b.args.norm = args.LayerNormTangent(o)
	kernels.LayerNormTangent(b.op(), &b.args.norm)
}

func (b *Backend) Attention(o gpu.Attention) {
	b.args.attention = args.Attention(o)
	kernels.Attention(b.op(), &b.args.attention)
}

func (b *Backend) AttentionGrad(o gpu.AttentionGrad) {
	b.args.attention = args.AttentionGrad(o)
	kernels.AttentionGrad(b.op(), &b.args.attention)
}

func (b *Backend) AttentionTangent(o gpu.AttentionTangent) {
	b.args.attention = args.AttentionTangent(o)
	kernels.AttentionTangent(b.op(), &b.args.attention)
}

func (b *Backend) GELU(g gpu.GELU) {
	b.args.gelu = args.GELU(g)
	kernels.GELU(b.op(), &b.args.gelu)
}

func (b *Backend) GELUGrad(g gpu.GELUGrad) {
	b.args.gelu = args.GELUGrad(g)
	kernels.GELUGrad(b.op(), &b.args.gelu)
}

func (b *Backend) GELUTangent(g gpu.GELUTangent) {
	b.args.gelu = args.GELUTangent(g)
	kernels.GELUTangent(b.op(), &b.args.gelu)
}

func (b *Backend) AddNorm(n gpu.AddNorm) {
	b.args.addNorm = args.AddNorm(n)
	kernels.AddNorm(b.op(), &b.args.addNorm)
}

func (b *Backend) AddNormGrad(n gpu.AddNormGrad) {
	b.args.addNorm = args.AddNormGrad(n)
	kernels.AddNormGrad(b.op(), &b.args.addNorm)
}

func (b *Backend) AddNormTangent(n gpu.AddNormTangent) {
	b.args.addNorm = args.AddNormTangent(n)
	kernels.AddNormTangent(b.op(), &b.args.addNorm)
}

func (b *Backend) LinearCE(l gpu.LinearCE) {
	b.args.linearCE = args.LinearCE(l)
	kernels.LinearCE(b.op(), &b.args.linearCE)
}

func (b *Backend) LinearCEGrad(l gpu.LinearCEGrad) {
	b.args.linearCE = args.LinearCEGrad(l)
	kernels.LinearCEGrad(b.op(), &b.args.linearCE)
}

func (b *Backend) LinearCETangent(l gpu.LinearCETangent) {
	b.args.linearCE = args.LinearCETangent(l)
	kernels.LinearCETangent(b.op(), &b.args.linearCE)
}

func (b *Backend) ScatterRows(dst gpu.Mat, row gpu.Buffer, c gpu.CSR, src gpu.Mat) {
	b.args.scatter = args.ScatterRows(dst, row, c, src)
	kernels.ScatterRows(b.op(), &b.args.scatter)
}

func (b *Backend) AddRows(dst gpu.Rows, s gpu.Buffer, src gpu.Rows) {
	b.args.rows = args.AddRows(dst, s, src)
	kernels.AddRows(b.op(), &b.args.rows)
}

func (b *Backend) DotRows(out gpu.Buffer, c float64, x, y gpu.Rows) {
	b.args.rows = args.DotRows(out, c, x, y)
	kernels.DotRows(b.op(), &b.args.rows)
}
