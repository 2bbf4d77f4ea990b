package ref

import (
	"fmt"

	"tapweight/gpu"
)

// The checks below panic on arguments of the wrong shape, which plain loops would often run through without a sound.

func need(ok bool, format string, args ...any) {
	if !ok {
		panic("gpu/ref: " + fmt.Sprintf(format, args...))
	}
}

// shaped checks the shape of a matrix.
func shaped(op, name string, m gpu.Mat, rows, cols int) {
	need(m.Rows == rows && m.Cols == cols, "%s: %s is %d×%d, want %d×%d", op, name, m.Rows, m.Cols, rows, cols)
}

// alike checks that matrices have the shape of the first.
func alike(op string, first gpu.Mat, others ...gpu.Mat) {
	for _, m := range others {
		shaped(op, "an operand", m, first.Rows, first.Cols)
	}
}

// sized checks the number of elements of a buffer.
func sized(op, name string, b gpu.Buffer, n int) {
	need(b.Len() == n, "%s: %s has %d elements, want %d", op, name, b.Len(), n)
}

// maybe checks a buffer that may be absent.
func maybe(op, name string, b gpu.Buffer, n int) {
	if !b.IsNil() {
		sized(op, name, b, n)
	}
}

// equal checks that vectors have the length of the first.
func equal(op string, first gpu.Buffer, others ...gpu.Buffer) {
	for _, b := range others {
		sized(op, "a vector", b, first.Len())
	}
}

// counted checks the number of vectors of an operation on several.
func counted(op string, n int) {
	need(n >= 1 && n <= gpu.MaxVectors, "%s: %d vectors, at least 1 and at most %d are possible", op, n, gpu.MaxVectors)
}

func checkCSR(op string, c gpu.CSR) {
	sized(op, "RowPtr", c.RowPtr, c.Rows+1)
	sized(op, "Col", c.Col, c.NNZ)
	maybe(op, "Code", c.Code, c.NNZ)
	maybe(op, "Weight", c.Weight, c.NNZ)
}

func checkGemm(g gpu.Gemm) {
	m, k := g.A.Rows, g.A.Cols
	if g.TransA {
		m, k = k, m
	}
	kb, n := g.B.Rows, g.B.Cols
	if g.TransB {
		kb, n = n, kb
	}
	need(k == kb, "gemm: (%d,%d)·(%d,%d)", m, k, kb, n)
	need(!g.Accumulate || g.Bias.IsNil() && g.Act == gpu.Identity, "gemm: %d×%d is added to C together with a bias or an activation", m, n)
	need(g.Act == gpu.Identity || g.Act == gpu.ReLU, "gemm: %d×%d with activation %s", m, n, g.Act)
	shaped("gemm", "C", g.C, m, n)
	maybe("gemm", "Bias", g.Bias, n)
}

func checkAggregate(a gpu.Aggregate) {
	const op = "aggregate"
	checkCSR(op, a.CSR)
	shaped(op, "H", a.H, a.CSR.Cols, a.Out.Cols)
	shaped(op, "Out", a.Out, a.CSR.Rows, a.H.Cols)
	if !a.E.IsNil() {
		need(!a.CSR.Code.IsNil(), "%s: an edge table of %d rows without codes", op, a.E.Rows)
		shaped(op, "E", a.E, a.E.Rows, a.H.Cols)
	}
}

func checkGAT(op string, g gpu.GAT) {
	c := g.X.Cols
	need(g.Heads > 0 && c%g.Heads == 0, "%s: %d channels in %d heads", op, c, g.Heads)
	checkCSR(op, g.CSR)
	sized(op, "Code", g.CSR.Code, g.CSR.NNZ)
	sized(op, "Self", g.Self, g.CSR.Rows)
	shaped(op, "X", g.X, g.CSR.Cols, c)
	shaped(op, "E", g.E, g.E.Rows, c)
	shaped(op, "Att", g.Att, g.Heads, 2*c/g.Heads)
	shaped(op, "Out", g.Out, g.CSR.Rows, c)
	shaped(op, "Alpha", g.Alpha, g.CSR.NNZ, g.Heads)
	shaped(op, "Score", g.Score, g.CSR.NNZ, g.Heads)
}

func checkBatchNorm(op string, o gpu.BatchNorm) {
	alike(op, o.X, o.Y)
	maybe(op, "Mult", o.Mult, o.X.Rows)
	for _, v := range []gpu.Buffer{o.Gamma, o.Beta, o.Mean, o.Rstd} {
		sized(op, "a vector of columns", v, o.X.Cols)
	}
}

func checkLayerNorm(op string, o gpu.LayerNorm) {
	alike(op, o.X, o.Y)
	sized(op, "Gamma", o.Gamma, o.X.Cols)
	sized(op, "Beta", o.Beta, o.X.Cols)
	sized(op, "Mean", o.Mean, o.X.Rows)
	sized(op, "Rstd", o.Rstd, o.X.Rows)
}

func checkNormGrad(op string, x, dy, dx gpu.Mat, dgamma, dbeta gpu.Buffer) {
	alike(op, x, dy)
	if !dx.IsNil() {
		alike(op, x, dx)
	}
	sized(op, "DGamma", dgamma, x.Cols)
	sized(op, "DBeta", dbeta, x.Cols)
}

func checkNormTangent(op string, x, tx, ty gpu.Mat, tgamma, tbeta gpu.Buffer) {
	alike(op, x, tx, ty)
	sized(op, "TGamma", tgamma, x.Cols)
	sized(op, "TBeta", tbeta, x.Cols)
}

func checkUpdate(u gpu.Update) {
	const op = "update"
	n := u.P.Len()
	sized(op, "G", u.G, n)
	maybe(op, "Jac", u.Jac, n)
	maybe(op, "GradScale", u.GradScale, 1)
	if u.Rule != gpu.SGD || u.Momentum != 0 {
		sized(op, "M", u.M, n)
	}
	if u.Rule != gpu.SGD {
		sized(op, "V", u.V, n)
	}
}

func checkUpdateRows(u gpu.UpdateRows) {
	const op = "update-rows"
	sized(op, "Last", u.Last, u.P.Rows)
	maybe(op, "GradScale", u.GradScale, 1)
	need(u.Rates.Len() >= 3*u.Until, "%s: %d numbers are the rates of fewer than %d steps", op, u.Rates.Len(), u.Until)
	if !u.G.IsNil() {
		alike(op, u.P, u.G)
	}
	if u.Rule != gpu.SGD || u.Momentum != 0 {
		alike(op, u.P, u.M)
	}
	if u.Rule != gpu.SGD {
		alike(op, u.P, u.V)
	}
}
