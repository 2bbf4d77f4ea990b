// Package op holds what each operation of package gpu costs: bytes moved and floating-point operations, from its dimensions.
// Plans, benchmarks and the share of a device's roof that a kernel reaches are all computed from these numbers.
//
// Rules: Bytes is the traffic that no implementation avoids without a cache that holds a whole operand. Every operand element
// is read or written once, an updated element twice, a gathered row once per use; small tables (edge and atom embeddings,
// per-column vectors) once. Integers have 4 bytes, floats as many as [Float] says. In Flops an addition, multiplication,
// comparison, division, square root or exponential counts one each; a multiply-add two.
//
// All but Gemm do a few operations per byte and are bound by memory; Gemm is bound by arithmetic once its three dimensions
// exceed a few dozen.
package op

// Cost is what one or more operations move and compute.
type Cost struct {
	Bytes int64 `json:"bytes"`
	Flops int64 `json:"flops"`
}

// Plus returns the sum.
func (c Cost) Plus(d Cost) Cost { return Cost{c.Bytes + d.Bytes, c.Flops + d.Flops} }

// Float is the size of a float in bytes; its methods are the operations.
type Float int64

// cost takes floats and integers moved and operations done.
func (f Float) cost(floats, ints, flops int) Cost {
	return Cost{int64(f)*int64(floats) + 4*int64(ints), int64(flops)}
}

// times is n where on, else 0.
func times(on bool, n int) int {
	if on {
		return n
	}
	return 0
}

// Gemm is C (m,n) = op(A) (m,k) · op(B) (k,n), with an optional bias and ReLU, or added to C. Compute bound.
func (f Float) Gemm(m, n, k int, bias, relu, accumulate bool) Cost {
	return f.cost(m*k+k*n+m*n+times(bias, n)+times(accumulate, m*n), 0, 2*m*n*k+times(bias, m*n)+times(relu, m*n))
}

// ColSum adds up the rows of a (rows,cols) matrix. Memory bound.
func (f Float) ColSum(rows, cols int) Cost { return f.cost(rows*cols+cols, 0, rows*cols) }

// Aggregate is the neighbourhood sum of GIN (Xu 2019; with edge embeddings Hu 2020) into (rows,cols) over nnz edges; codes is
// the number of rows of the edge table, 0 without one. Memory bound.
func (f Float) Aggregate(rows, nnz, cols, codes int, weight, accumulate bool) Cost {
	edge := codes > 0
	return f.cost(nnz*cols+rows*cols+times(accumulate, rows*cols)+codes*cols+times(weight, nnz), rows+1+nnz+times(edge, nnz),
		nnz*cols*(1+times(edge, 1)+times(weight, 1)))
}

// EdgeGrad is the gradient of Aggregate in its edge table of codes rows. Memory bound.
func (f Float) EdgeGrad(rows, nnz, cols, codes int, weight bool) Cost {
	return f.cost(rows*cols+2*codes*cols+times(weight, nnz), rows+1+2*nnz, nnz*cols*(1+times(weight, 1)))
}

// EmbeddingSum adds fields rows of a table of table rows into each of (rows,cols). Memory bound.
func (f Float) EmbeddingSum(rows, cols, fields, table int) Cost {
	return f.cost(rows*cols+min(table, rows*fields)*cols, rows*fields, rows*cols*fields)
}

// EmbeddingSumGrad is the gradient of EmbeddingSum in its table. Memory bound.
func (f Float) EmbeddingSumGrad(rows, cols, fields, table int) Cost {
	return f.cost(rows*cols+2*table*cols, rows*fields, rows*cols*fields)
}

// SegmentMax is the maximum over nnz neighbours into (rows,cols), with the winners. Memory bound.
func (f Float) SegmentMax(rows, nnz, cols int) Cost {
	return f.cost(nnz*cols+rows*cols, rows+1+nnz+rows*cols, nnz*cols)
}

// SegmentMaxGrad scatters (rows,cols) to the winners. Memory bound.
func (f Float) SegmentMaxGrad(rows, cols int) Cost { return f.cost(3*rows*cols, rows*cols, rows*cols) }

// SegmentMaxTangent gathers (rows,cols) from the winners. Memory bound.
func (f Float) SegmentMaxTangent(rows, cols int) Cost { return f.cost(2*rows*cols, rows*cols, 0) }

// GAT is graph attention (Veličković 2018) with edge embeddings (Hu 2020): nnz edges into rows nodes, heads of channels each,
// codes rows of the edge table. Messages are gathered for the scores and again for the sum. Memory bound.
func (f Float) GAT(rows, nnz, heads, channels, codes int) Cost {
	c := heads * channels
	return f.cost(2*nnz*c+2*rows*c+codes*c+2*c+3*nnz*heads, rows+1+2*nnz+rows, 6*nnz*c+2*rows*c+7*nnz*heads)
}

// GATGrad is the gradient of GAT in X (cols rows), the edge table and the attention vectors. Memory bound.
func (f Float) GATGrad(rows, cols, nnz, heads, channels, codes int) Cost {
	c := heads * channels
	return f.cost(3*nnz*c+2*rows*c+2*cols*c+3*codes*c+6*c+6*nnz*heads, 2*(rows+1)+2*(cols+1)+6*nnz+2*rows, 14*nnz*c+4*rows*c+5*nnz*heads)
}

// GATTangent is the directional derivative of GAT in X, the edge table and the attention vectors. Memory bound.
func (f Float) GATTangent(rows, nnz, heads, channels, codes int) Cost {
	c := heads * channels
	return f.cost(4*nnz*c+3*rows*c+2*codes*c+4*c+2*nnz*heads, rows+1+2*nnz+rows, 12*nnz*c+4*rows*c+6*nnz*heads)
}

// BatchNorm normalises columns (Ioffe 2015): two passes for the statistics unless frozen, one for the result; mult where rows
// stand for several equal ones. Memory bound.
func (f Float) BatchNorm(rows, cols int, mult, relu, frozen bool) Cost {
	n := rows * cols
	if frozen {
		return f.cost(2*n+4*cols, 0, 4*n+times(relu, n))
	}
	return f.cost(4*n+4*cols+times(mult, 2*rows), 0, 8*n+times(mult, 2*n)+times(relu, n))
}

// BatchNormGrad is the gradient of BatchNorm: one pass for the sums, one for DX where it is asked for. Memory bound.
func (f Float) BatchNormGrad(rows, cols int, mult, relu, frozen, dx, accumulate bool) Cost {
	n := rows * cols
	read := 2*n + times(relu, n) // X, DY and, for its sign, Y
	c := f.cost(read+7*cols, 0, 5*n+times(relu, n))
	if dx {
		if frozen { // X is not needed for DX
			read -= n
		}
		c = c.Plus(f.cost(read+n+times(accumulate, n)+times(mult && !frozen, rows), 0,
			n+times(!frozen, 5*n)+times(mult && !frozen, n)+times(relu, n)+times(accumulate, n)))
	}
	return c
}

// BatchNormTangent is the directional derivative of BatchNorm. Memory bound.
func (f Float) BatchNormTangent(rows, cols int, mult, relu, frozen bool) Cost {
	n := rows * cols
	c := f.cost(3*n+times(relu, n)+6*cols, 0, 6*n+times(relu, n))
	if !frozen {
		c = c.Plus(f.cost(2*n+times(mult, rows), 0, 8*n+times(mult, n)))
	}
	return c
}

// BatchNormRunning folds batch statistics of cols columns into running ones. Memory bound.
func (f Float) BatchNormRunning(cols int) Cost { return f.cost(6*cols, 0, 10*cols) }

// RstdOf is 1/sqrt(v+eps) of n variances. Memory bound.
func (f Float) RstdOf(n int) Cost { return f.cost(2*n, 0, 3*n) }

// LayerNorm normalises rows (Ba 2016), each read once. Memory bound.
func (f Float) LayerNorm(rows, cols int, relu bool) Cost {
	n := rows * cols
	return f.cost(2*n+2*cols+2*rows, 0, 8*n+times(relu, n))
}

// LayerNormGrad is the gradient of LayerNorm. Memory bound.
func (f Float) LayerNormGrad(rows, cols int, relu, dx, accumulate bool) Cost {
	n := rows * cols
	return f.cost(2*n+times(relu, n)+5*cols+2*rows+times(dx, n)+times(accumulate, n), 0, 5*n+times(relu, n)+times(dx, 8*n)+times(accumulate, n))
}

// LayerNormTangent is the directional derivative of LayerNorm. Memory bound.
func (f Float) LayerNormTangent(rows, cols int, relu bool) Cost {
	n := rows * cols
	return f.cost(3*n+times(relu, n)+3*cols+2*rows, 0, 13*n+times(relu, n))
}

// Map is an element-wise operation that reads in operands of n elements, updates or writes one, and does flops operations
// per element. Memory bound.
func (f Float) Map(n, in, flops int, accumulate bool) Cost {
	return f.cost((in+1)*n+times(accumulate, n), 0, n*flops+times(accumulate, n))
}

// Dropout masks n elements (Srivastava 2014) by Philox4x32-10 (Salmon 2011), whose integer work is not counted. Memory bound,
// or bound by that integer work.
func (f Float) Dropout(n int, accumulate bool) Cost { return f.Map(n, 1, 2, accumulate) }

// Dot is the inner product of n elements, also of matrices. Memory bound.
func (f Float) Dot(n int) Cost { return f.cost(2*n+1, 0, 2*n) }

// Combine is a weighted sum of k vectors of n elements. Memory bound.
func (f Float) Combine(n, k int, accumulate bool) Cost {
	return f.cost(n*(k+1)+k+times(accumulate, n), 0, n*(2*k-1)+times(accumulate, n))
}

// Dots is the inner product of each of k vectors of n elements with another one. Memory bound.
func (f Float) Dots(n, k int) Cost { return f.cost(n*(k+1)+2*k, 0, 2*n*k) }

// Gram is the inner products between k vectors of n elements. Memory bound.
func (f Float) Gram(n, k int) Cost { return f.cost(n*k+k*k, 0, n*k*(k+1)) }

// RowDot is the inner product of each of rows. Memory bound.
func (f Float) RowDot(rows, cols int, accumulate bool) Cost {
	return f.cost(2*rows*cols+rows+times(accumulate, rows), 0, 2*rows*cols)
}

// RowScale scales each of rows by a number of its own. Memory bound.
func (f Float) RowScale(rows, cols int, accumulate bool) Cost {
	return f.Map(rows*cols, 1, 1, accumulate).Plus(f.cost(rows, 0, rows))
}

// RowNormalize divides rows by their norm. Memory bound.
func (f Float) RowNormalize(rows, cols int) Cost {
	return f.cost(2*rows*cols+rows, 0, 3*rows*cols+2*rows)
}

// RowNormalizeJac is the gradient and the tangent of RowNormalize. Memory bound.
func (f Float) RowNormalizeJac(rows, cols int, accumulate bool) Cost {
	n := rows * cols
	return f.cost(3*n+rows+times(accumulate, n), 0, 5*n+times(accumulate, n))
}

// SoftmaxCE is the cross entropy of (rows,cols) logits with its gradient. Memory bound.
func (f Float) SoftmaxCE(rows, cols int, weight bool) Cost {
	return f.cost(2*rows*cols+times(weight, rows), rows, 5*rows*cols+5*rows)
}

// ElementLoss is the logistic (bce) or squared loss of n elements with its gradient. Memory bound.
func (f Float) ElementLoss(n int, bce, weight bool) Cost {
	return f.cost(3*n+times(weight, n), 0, 6*n+times(bce, 5*n)+times(weight, n))
}

// NTXent is the normalised temperature-scaled cross entropy (Chen 2020) of (n,n) similarities with its gradient. Memory bound.
func (f Float) NTXent(n int) Cost { return f.cost(2*n*n, 0, 5*n*n+5*n) }

// PairDistance is the Euclidean distance of rows with its gradients. Memory bound.
func (f Float) PairDistance(rows, cols int) Cost {
	return f.cost(4*rows*cols, 0, 6*rows*cols+4*rows)
}

// Update is an optimiser's step over n parameters: momentum is SGD with one moment, adaptive Adam (Kingma 2015) or AdamW
// (Loshchilov 2019) with two, neither plain SGD; jac adds the derivative with respect to the gradient. Memory bound.
func (f Float) Update(n int, momentum, adaptive, decay, jac bool) Cost {
	moments, flops := times(momentum, 1)+times(adaptive, 2), 2+times(momentum, 2)+times(adaptive, 13)+times(decay, 2)+times(jac && adaptive, 8)
	return f.cost(n*(3+2*moments+times(jac, 1)), 0, n*flops)
}

// UpdateRows is the steps put off by rows×cols parameters of a table, counted as one step: how many there are the device knows.
// grad is whether the last of them has a gradient, which is cleared; listed whether the rows are named. Memory bound where few
// steps were missed, otherwise bound by the roots and quotients of each.
func (f Float) UpdateRows(rows, cols int, momentum, adaptive, decay, grad, listed bool) Cost {
	n := rows * cols
	c := f.Update(n, momentum, adaptive, decay, false)
	return c.Plus(f.cost(times(grad, 2*n)-n+3, 2*rows+times(listed, rows), 0))
}

// Softmax is the softmax of one short vector.
func (f Float) Softmax(n int) Cost { return f.cost(2*n, 0, 5*n) }

// SoftmaxGrad is the gradient of Softmax.
func (f Float) SoftmaxGrad(n int) Cost { return f.cost(3*n, 0, 4*n) }
