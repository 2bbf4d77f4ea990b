// Package gpu is the seam between the engine and the devices it runs on: where memory lives, how it is
// reached, and which operations a device offers. It holds interfaces and argument types only.
//
// A [Backend] is one device. Three kinds exist: gpu/cpu (float32, vectorised C++; the default), gpu/ref (float64,
// plain loops; the oracle of every test) and, behind the build tag cuda, gpu/cuda. The engine never knows which one it
// drives: it sees [Buffer] and [Mat] values and the operation families below.
//
// Invariants every backend keeps:
//   - Operations are queued in program order and may run asynchronously; Download and Sync wait. An operation returns
//     nothing: a device fault surfaces as the error of the next Sync or Download and poisons the backend, not the process.
//   - Arguments of the wrong shape are a bug of the caller and panic with a message that names the operation and sizes.
//   - Sums are taken in an order fixed by the shapes alone: the same bits for any number of threads. No float atomics.
//   - Columns of a Mat beyond Cols (the padding up to LD) are neither read nor written.
//   - "Accumulate" adds to the destination, otherwise the destination is overwritten without being read (it may hold NaN).
package gpu

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// RowAlign is the number of elements to which leading dimensions are rounded up, so that rows start on cache lines.
const RowAlign = 16

// PadCols returns the leading dimension for rows of n elements.
func PadCols(n int) int { return (n + RowAlign - 1) / RowAlign * RowAlign }

// Buffer is a view of consecutive elements in device memory. It does not own the memory (an [Arena] or the caller of
// Backend.Alloc does). Elements are the backend's floats (4 bytes on cpu, 8 on ref) or 32-bit integers.
type Buffer struct {
	addr uintptr
	n    int
	elem int
}

// MakeBuffer wraps n elements of elem bytes at a device address. For backends and those who lay out memory themselves.
func MakeBuffer(addr uintptr, n, elem int) Buffer { return Buffer{addr, n, elem} }

// Addr returns the device address of the first element.
func (b Buffer) Addr() uintptr { return b.addr }

// Len returns the number of elements.
func (b Buffer) Len() int { return b.n }

// ElemBytes returns the size of one element.
func (b Buffer) ElemBytes() int { return b.elem }

// IsNil reports whether b is the zero Buffer, which stands for "absent" in optional arguments.
func (b Buffer) IsNil() bool { return b.elem == 0 }

// Slice returns the view of elements [lo, hi).
func (b Buffer) Slice(lo, hi int) Buffer {
	if lo < 0 || hi < lo || hi > b.n {
		panic(fmt.Sprintf("gpu: slice [%d:%d) of a buffer of %d elements", lo, hi, b.n))
	}
	return Buffer{b.addr + uintptr(lo*b.elem), hi - lo, b.elem}
}

// Mat is a row-major matrix view: element (i, j) is Buf[i*LD+j].
type Mat struct {
	Buf        Buffer
	Rows, Cols int
	LD         int // >= Cols
}

// MatOf views buf as rows×cols with leading dimension ld.
func MatOf(buf Buffer, rows, cols, ld int) Mat {
	if need := (rows-1)*ld + cols; rows > 0 && cols > 0 && (ld < cols || buf.Len() < need) {
		panic(fmt.Sprintf("gpu: a %d×%d matrix with leading dimension %d does not fit %d elements", rows, cols, ld, buf.Len()))
	}
	return Mat{buf, rows, cols, ld}
}

// IsNil reports whether m is absent.
func (m Mat) IsNil() bool { return m.Buf.IsNil() }

// Slice returns the view of rows [lo, hi).
func (m Mat) Slice(lo, hi int) Mat {
	end := (hi-1)*m.LD + m.Cols
	if hi <= lo {
		end = lo * m.LD
		if end > m.Buf.Len() {
			end = m.Buf.Len()
		}
		return Mat{m.Buf.Slice(end, end), 0, m.Cols, m.LD}
	}
	return Mat{m.Buf.Slice(lo*m.LD, end), hi - lo, m.Cols, m.LD}
}

// Columns returns the view of columns [lo, hi).
func (m Mat) Columns(lo, hi int) Mat {
	if lo < 0 || hi < lo || hi > m.Cols {
		panic(fmt.Sprintf("gpu: columns [%d:%d) of a %d×%d matrix", lo, hi, m.Rows, m.Cols))
	}
	if m.Rows == 0 {
		return Mat{m.Buf, 0, hi - lo, m.LD}
	}
	return Mat{m.Buf.Slice(lo, (m.Rows-1)*m.LD+hi), m.Rows, hi - lo, m.LD}
}

// Errors that callers may test for with errors.Is.
var (
	ErrOutOfMemory = errors.New("out of device memory")
	ErrUnsupported = errors.New("not supported by this backend")
	ErrDevice      = errors.New("device failed") // a call to the device, or what was queued before it; the backend is of no further use
)

// Info describes a device for humans and for results.
type Info struct {
	Name       string // "cpu", "ref", "cuda:0"
	Device     string // e.g. the CPU's model name
	ISA        string // "avx512", "avx2", "float64", "sm_90"
	Threads    int    // of a CPU; multiprocessors of a GPU
	FloatBytes int    // 4 or 8
	Memory     int64
}

func (i Info) String() string {
	unit := "threads"
	if strings.HasPrefix(i.Name, "cuda") {
		unit = "multiprocessors"
	}
	return fmt.Sprintf("%s: %s, %s, %d %s", i.Name, i.Device, i.ISA, i.Threads, unit)
}

// Stats counts what a backend did since it was opened.
type Stats struct {
	Uploads, Downloads         int64 // calls
	UploadBytes, DownloadBytes int64
	Launches                   int64 // operations queued
	Syncs                      int64
}

// Backend is one device: residency plus the operation families.
type Backend interface {
	Info() Info
	// Alloc reserves uninitialised memory for n elements of elem bytes, 64-byte aligned, on huge pages where the system
	// gives them. The error wraps ErrOutOfMemory with the sizes.
	Alloc(n, elem int) (Buffer, error)
	// Free releases what Alloc returned.
	Free(Buffer)
	// Upload converts src to the device's floats. len(src) must equal dst.Len().
	Upload(dst Buffer, src []float64)
	UploadInts(dst Buffer, src []int32)
	// UploadBatch is UploadInts and Upload in one transfer; floats begins where ints ends.
	UploadBatch(ints Buffer, i []int32, floats Buffer, f []float64)
	// Download waits for queued work and reads floats back.
	Download(dst []float64, src Buffer) error
	Sync() error
	// Mark notes in a slot the time at which the work queued so far is done, without waiting for it. Slots count from 0.
	Mark(slot int)
	// Elapsed waits for the marks in two slots and returns the time between them.
	Elapsed(from, to int) (time.Duration, error)
	Stats() Stats
	Close() error

	DenseOps
	SparseOps
	AttentionOps
	NormOps
	ElementOps
	LossOps
	VectorOps
	EncoderOps
}

// Act is an element-wise function.
type Act uint8

// Activations.
const (
	Identity Act = iota
	ReLU
	Sigmoid
	Tanh
	LeakyReLU // slope 0.2, as in GAT
)

func (a Act) String() string {
	return [...]string{"identity", "relu", "sigmoid", "tanh", "leaky-relu"}[a]
}

// Gemm is C = act(op(A)·op(B) + Bias), or C += op(A)·op(B) when Accumulate (then Bias and Act must be absent).
//
//	op(A) (M,K), op(B) (K,N), C (M,N), Bias (N) or nil. Act is Identity or ReLU.
type Gemm struct {
	A, B, C        Mat
	TransA, TransB bool
	Accumulate     bool
	Bias           Buffer
	Act            Act
}

// DenseOps are dense matrix products and column sums.
type DenseOps interface {
	Gemm(Gemm)
	// ColSum: dst[j] (+)= sum_i src[i,j]. dst (Cols).
	ColSum(dst Buffer, src Mat, accumulate bool)
}

// CSR is a sparse matrix in compressed rows, all int32 but Weight.
type CSR struct {
	Rows, Cols, NNZ int
	RowPtr          Buffer // (Rows+1)
	Col             Buffer // (NNZ), in [0, Cols)
	Weight          Buffer // (NNZ) floats, or nil for all ones
	Code            Buffer // (NNZ) row of the edge table, or nil
}

// Aggregate is the weighted sum over a row's neighbours, with an edge embedding (Xu 2019; Hu 2020):
//
//	Out[r,:] (+)= sum_{k in row r} Weight[k] * (H[Col[k],:] + E[Code[k],:])
//
// Out (Rows,C), H (Cols,C), E (codes,C) or nil (then Code is ignored). Empty rows give 0. Readout, gathers and the
// gradient with respect to H (over the transposed CSR, without E) are this same operation.
type Aggregate struct {
	CSR        CSR
	H, E, Out  Mat
	Accumulate bool
}

// EdgeGrad is the gradient of Aggregate with respect to E: DE[Code[k],:] += Weight[k] * DOut[r,:] for k in row r, in order.
type EdgeGrad struct {
	CSR      CSR
	DOut, DE Mat
}

// GAT is graph attention with edge embeddings as in Hu et al. 2020 (Veličković 2018), Heads heads of C channels:
//
//	m_k      = X[Col[k]] + E[Code[k]]                       (Heads,C)
//	s_{k,h}  = leakyrelu_0.2(<Att[h,:C], X[Self[r],h]> + <Att[h,C:], m_k[h]>)
//	a_{k,h}  = softmax over k in row r of s_{k,h}
//	Out[r,:] = sum_k a_{k,h} m_k[h]                         (Heads,C), heads side by side
//
// Source rows X (Cols, Heads*C); Self (Rows) the row of X that is the receiving node itself; E (codes, Heads*C);
// Att (Heads, 2C). Alpha (NNZ, Heads) receives a and Score (NNZ, Heads) the argument of the leaky ReLU; both are read by
// the gradient and the tangent. Weight of the CSR is ignored.
type GAT struct {
	CSR       CSR
	Self      Buffer // (Rows) int32
	Heads     int
	X, E, Att Mat
	Out       Mat
	Alpha     Mat
	Score     Mat
}

// GATGrad adds to DX, DE, DAtt the gradient of GAT given DOut. T is the transposed structure of CSR: row c lists the
// edges k whose Col is c (T.Col holds k, T.Code is unused); TSelf lists for each row c of X the rows r with Self[r] = c.
// DScore (NNZ, Heads) is scratch.
type GATGrad struct {
	GAT
	T, TSelf     CSR
	DOut         Mat
	DX, DE, DAtt Mat
	DScore       Mat
}

// GATTangent: TOut = the directional derivative of Out along (TX, TE, TAtt).
type GATTangent struct {
	GAT
	TX, TE, TAtt Mat
	TOut         Mat
}

// SparseOps work on graph structure.
type SparseOps interface {
	Aggregate(Aggregate)
	EdgeGrad(EdgeGrad)
	// EmbeddingSum: out[i,:] = sum_f table[idx[i*F+f],:]. idx (Rows of out × F) int32.
	EmbeddingSum(out, table Mat, idx Buffer, fields int)
	// EmbeddingSumGrad: dtable[idx[i*F+f],:] += dout[i,:], i ascending.
	EmbeddingSumGrad(dtable, dout Mat, idx Buffer, fields int)
	// SegmentMax: out[r,c] = max over k in row r of h[Col[k],c]; arg[r,c] (Rows×C int32, tight) the winning row of h (the
	// first among equals), -1 and out 0 for an empty row.
	SegmentMax(out Mat, arg Buffer, csr CSR, h Mat)
	// SegmentMaxGrad: dh[arg[r,c],c] += dout[r,c], r ascending.
	SegmentMaxGrad(dh, dout Mat, arg Buffer)
	// SegmentMaxTangent: tout[r,c] = th[arg[r,c],c], 0 where arg is -1.
	SegmentMaxTangent(tout, th Mat, arg Buffer)
	GAT(GAT)
	GATGrad(GATGrad)
	GATTangent(GATTangent)
}

// BatchNorm normalises columns over rows that each stand for Mult[r] equal rows (Ioffe 2015; multiplicities: exact
// compression):
//
//	mean_c = sum_r Mult[r] X[r,c] / Total,  var_c = sum_r Mult[r] (X[r,c]-mean_c)^2 / Total   (two passes)
//	Y = act((X-mean)*rstd*Gamma + Beta),    rstd = 1/sqrt(var+Eps)
//
// Mean and Rstd (C) are written, unless Frozen: then they are read (running statistics) and treated as constants by the
// gradient and the tangent. Act is Identity or ReLU. Mult nil means ones. X and Y may be the same memory only if the
// gradient will not be asked for.
type BatchNorm struct {
	X, Y        Mat
	Mult        Buffer // (Rows)
	Total       float64
	Gamma, Beta Buffer // (C)
	Mean, Rstd  Buffer // (C)
	Eps         float64
	Act         Act
	Frozen      bool
}

// BatchNormGrad: DX (+)= and DGamma, DBeta += the gradient of BatchNorm given DY. DY is the sum over the equal rows that
// each row stands for. DX may be nil.
type BatchNormGrad struct {
	BatchNorm
	DY, DX        Mat
	Accumulate    bool // of DX
	DGamma, DBeta Buffer
}

// BatchNormTangent: TY = the directional derivative along (TX, TGamma, TBeta).
type BatchNormTangent struct {
	BatchNorm
	TX, TY        Mat
	TGamma, TBeta Buffer
}

// LayerNorm normalises every row over its columns (Ba 2016); Mean and Rstd have one entry per row.
type LayerNorm struct {
	X, Y        Mat
	Gamma, Beta Buffer // (C)
	Mean, Rstd  Buffer // (Rows)
	Eps         float64
	Act         Act
}

// LayerNormGrad is the gradient of LayerNorm; see BatchNormGrad.
type LayerNormGrad struct {
	LayerNorm
	DY, DX        Mat
	Accumulate    bool
	DGamma, DBeta Buffer
}

// LayerNormTangent is the directional derivative of LayerNorm.
type LayerNormTangent struct {
	LayerNorm
	TX, TY        Mat
	TGamma, TBeta Buffer
}

// NormOps are normalisations.
type NormOps interface {
	BatchNorm(BatchNorm)
	BatchNormGrad(BatchNormGrad)
	BatchNormTangent(BatchNormTangent)
	// BatchNormRunning folds batch statistics into running ones as PyTorch does:
	// runMean += m*(mean-runMean), runVar += m*(var*total/(total-1)-runVar), var = 1/rstd^2-eps. total <= 1 uses var as is.
	BatchNormRunning(runMean, runVar, mean, rstd Buffer, momentum, total, eps float64)
	// RstdOf: rstd[i] = 1/sqrt(variance[i]+eps).
	RstdOf(rstd, variance Buffer, eps float64)
	LayerNorm(LayerNorm)
	LayerNormGrad(LayerNormGrad)
	LayerNormTangent(LayerNormTangent)
}

// Key names one stream of counter-based random numbers (Philox4x32-10, Salmon 2011). Element i of a tensor takes word
// i%4 of Philox(counter = {i/4 low, i/4 high, Stream, Step}, key = {Seed low, Seed high}).
type Key struct {
	Seed         uint64
	Step, Stream uint32
}

// ElementOps act on elements or single rows.
type ElementOps interface {
	// Activate: y = act(x). y may be x.
	Activate(act Act, y, x Mat)
	// ActivateGrad: dx (+)= dy * act'(x), from the saved y (for ReLU: y > 0). Also the tangent.
	ActivateGrad(act Act, dx, dy, y Mat, accumulate bool)
	// Dropout: y (+)= x * (u >= p) / (1-p), u = (word>>8) * 2^-24 of the element i*Cols+j. Also gradient and tangent.
	Dropout(y, x Mat, p float64, key Key, accumulate bool)
	// AddScaled: y += s*x.
	AddScaled(y, x Mat, s float64)
	// CopyMat: y = x.
	CopyMat(y, x Mat)
	// ScaleMat: y = c*s[0]*x; s may be nil (then y = c*x). y may be x.
	ScaleMat(y, x Mat, c float64, s Buffer)
	// RowDot: out[i] (+)= scale * <a[i,:], b[i,:]>.
	RowDot(out Buffer, a, b Mat, scale float64, accumulate bool)
	// RowScale: dst[i,:] (+)= scale * s[i] * src[i,:].
	RowScale(dst Mat, s Buffer, src Mat, scale float64, accumulate bool)
	// RowNormalize: y[i,:] = x[i,:]/norm[i], norm[i] = sqrt(sum x^2 + eps).
	RowNormalize(y, x Mat, norm Buffer, eps float64)
	// RowNormalizeJac: out[i,:] (+)= (in[i,:] - y[i,:]<y[i,:],in[i,:]>)/norm[i]: gradient and tangent of RowNormalize.
	RowNormalizeJac(out, in, y Mat, norm Buffer, accumulate bool)
}

// Losses write the loss and its gradient for unit upstream gradient at once. Loss is one float, to which the (scaled)
// loss is added. The tangent of a loss is the dot product of that gradient with the tangent of its input.
//
// SoftmaxCE: Loss += Scale * sum_i w_i * (logsumexp(X[i,:]) - X[i,t_i]); DX = its gradient. Target (Rows) int32, rows
// with a negative target give 0; Weight (Rows) or nil.
type SoftmaxCE struct {
	X, DX  Mat
	Target Buffer
	Weight Buffer
	Scale  float64
	Loss   Buffer
}

// LossKind selects an element-wise loss.
type LossKind uint8

// Element-wise losses of prediction x against target t.
const (
	BCE LossKind = iota // max(x,0) - x*t + log(1+exp(-|x|)), t in [0,1]
	MSE                 // (x-t)^2
)

// ElementLoss: Loss += Scale * sum Weight*l(X,Target); DX = its gradient. Target and Weight have X's shape, tight rows
// (LD = Cols); Weight nil means ones; where Weight is 0 the target is not looked at (it may be NaN) and DX is 0.
type ElementLoss struct {
	Kind           LossKind
	X, DX          Mat
	Target, Weight Buffer // (Rows*Cols)
	Scale          float64
	Loss           Buffer
}

// NTXent is the normalised temperature-scaled cross entropy (Chen 2020) of similarities S (2B,2B), already divided by the
// temperature: row i's positive is (i+B) mod 2B, the diagonal is left out.
// Loss += Scale * sum_i (logsumexp_{j≠i} S[i,j] - S[i,pos]); DS = its gradient, 0 on the diagonal.
type NTXent struct {
	S, DS Mat
	Scale float64
	Loss  Buffer
}

// PairDistance: Loss += Scale * sum_i sqrt(|A_i-B_i|^2 + Eps); DA, DB = its gradients.
type PairDistance struct {
	A, B, DA, DB Mat
	Eps, Scale   float64
	Loss         Buffer
}

// LossOps are losses.
type LossOps interface {
	SoftmaxCE(SoftmaxCE)
	ElementLoss(ElementLoss)
	NTXent(NTXent)
	PairDistance(PairDistance)
}

// Rule is an optimiser's update rule.
type Rule uint8

// Update rules.
const (
	SGD   Rule = iota // with momentum as in PyTorch: M = momentum*M + g, P -= lr*M
	Adam              // Kingma 2015; weight decay is added to the gradient
	AdamW             // Loshchilov 2019; decoupled weight decay
)

func (r Rule) String() string { return [...]string{"sgd", "adam", "adamw"}[r] }

// Update is one optimiser step over a flat vector. Rates holds lr, 1/(1-beta1^t), 1/(1-beta2^t).
//
//	SGD    g = G + wd*P;  M = mom*M + g;  P -= lr*M          Jac = -lr      (mom = 0: M absent, P -= lr*g)
//	Adam   g = G + wd*P;  M, V as usual;  P -= lr*mh/(sqrt(vh)+eps)
//	AdamW  g = G;         P -= lr*wd*P first, then as Adam
//	       Jac = dP'/dG = -lr * ( (1-b1)*c1/(sqrt(vh)+eps) - mh*(1-b2)*c2*g/(sqrt(vh)*(sqrt(vh)+eps)^2) )
//	       where c1, c2 are Rates[1], Rates[2]; the second term is 0 where vh = 0.
//
// GradScale (1 float) multiplies G first (clipping), or is nil. Jac (n) is written unless nil; it is the derivative with
// respect to the gradient after GradScale, and may be G itself.
type Update struct {
	Rule                   Rule
	P, G, M, V             Buffer
	Jac                    Buffer
	GradScale              Buffer
	Rates                  [3]float64
	Momentum, Beta1, Beta2 float64
	Eps, WeightDecay       float64
}

// UpdateRows takes the steps that rows of a table have put off. In most steps the gradient of most rows is zero, but Update still
// moves them: by their decay and their momentum. Row r takes the steps Last[r] to Until-1, each to the bits of Update with its Rates
// and a zero gradient; the last of them with the row's gradient where G is given, which then becomes zero. Rows that have taken
// Until steps or more stay as they are.
//
// P, G, M and V are matrices of one shape, absent as in Update, and G also where no step has a gradient.
type UpdateRows struct {
	Rule                   Rule
	P, G, M, V             Mat    // (N,C)
	Row                    Buffer // (U) int32, all different, or nil for all rows
	Last                   Buffer // (N) int32: becomes Until in the rows of Row, and 0 in all rows where Row is nil
	Until                  int
	Rates                  Buffer // (steps, 3) floats: those of every step, Until of them at least
	GradScale              Buffer // of G
	Momentum, Beta1, Beta2 float64
	Eps, WeightDecay       float64
}

// MaxVectors is the largest number of vectors that the operations over several of them take.
const MaxVectors = 16

// VectorOps act on flat vectors. Scalars that change from step to step are 1-element buffers on the device.
type VectorOps interface {
	Fill(x Buffer, v float64)
	Copy(dst, src Buffer)
	// Scale: x *= c*s[0]; s may be nil (then x *= c).
	Scale(x Buffer, c float64, s Buffer)
	// Axpy: y += c*s[0]*x; s may be nil.
	Axpy(y Buffer, c float64, s Buffer, x Buffer)
	// Perturb: dst = x + c*s[0]*d, into a second buffer; s may be nil.
	Perturb(dst, x Buffer, c float64, s Buffer, d Buffer)
	// Mul: dst = c*a∘b. dst may be a or b.
	Mul(dst Buffer, c float64, a, b Buffer)
	// Dot: out[0] (+)= c*<x,y>, summed in float64 over a fixed partition.
	Dot(out Buffer, c float64, x, y Buffer, accumulate bool)
	// Combine: dst (+)= sum_i s[i]*xs[i], in one sweep. s (len(xs)).
	Combine(dst, s Buffer, xs []Buffer, accumulate bool)
	// Dots: out[i] += c*<xs[i],y> for every i, summed as Dot does, in one sweep. out (len(xs)).
	Dots(out Buffer, c float64, xs []Buffer, y Buffer)
	// Gram: out[i*k+j] = <xs[i],xs[j]>, summed as Dot does, in one sweep over all k = len(xs). out (k*k).
	Gram(out Buffer, xs []Buffer)
	// DotMat: out[0] (+)= c*sum_ij x[i,j]*y[i,j].
	DotMat(out Buffer, c float64, x, y Mat, accumulate bool)
	// Prox: g += 2*gamma*(w-ref); loss[0] += gamma*|w-ref|^2. loss may be nil.
	Prox(g, w, ref Buffer, gamma float64, loss Buffer)
	// ClipScale: scale[0] = min(1, maxNorm/sqrt(norm2[0])).
	ClipScale(scale, norm2 Buffer, maxNorm float64)
	// ClipCoef: out[0] = scale[0]*dot[0]/norm2[0] where scale[0] < 1, else 0: how much of a clipped gradient g its
	// derivative takes from a vector x, with dot = <g,x>.
	ClipCoef(out, scale, norm2, dot Buffer)
	// StepSize: out[0] = radius/sqrt(norm2[0]), out[1] = 1/(2*out[0]), both 0 where norm2[0] is 0: the step and the divisor of
	// a central difference along a vector of that norm.
	StepSize(out, norm2 Buffer, radius float64)
	// Quotient: out[0] = a[0]/b[0], 0 where b[0] is 0.
	Quotient(out, a, b Buffer)
	Update(Update)
	UpdateRows(UpdateRows)
	// Softmax: out = softmax(x) over one short vector.
	Softmax(out, x Buffer)
	// SoftmaxGrad: dx[i] = y[i]*(dy[i] - <y,dy>).
	SoftmaxGrad(dx, y, dy Buffer)
}
