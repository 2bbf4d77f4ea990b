package gputest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"testing"

	"tapweight/gpu"
)

// testShapes calls operations with one argument of the wrong shape: each must panic with a message that has words and sizes.
func testShapes(t *testing.T, b gpu.Backend) {
	m := &machine{Backend: b, rng: rand.New(rand.NewPCG(1, 1))}
	defer func() {
		for _, r := range m.records {
			b.Free(r.whole)
		}
	}()
	mat := func(rows, cols int) gpu.Mat { return m.inMat("", m.matrix(rows, cols)) }
	vec := func(n int) gpu.Buffer { return m.in("", m.normal(n, 0, 1)) }
	ints := func(n int) gpu.Buffer { return m.ints("", input, make([]int32, n)) }
	csr := m.csr("", m.graph(5, 4, 3), true, true)
	norm := gpu.BatchNorm{X: mat(5, 3), Y: mat(5, 3), Total: 5, Gamma: vec(3), Beta: vec(3), Mean: vec(3), Rstd: vec(3), Eps: 1e-5}
	layer := gpu.LayerNorm{X: norm.X, Y: norm.Y, Gamma: vec(3), Beta: vec(3), Mean: vec(5), Rstd: vec(4), Eps: 1e-5}
	calls := map[string]func(){
		"Gemm with inner dimensions 4 and 3": func() { b.Gemm(gpu.Gemm{A: mat(2, 4), B: mat(3, 5), C: mat(2, 5)}) },
		"Gemm into too few rows":             func() { b.Gemm(gpu.Gemm{A: mat(2, 4), B: mat(4, 5), C: mat(1, 5)}) },
		"Gemm with a short bias":             func() { b.Gemm(gpu.Gemm{A: mat(2, 4), B: mat(4, 5), C: mat(2, 5), Bias: vec(4)}) },
		"Gemm added with a bias":             func() { b.Gemm(gpu.Gemm{A: mat(2, 4), B: mat(4, 5), C: mat(2, 5), Bias: vec(5), Accumulate: true}) },
		"ColSum into too few":                func() { b.ColSum(vec(3), mat(2, 4), false) },
		"Aggregate of too few channels":      func() { b.Aggregate(gpu.Aggregate{CSR: csr, H: mat(4, 6), Out: mat(5, 7)}) },
		"Aggregate from too few rows":        func() { b.Aggregate(gpu.Aggregate{CSR: csr, H: mat(3, 6), Out: mat(5, 6)}) },
		"EdgeGrad of too few rows":           func() { b.EdgeGrad(gpu.EdgeGrad{CSR: csr, DOut: mat(4, 6), DE: mat(3, 6)}) },
		"EmbeddingSum with too few indices":  func() { b.EmbeddingSum(mat(5, 6), mat(2, 6), ints(9), 2) },
		"SegmentMax with too few winners":    func() { b.SegmentMax(mat(5, 6), ints(29), csr, mat(4, 6)) },
		"BatchNormGrad of too few rows": func() {
			b.BatchNormGrad(gpu.BatchNormGrad{BatchNorm: norm, DY: mat(4, 3), DGamma: vec(3), DBeta: vec(3)})
		},
		"BatchNormTangent with a short vector": func() {
			b.BatchNormTangent(gpu.BatchNormTangent{BatchNorm: norm, TX: mat(5, 3), TY: mat(5, 3), TGamma: vec(2), TBeta: vec(3)})
		},
		"LayerNorm with too few deviations": func() { b.LayerNorm(layer) },
		"Activate into too few columns":     func() { b.Activate(gpu.ReLU, mat(5, 2), mat(5, 3)) },
		"Dropout into too few rows":         func() { b.Dropout(mat(4, 3), mat(5, 3), 0.5, gpu.Key{}, false) },
		"RowDot into too few":               func() { b.RowDot(vec(4), mat(5, 3), mat(5, 3), 1, false) },
		"RowScale by too few":               func() { b.RowScale(mat(5, 3), vec(4), mat(5, 3), 1, false) },
		"SoftmaxCE with too few targets":    func() { b.SoftmaxCE(gpu.SoftmaxCE{X: mat(5, 3), DX: mat(5, 3), Target: ints(4), Loss: vec(1)}) },
		"ElementLoss with too few targets":  func() { b.ElementLoss(gpu.ElementLoss{X: mat(5, 3), DX: mat(5, 3), Target: vec(14), Loss: vec(1)}) },
		"NTXent of an odd number":           func() { b.NTXent(gpu.NTXent{S: mat(3, 3), DS: mat(3, 3), Loss: vec(1)}) },
		"PairDistance of different shapes": func() {
			b.PairDistance(gpu.PairDistance{A: mat(3, 3), B: mat(3, 2), DA: mat(3, 3), DB: mat(3, 3), Loss: vec(1)})
		},
		"Axpy of different lengths":  func() { b.Axpy(vec(5), 1, gpu.Buffer{}, vec(4)) },
		"Mul of different lengths":   func() { b.Mul(vec(5), 1, vec(5), vec(6)) },
		"Dot of different lengths":   func() { b.Dot(vec(1), 1, vec(5), vec(4), false) },
		"Combine by too few factors": func() { b.Combine(vec(5), vec(1), []gpu.Buffer{vec(5), vec(5)}, false) },
		"Dots of different lengths":  func() { b.Dots(vec(2), 1, []gpu.Buffer{vec(5), vec(4)}, vec(5)) },
		"Dots of too many":           func() { b.Dots(vec(17), 1, make([]gpu.Buffer, 17), vec(5)) },
		"Gram into too few":          func() { b.Gram(vec(3), []gpu.Buffer{vec(5), vec(5)}) },
		"UpdateRows without the rates of all steps": func() {
			b.UpdateRows(gpu.UpdateRows{P: mat(5, 3), Last: ints(5), Rates: vec(6), Until: 3})
		},
		"UpdateRows with a count too few": func() { b.UpdateRows(gpu.UpdateRows{P: mat(5, 3), Last: ints(4)}) },
		"Update with a short gradient":    func() { b.Update(gpu.Update{P: vec(5), G: vec(4)}) },
		"Upload of another length":        func() { b.Upload(vec(5), make([]float64, 4)) },
		"Download of another length":      func() { _ = b.Download(make([]float64, 4), vec(5)) },
	}
	maps.Copy(calls, encoderShapes(m))
	maps.Copy(calls, attentionShapes(m, b))
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if message := fmt.Sprint(recover()); !regexp.MustCompile(`[a-z]{3}.*\d`).MatchString(message) || regexp.MustCompile("runtime error").MatchString(message) {
					t.Errorf("panic %q, want one that names operation and sizes", message)
				}
			}()
			call()
		})
	}
}
