package gpu

// Operations of transformer encoders (Vaswani 2017; Devlin 2019). A batch of sequences is one packed stream of tokens, a row
// each, without padding: sequence s has the rows [Ptr[s], Ptr[s+1]).

// Attention is multi-head attention within every sequence, Heads heads of C/Heads channels side by side:
//
//	S_h[i,j]   = Scale * <Q[i,h], K[j,h]>                      i a query, j a key of one sequence
//	A_h[i,:]   = dropout(softmax_j S_h[i,:])
//	Out[i,h]   = sum_j A_h[i,j] V[j,h]
//	LSE[i,h]   = logsumexp_j S_h[i,:]
//
// Q and Out (N,C), K and V (T,C) may be column blocks of wider matrices. Sequence s has the queries [QPtr[s], QPtr[s+1]) and the keys
// [Ptr[s], Ptr[s+1]); in self-attention these are the same rows and the same pointer, but where few rows of a sequence are wanted, few
// are queries. A sequence with queries has keys. LSE (N,Heads) is what the gradient and the tangent compute the probabilities again
// from: no matrix of pairs is kept (Dao 2022). Dropout takes the random word of element (i*Heads+h)*65536 + (j - first key of the
// sequence), see Dropout; DropP 0 is none. LongestQ and Longest are the largest numbers of queries and of keys of a sequence, the
// latter at most 65536.
type Attention struct {
	Q, K, V, Out      Mat
	LSE               Mat
	QPtr, Ptr         Buffer // (Sequences+1) int32, ascending from 0 to N and to T
	Sequences         int
	LongestQ, Longest int
	Heads             int
	Scale             float64
	DropP             float64
	Key               Key
}

// AttentionGrad overwrites DQ (N,C) and DK, DV (T,C), which may be column blocks of wider matrices, with the gradient of Attention
// given DOut: zero for keys that no query sees. Out and LSE are read.
type AttentionGrad struct {
	Attention
	DOut, DQ, DK, DV Mat
}

// AttentionTangent: TOut = the directional derivative of Out along (TQ, TK, TV). Out and LSE are read.
type AttentionTangent struct {
	Attention
	TQ, TK, TV, TOut Mat
}

// AttentionOps are attention over packed sequences.
type AttentionOps interface {
	Attention(Attention)
	AttentionGrad(AttentionGrad)
	AttentionTangent(AttentionTangent)
}

// GELU is Y = x*Phi(x) with x = X+Bias (Hendrycks 2016): exact by the error function, or with Tanh by the approximation
// 0.5x(1+tanh(sqrt(2/pi)(x+0.044715x^3))). Bias (C) may be nil.
type GELU struct {
	X, Y Mat
	Bias Buffer
	Tanh bool
}

// GELUGrad: DX (+)= the gradient of GELU given DY, from the same X; DBias, unless nil, += its sums over the rows. Y of GELU is
// unused. DX may be DY.
type GELUGrad struct {
	GELU
	DY, DX     Mat
	Accumulate bool // of DX
	DBias      Buffer
}

// GELUTangent: TY = the directional derivative along (TX, TBias); either may be absent, for zero. Y of GELU is unused.
type GELUTangent struct {
	GELU
	TX, TY Mat
	TBias  Buffer
}

// AddNorm is the end of a post-norm transformer block:
//
//	Z = R + dropout(X + Bias),   Y = layer norm of Z (see LayerNorm)
//
// Bias and R may be nil. Z (Rows,C) is kept for the gradient and may be X itself. Dropout as in Dropout over element i*Cols+j;
// DropP is below 1, and 0 is none.
type AddNorm struct {
	X, R, Z, Y  Mat
	Bias        Buffer
	DropP       float64
	Key         Key
	Gamma, Beta Buffer // (C)
	Mean, Rstd  Buffer // (Rows)
	Eps         float64
}

// AddNormGrad is the gradient of AddNorm given DY, from Z, Mean and Rstd; X and R are not read:
//
//	DZ = gradient of the layer norm;  DR (+)= DZ;  DX = dropout(DZ);  DBias += sums of DX;  DGamma, DBeta +=
//
// DX and DR may be absent; they are distinct unless DropP is 0 and nothing is accumulated. DBias may be nil.
type AddNormGrad struct {
	AddNorm
	DY, DX, DR           Mat
	Accumulate           bool // of DR
	DBias, DGamma, DBeta Buffer
}

// AddNormTangent: TY = the directional derivative along (TX, TR, TBias, TGamma, TBeta), from Z, Mean and Rstd; absent ones are
// zero.
type AddNormTangent struct {
	AddNorm
	TX, TR, TY           Mat
	TBias, TGamma, TBeta Buffer
}

// LinearCE is the cross entropy of a linear map into many classes whose logits are never stored whole:
//
//	logits = X·Wᵀ + Bias,   Loss += Scale * sum_i (logsumexp(logits[i,:]) - logits[i,Target[i]])
//
// X (n,C), W (V,C), Bias (V) or nil, Target (n) int32, rows with a negative target give 0. LSE (n) receives the log-sum-exp
// of every row.
type LinearCE struct {
	X, W   Mat
	Bias   Buffer
	Target Buffer
	Scale  float64
	LSE    Buffer
	Loss   Buffer
}

// LinearCEGrad is Up[0] (1 float, nil for 1) times the gradient of LinearCE, with the logits computed again tile by tile from
// LSE: DX (+)=, DW and DBias +=. Each of the three may be absent. Loss is unused.
type LinearCEGrad struct {
	LinearCE
	Up         Buffer
	DX, DW     Mat
	Accumulate bool // of DX
	DBias      Buffer
}

// LinearCETangent: Out[0] += C times the directional derivative of the loss along (TX, TW, TBias); absent ones are zero.
type LinearCETangent struct {
	LinearCE
	TX, TW Mat
	TBias  Buffer
	C      float64
	Out    Buffer
}

// Rows are rows of a large table: row i of M is the table's row Row[i], or, where Row is nil, First+i.
type Rows struct {
	M     Mat
	Row   Buffer // (M.Rows) int32, ascending and all different, or nil
	First int
}

// EncoderOps are what else transformers need.
type EncoderOps interface {
	GELU(GELU)
	GELUGrad(GELUGrad)
	GELUTangent(GELUTangent)
	AddNorm(AddNorm)
	AddNormGrad(AddNormGrad)
	AddNormTangent(AddNormTangent)
	LinearCE(LinearCE)
	LinearCEGrad(LinearCEGrad)
	LinearCETangent(LinearCETangent)
	// ScatterRows is the gradient of a look-up in a table too large to sweep: dst[row[r],:] += sum over k in row r of csr of
	// Weight[k]*src[Col[k],:], k ascending. row (csr.Rows) int32, all different.
	ScatterRows(dst Mat, row Buffer, csr CSR, src Mat)
	// AddRows: dst += s[0]*src in the rows of the table that both hold; s may be nil.
	AddRows(dst Rows, s Buffer, src Rows)
	// DotRows: out[0] += c*<x,y> over the rows of the table that both hold, summed in float64 over a fixed partition.
	DotRows(out Buffer, c float64, x, y Rows)
}
