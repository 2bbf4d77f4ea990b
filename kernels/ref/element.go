package ref

import "math"

// Act numbers element-wise functions as gpu.Act does.
type Act uint8

// Activations.
const (
	Identity Act = iota
	ReLU
	Sigmoid
	Tanh
	LeakyReLU
)

// Activate: y = act(x).
func Activate[T Real](act Act, y, x M[T]) {
	for i := range x.Rows {
		dst := y.Row(i)
		for j, v := range x.Row(i) {
			switch act {
			case ReLU:
				if !(v > 0) {
					v = 0
				}
			case Sigmoid:
				v = 1 / (1 + exp(-v))
			case Tanh:
				v = T(math.Tanh(float64(v)))
			case LeakyReLU:
				if v < 0 {
					v *= leak
				}
			}
			dst[j] = v
		}
	}
}

// ActivateGrad: dx (+)= dy*act', from the saved y.
func ActivateGrad[T Real](act Act, dx, dy, y M[T], accumulate bool) {
	for i := range y.Rows {
		dst, g := dx.Row(i), dy.Row(i)
		for j, v := range y.Row(i) {
			d := g[j]
			switch act {
			case ReLU:
				if !(v > 0) {
					d = 0
				}
			case Sigmoid:
				d *= v * (1 - v)
			case Tanh:
				d *= 1 - v*v
			case LeakyReLU:
				if v < 0 {
					d *= leak
				}
			}
			if accumulate {
				d += dst[j]
			}
			dst[j] = d
		}
	}
}

// Philox is Philox4x32-10 (Salmon 2011).
func Philox(counter [4]uint32, key [2]uint32) [4]uint32 {
	for range 10 {
		a, b := uint64(counter[0])*0xD2511F53, uint64(counter[2])*0xCD9E8D57
		counter = [4]uint32{uint32(b>>32) ^ counter[1] ^ key[0], uint32(b), uint32(a>>32) ^ counter[3] ^ key[1], uint32(a)}
		key[0] += 0x9E3779B9
		key[1] += 0xBB67AE85
	}
	return counter
}

// Uniform returns the number in [0,1) of an element of a stream, with 24 bits.
func Uniform(seed uint64, step, stream uint32, element uint64) float64 {
	block := element / 4
	w := Philox([4]uint32{uint32(block), uint32(block >> 32), stream, step}, [2]uint32{uint32(seed), uint32(seed >> 32)})
	return float64(w[element%4]>>8) / (1 << 24)
}

// Dropout: y (+)= x*(u>=p)/(1-p).
func Dropout[T Real](y, x M[T], p float64, seed uint64, step, stream uint32, accumulate bool) {
	for i := range x.Rows {
		dst := y.Row(i)
		for j, v := range x.Row(i) {
			if Uniform(seed, step, stream, uint64(i)*uint64(x.Cols)+uint64(j)) < p {
				v = 0
			} else {
				v *= T(1 / (1 - p))
			}
			if accumulate {
				v += dst[j]
			}
			dst[j] = v
		}
	}
}

// AddScaled: y += s*x.
func AddScaled[T Real](y, x M[T], s T) {
	for i := range x.Rows {
		dst := y.Row(i)
		for j, v := range x.Row(i) {
			dst[j] += s * v
		}
	}
}

// CopyMat: y = x.
func CopyMat[T Real](y, x M[T]) {
	for i := range x.Rows {
		copy(y.Row(i), x.Row(i))
	}
}

// ScaleMat: y = s*x.
func ScaleMat[T Real](y, x M[T], s T) {
	for i := range x.Rows {
		dst := y.Row(i)
		for j, v := range x.Row(i) {
			dst[j] = s * v
		}
	}
}

// RowDot: out[i] (+)= scale*<a_i,b_i>.
func RowDot[T Real](out []T, a, b M[T], scale T, accumulate bool) {
	for i := range a.Rows {
		var s T
		y := b.Row(i)
		for j, v := range a.Row(i) {
			s += v * y[j]
		}
		s *= scale
		if accumulate {
			s += out[i]
		}
		out[i] = s
	}
}

// RowScale: dst_i (+)= scale*s_i*src_i.
func RowScale[T Real](dst M[T], s []T, src M[T], scale T, accumulate bool) {
	for i := range src.Rows {
		d := dst.Row(i)
		for j, v := range src.Row(i) {
			v *= scale * s[i]
			if accumulate {
				v += d[j]
			}
			d[j] = v
		}
	}
}

// RowNormalize: y_i = x_i/norm_i, norm_i = sqrt(sum x² + eps).
func RowNormalize[T Real](y, x M[T], norm []T, eps T) {
	for i := range x.Rows {
		var s T
		for _, v := range x.Row(i) {
			s += v * v
		}
		norm[i] = sqrt(s + eps)
		dst := y.Row(i)
		for j, v := range x.Row(i) {
			dst[j] = v / norm[i]
		}
	}
}

// RowNormalizeJac: out_i (+)= (in_i - y_i<y_i,in_i>)/norm_i.
func RowNormalizeJac[T Real](out, in, y M[T], norm []T, accumulate bool) {
	for i := range in.Rows {
		x, u, dst := in.Row(i), y.Row(i), out.Row(i)
		var s T
		for j, v := range x {
			s += v * u[j]
		}
		for j, v := range x {
			d := (v - u[j]*s) / norm[i]
			if accumulate {
				d += dst[j]
			}
			dst[j] = d
		}
	}
}
