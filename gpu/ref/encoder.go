package ref

import (
	"tapweight/gpu"
	"tapweight/kernels/ref"
)

// absent checks the shapes of matrices that may be absent.
func absent(op string, first gpu.Mat, others ...gpu.Mat) {
	for _, m := range others {
		if !m.IsNil() {
			alike(op, first, m)
		}
	}
}

func gelu[T ref.Real](g gpu.GELU) ref.GELU[T] {
	return ref.GELU[T]{X: mat[T](g.X), Y: mat[T](g.Y), Bias: optional[T](g.Bias), Tanh: g.Tanh}
}

func (b *Device[T]) GELU(g gpu.GELU) {
	b.stats.Launches++
	alike("gelu", g.X, g.Y)
	maybe("gelu", "Bias", g.Bias, g.X.Cols)
	gelu[T](g).Forward()
}

func (b *Device[T]) GELUGrad(g gpu.GELUGrad) {
	b.stats.Launches++
	alike("gelu-grad", g.X, g.DY, g.DX)
	maybe("gelu-grad", "Bias", g.Bias, g.X.Cols)
	maybe("gelu-grad", "DBias", g.DBias, g.X.Cols)
	g.Y = gpu.Mat{}
	gelu[T](g.GELU).Backward(mat[T](g.DY), mat[T](g.DX), g.Accumulate, optional[T](g.DBias))
}

func (b *Device[T]) GELUTangent(g gpu.GELUTangent) {
	b.stats.Launches++
	alike("gelu-tangent", g.X, g.TY)
	absent("gelu-tangent", g.X, g.TX)
	maybe("gelu-tangent", "Bias", g.Bias, g.X.Cols)
	maybe("gelu-tangent", "TBias", g.TBias, g.X.Cols)
	g.Y = gpu.Mat{}
	gelu[T](g.GELU).Tangent(mat[T](g.TX), mat[T](g.TY), optional[T](g.TBias))
}

func checkAddNorm(op string, a gpu.AddNorm) {
	need(a.DropP >= 0 && a.DropP < 1, "%s: dropout of %g", op, a.DropP)
	maybe(op, "Bias", a.Bias, a.Z.Cols)
	sized(op, "Gamma", a.Gamma, a.Z.Cols)
	sized(op, "Beta", a.Beta, a.Z.Cols)
	sized(op, "Mean", a.Mean, a.Z.Rows)
	sized(op, "Rstd", a.Rstd, a.Z.Rows)
}

func addNorm[T ref.Real](a gpu.AddNorm) ref.AddNorm[T] {
	return ref.AddNorm[T]{X: mat[T](a.X), R: mat[T](a.R), Z: mat[T](a.Z), Y: mat[T](a.Y), Bias: optional[T](a.Bias), P: a.DropP,
		Seed: a.Key.Seed, Step: a.Key.Step, Stream: a.Key.Stream, Gamma: floats[T](a.Gamma), Beta: floats[T](a.Beta), Mean: floats[T](a.Mean),
		Rstd: floats[T](a.Rstd), Eps: T(a.Eps)}
}

func (b *Device[T]) AddNorm(a gpu.AddNorm) {
	b.stats.Launches++
	checkAddNorm("add-norm", a)
	alike("add-norm", a.Z, a.X, a.Y)
	absent("add-norm", a.Z, a.R)
	addNorm[T](a).Forward()
}

func (b *Device[T]) AddNormGrad(a gpu.AddNormGrad) {
	b.stats.Launches++
	checkAddNorm("add-norm-grad", a.AddNorm)
	alike("add-norm-grad", a.Z, a.DY)
	absent("add-norm-grad", a.Z, a.DX, a.DR)
	maybe("add-norm-grad", "DBias", a.DBias, a.Z.Cols)
	sized("add-norm-grad", "DGamma", a.DGamma, a.Z.Cols)
	sized("add-norm-grad", "DBeta", a.DBeta, a.Z.Cols)
	a.X, a.R, a.Y = gpu.Mat{}, gpu.Mat{}, a.Z // layer norm without an activation does not read its result
	addNorm[T](a.AddNorm).Backward(mat[T](a.DY), mat[T](a.DX), mat[T](a.DR), a.Accumulate, optional[T](a.DBias), floats[T](a.DGamma), floats[T](a.DBeta))
}

func (b *Device[T]) AddNormTangent(a gpu.AddNormTangent) {
	b.stats.Launches++
	checkAddNorm("add-norm-tangent", a.AddNorm)
	alike("add-norm-tangent", a.Z, a.TY)
	absent("add-norm-tangent", a.Z, a.TX, a.TR)
	for _, v := range []gpu.Buffer{a.TBias, a.TGamma, a.TBeta} {
		maybe("add-norm-tangent", "a vector of columns", v, a.Z.Cols)
	}
	a.X, a.R, a.Y = gpu.Mat{}, gpu.Mat{}, a.Z
	addNorm[T](a.AddNorm).Tangent(mat[T](a.TX), mat[T](a.TR), mat[T](a.TY), optional[T](a.TBias), optional[T](a.TGamma), optional[T](a.TBeta))
}

func checkLinearCE(op string, l gpu.LinearCE) {
	shaped(op, "W", l.W, l.W.Rows, l.X.Cols)
	maybe(op, "Bias", l.Bias, l.W.Rows)
	sized(op, "Target", l.Target, l.X.Rows)
	sized(op, "LSE", l.LSE, l.X.Rows)
}

func linearCE[T ref.Real](l gpu.LinearCE) ref.LinearCE[T] {
	return ref.LinearCE[T]{X: mat[T](l.X), W: mat[T](l.W), Bias: optional[T](l.Bias), Target: ints(l.Target), Scale: T(l.Scale), LSE: floats[T](l.LSE),
		Loss: optional[T](l.Loss)}
}

func (b *Device[T]) LinearCE(l gpu.LinearCE) {
	b.stats.Launches++
	checkLinearCE("linear-ce", l)
	sized("linear-ce", "Loss", l.Loss, 1)
	linearCE[T](l).Forward()
}

func (b *Device[T]) LinearCEGrad(l gpu.LinearCEGrad) {
	b.stats.Launches++
	checkLinearCE("linear-ce-grad", l.LinearCE)
	maybe("linear-ce-grad", "Up", l.Up, 1)
	absent("linear-ce-grad", l.X, l.DX)
	absent("linear-ce-grad", l.W, l.DW)
	maybe("linear-ce-grad", "DBias", l.DBias, l.W.Rows)
	linearCE[T](l.LinearCE).Backward(scalar[T](1, l.Up), mat[T](l.DX), mat[T](l.DW), l.Accumulate, optional[T](l.DBias))
}

func (b *Device[T]) LinearCETangent(l gpu.LinearCETangent) {
	b.stats.Launches++
	checkLinearCE("linear-ce-tangent", l.LinearCE)
	absent("linear-ce-tangent", l.X, l.TX)
	absent("linear-ce-tangent", l.W, l.TW)
	maybe("linear-ce-tangent", "TBias", l.TBias, l.W.Rows)
	sized("linear-ce-tangent", "Out", l.Out, 1)
	linearCE[T](l.LinearCE).Tangent(mat[T](l.TX), mat[T](l.TW), optional[T](l.TBias), T(l.C), floats[T](l.Out))
}

func (b *Device[T]) ScatterRows(dst gpu.Mat, row gpu.Buffer, c gpu.CSR, src gpu.Mat) {
	b.stats.Launches++
	checkCSR("scatter-rows", c)
	sized("scatter-rows", "row", row, c.Rows)
	shaped("scatter-rows", "src", src, c.Cols, dst.Cols)
	ref.ScatterRows(mat[T](dst), ints(row), csr[T](c), mat[T](src))
}

// rowsOf checks rows of a table and returns them.
func rowsOf[T ref.Real](op string, r gpu.Rows) ref.Rows[T] {
	out := ref.Rows[T]{M: mat[T](r.M), First: r.First}
	if !r.Row.IsNil() {
		sized(op, "Row", r.Row, r.M.Rows)
		out.Row = ints(r.Row)
	}
	return out
}

func (b *Device[T]) AddRows(dst gpu.Rows, s gpu.Buffer, src gpu.Rows) {
	const op = "add-rows"
	b.stats.Launches++
	need(dst.M.Cols == src.M.Cols, "%s: rows of %d and %d elements", op, dst.M.Cols, src.M.Cols)
	maybe(op, "s", s, 1)
	ref.AddRows(rowsOf[T](op, dst), scalar[T](1, s), rowsOf[T](op, src))
}

func (b *Device[T]) DotRows(out gpu.Buffer, c float64, x, y gpu.Rows) {
	const op = "dot-rows"
	b.stats.Launches++
	need(x.M.Cols == y.M.Cols, "%s: rows of %d and %d elements", op, x.M.Cols, y.M.Cols)
	sized(op, "out", out, 1)
	store[T](out, T(c)*ref.DotRows(rowsOf[T](op, x), rowsOf[T](op, y)), true)
}
