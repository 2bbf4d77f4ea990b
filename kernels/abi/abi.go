// Package abi holds the argument structs of the kernels: what crosses from Go to C++ and to CUDA, one struct per
// operation. abi.h declares the same structs for the kernels; a test keeps the two alike.
package abi

// Ptr is an address in the memory of the device; 0 means absent.
type Ptr = uintptr

// Mat mirrors tw_mat.
type Mat struct {
	P              Ptr
	Rows, Cols, LD int64
}

// CSR mirrors tw_csr.
type CSR struct {
	Rows, Cols, NNZ   int64
	Ptr, Col, Code, W Ptr
}

// Arguments of each operation; package gpu says what they mean and which are optional.
type (
	GemmArgs struct {
		A, B, C                          Mat
		TransA, TransB, Accumulate, ReLU int32
		Bias                             Ptr
	}
	ColSumArgs struct {
		Dst        Ptr
		Src        Mat
		Accumulate int32
	}
	AggregateArgs struct {
		CSR        CSR
		H, E, Out  Mat
		Accumulate int32
	}
	EdgeGradArgs struct {
		CSR      CSR
		DOut, DE Mat
	}
	EmbeddingArgs struct {
		Out, Table Mat
		Idx        Ptr
		Fields     int64
	}
	SegmentMaxArgs struct {
		Out, H Mat
		Arg    Ptr
		CSR    CSR
	}
	GATArgs struct {
		CSR, T, TSelf                CSR
		Self                         Ptr
		Heads                        int64
		X, E, Att, Out, Alpha, Score Mat
		DOut, DX, DE, DAtt, DScore   Mat
		TX, TE, TAtt, TOut           Mat
	}
	AttentionArgs struct {
		Q, K, V, Out, LSE        Mat
		QPtr, Ptr                Ptr
		Sequences                int64
		LongestQ, Longest, Heads int64
		Scale, P                 float64
		Seed                     uint64
		Step, Stream             uint32
		DOut, DQ, DK, DV         Mat
		TQ, TK, TV, TOut         Mat
	}
	NormArgs struct {
		X, Y                     Mat
		Mult                     Ptr
		Total                    float64
		Gamma, Beta, Mean, Rstd  Ptr
		Eps                      float64
		ReLU, Frozen, Accumulate int32
		DY, DX                   Mat
		DGamma, DBeta            Ptr
		TX, TY                   Mat
		TGamma, TBeta            Ptr
	}
	RunningArgs struct {
		RunMean, RunVar, Mean, Rstd Ptr
		N                           int64
		Momentum, Total, Eps        float64
	}
	ElementArgs struct {
		Y, X, Z         Mat
		Act, Accumulate int32
		S, P            float64
		Seed            uint64
		Step, Stream    uint32
		V               Ptr
	}
	LossArgs struct {
		X, DX, B, DB Mat
		Target, T, W Ptr
		MSE          int32
		Scale, Eps   float64
		Loss         Ptr
	}
	VectorArgs struct {
		Y, X, Z, V, S Ptr
		N             int64
		C             float64
		Accumulate    int32
	}
	VectorsArgs struct {
		X             [16]Ptr
		K, Accumulate int32
		Y, Z, S, V    Ptr
		N             int64
		C             float64
	}
	UpdateArgs struct {
		Rule                               int32
		N                                  int64
		P, G, M, V, Jac, Scale             Ptr
		LR, C1, C2                         float64
		Momentum, Beta1, Beta2, Eps, Decay float64
	}
	UpdateRowsArgs struct {
		P, G, M, V                         Mat
		Row, Last, Rates, Scale            Ptr
		Rows                               int64
		Rule, Until                        int32
		Momentum, Beta1, Beta2, Eps, Decay float64
	}
	GELUArgs struct {
		X, Y             Mat
		Bias             Ptr
		Tanh, Accumulate int32
		DY, DX           Mat
		DBias            Ptr
		TX, TY           Mat
		TBias            Ptr
	}
	AddNormArgs struct {
		X, R, Z, Y              Mat
		Bias                    Ptr
		P                       float64
		Seed                    uint64
		Step, Stream            uint32
		Gamma, Beta, Mean, Rstd Ptr
		Eps                     float64
		Accumulate              int32
		DY, DX, DR              Mat
		DBias, DGamma, DBeta    Ptr
		TX, TR, TY              Mat
		TBias, TGamma, TBeta    Ptr
	}
	LinearCEArgs struct {
		X, W          Mat
		Bias, Target  Ptr
		Scale         float64
		LSE, Loss, Up Ptr
		DX, DW        Mat
		Accumulate    int32
		DBias         Ptr
		TX, TW        Mat
		TBias         Ptr
		C             float64
		Out           Ptr
	}
	ScatterArgs struct {
		Dst, Src Mat
		Row      Ptr
		CSR      CSR
	}
	RowsArgs struct {
		X, Y           Mat
		XRow, YRow     Ptr
		XFirst, YFirst int64
		S, V           Ptr
		C              float64
	}
)
