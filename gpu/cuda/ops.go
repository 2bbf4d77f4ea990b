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
	aggregate  abi.AggregateArgs
	colSum     abi.ColSumArgs
	edgeGrad   abi.EdgeGradArgs
	element    abi.ElementArgs
	embedding  abi.EmbeddingArgs
	gat        abi.GATArgs
	gemm       abi.GemmArgs
	loss       abi.LossArgs
	norm       abi.NormArgs
	running    abi.RunningArgs
	segmentMax abi.SegmentMaxArgs
	update     abi.UpdateArgs
	vector     abi.VectorArgs
}

// op counts an operation and returns the queue for its launches.
func (b *Backend) op() *queue {
	b.stats.Launches++
	return (*queue)(b)
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
