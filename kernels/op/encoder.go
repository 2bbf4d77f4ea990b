package op

// Operations of transformer encoders.

// GELU is the Gaussian error linear unit (Hendrycks 2016) of (rows,cols) with a bias added before it; the error function and the
// hyperbolic tangent count one. Memory bound, or bound by their polynomials.
func (f Float) GELU(rows, cols int, bias, tanh bool) Cost {
	n := rows * cols
	return f.cost(2*n+times(bias, cols), 0, n*(5+times(bias, 1)+times(tanh, 4)))
}

// GELUGrad is the gradient of GELU; dbias sums it over the rows. Memory bound.
func (f Float) GELUGrad(rows, cols int, bias, tanh, accumulate, dbias bool) Cost {
	n := rows * cols
	return f.cost(3*n+times(accumulate, n)+times(bias, cols)+times(dbias, 2*cols), 0,
		n*(10+times(bias, 1)+times(tanh, 6)+times(accumulate, 1)+times(dbias, 1)))
}

// GELUTangent is the directional derivative of GELU along its operand, its bias or both. Memory bound.
func (f Float) GELUTangent(rows, cols int, bias, tanh, tx, tbias bool) Cost {
	n := rows * cols
	return f.cost(2*n+times(tx, n)+times(bias, cols)+times(tbias, cols), 0, n*(10+times(bias, 1)+times(tanh, 6)+times(tx && tbias, 1)))
}

// AddNorm is layer normalisation (Ba 2016) of a residual sum, with bias and dropout of the branch (Vaswani 2017): everything is
// read once. Memory bound, or bound by the integer work of dropout, which is not counted.
func (f Float) AddNorm(rows, cols int, residual, bias, drop bool) Cost {
	n := rows * cols
	return f.cost(3*n+times(residual, n)+times(bias, cols)+2*cols+2*rows, 0, n*(8+times(residual, 1)+times(bias, 1)+times(drop, 2)))
}

// AddNormGrad is the gradient of AddNorm in the branch (dx) and in the residual (dr). Memory bound.
func (f Float) AddNormGrad(rows, cols int, dx, dr, accumulate, dbias, drop bool) Cost {
	n := rows * cols
	return f.cost(2*n+times(dx, n)+times(dr, n)+times(dr && accumulate, n)+5*cols+times(dbias, 2*cols)+2*rows, 0,
		n*(13+times(drop, 2)+times(dr && accumulate, 1)+times(dbias, 1)))
}

// AddNormTangent is the directional derivative of AddNorm. Memory bound.
func (f Float) AddNormTangent(rows, cols int, tx, tr, tbias, drop bool) Cost {
	n := rows * cols
	return f.cost(2*n+times(tx, n)+times(tr, n)+times(tbias, cols)+3*cols+2*rows, 0,
		n*(13+times(tx && tr, 1)+times(tbias, 1)+times(drop, 2)))
}

// LinearCE is the cross entropy of n rows of inner elements in classes, whose logits are not stored. Compute bound.
func (f Float) LinearCE(n, classes, inner int, bias bool) Cost {
	return f.cost(n*inner+classes*inner+times(bias, classes)+n, n, n*classes*(2*inner+4+times(bias, 1)))
}

// LinearCEGrad is the gradient of LinearCE, one product for the logits and one for each of DX and DW. Compute bound.
func (f Float) LinearCEGrad(n, classes, inner int, bias, dx, accumulate, dw, dbias bool) Cost {
	x, w, logits := n*inner, classes*inner, n*classes
	return f.cost(x+w+n+times(bias, classes)+times(dx, x)+times(dx && accumulate, x)+times(dw, 2*w)+times(dbias, 2*classes), n,
		logits*(2*inner+3+times(bias, 1)+times(dx, 2*inner)+times(dw, 2*inner)+times(dbias, 1)))
}

// LinearCETangent is the directional derivative of LinearCE, one product for the logits and one for each of TX and TW. Compute
// bound.
func (f Float) LinearCETangent(n, classes, inner int, bias, tx, tw, tbias bool) Cost {
	x, w, logits := n*inner, classes*inner, n*classes
	return f.cost(x+w+n+times(bias, classes)+times(tx, x)+times(tw, w)+times(tbias, classes), n,
		logits*(2*inner+5+times(bias, 1)+times(tx, 2*inner)+times(tw, 2*inner)+times(tbias, 1)))
}

// ScatterRows adds nnz rows of cols elements to rows rows of a large table. Memory bound.
func (f Float) ScatterRows(rows, nnz, cols int, weight bool) Cost {
	return f.cost(nnz*cols+2*rows*cols+times(weight, nnz), 2*rows+1+nnz, nnz*cols*(1+times(weight, 1)))
}

// AddRows adds rows of cols elements to those of another list, counted as if every row of the shorter were in both: how many are
// the device knows. Memory bound.
func (f Float) AddRows(rows, cols int) Cost { return f.cost(3*rows*cols, rows, 2*rows*cols) }

// DotRows is an inner product over the rows of two lists, counted as AddRows. Memory bound.
func (f Float) DotRows(rows, cols int) Cost { return f.cost(2*rows*cols+2, rows, 2*rows*cols) }
