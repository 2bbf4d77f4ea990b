// Package ref is the oracle: every operation as plain loops, in the order a textbook would take them.
//
// The float64 instances back the gpu/ref device and judge every other backend; the float32 instances are the "naive loop"
// whose error is the yardstick of the compliance suite. The package imports nothing of ours and shares no code with
// kernels/cpu. Matrices are row-major slices with a leading dimension; see package gpu for what each operation means.
package ref

import "math"

// Real is the element type of an instance.
type Real interface{ float32 | float64 }

// M is a matrix view: element (i, j) is D[i*LD+j].
type M[T Real] struct {
	D              []T
	Rows, Cols, LD int
}

// Row returns the i-th row.
func (m M[T]) Row(i int) []T {
	if m.Cols == 0 { // there may be no memory behind it
		return nil
	}
	return m.D[i*m.LD : i*m.LD+m.Cols]
}

// Nil reports whether the matrix is absent.
func (m M[T]) Nil() bool { return m.D == nil }

// at reads op(m)[i,j].
func (m M[T]) at(trans bool, i, j int) T {
	if trans {
		return m.D[j*m.LD+i]
	}
	return m.D[i*m.LD+j]
}

func sqrt[T Real](x T) T { return T(math.Sqrt(float64(x))) }
func exp[T Real](x T) T  { return T(math.Exp(float64(x))) }
func log[T Real](x T) T  { return T(math.Log(float64(x))) }

// Gemm: c = act(op(a)·op(b) + bias) or c += op(a)·op(b).
func Gemm[T Real](a, b, c M[T], transA, transB, accumulate bool, bias []T, relu bool) {
	k := a.Cols
	if transA {
		k = a.Rows
	}
	row := make([]T, c.Cols)
	for i := range c.Rows {
		clear(row)
		for p := range k {
			x := a.at(transA, i, p)
			if transB {
				for j := range row {
					row[j] += x * b.D[j*b.LD+p]
				}
				continue
			}
			for j, y := range b.Row(p) {
				row[j] += x * y
			}
		}
		dst := c.Row(i)
		for j, v := range row {
			if accumulate {
				dst[j] += v
				continue
			}
			if bias != nil {
				v += bias[j]
			}
			if relu && !(v > 0) {
				v = 0
			}
			dst[j] = v
		}
	}
}

// ColSum: dst[j] (+)= sum_i src[i,j].
func ColSum[T Real](dst []T, src M[T], accumulate bool) {
	for j := range src.Cols {
		var s T
		for i := range src.Rows {
			s += src.D[i*src.LD+j]
		}
		if accumulate {
			s += dst[j]
		}
		dst[j] = s
	}
}
