package profile

import (
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/ref"
	"tapweight/kernels/op"
)

// TestProfile holds the profile to the operations' specs, and the results to the device's.
func TestProfile(t *testing.T) {
	p := Wrap(ref.Open())
	a, err := p.Alloc(12, 8)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Alloc(9, 8)
	if err != nil {
		t.Fatal(err)
	}
	p.Fill(a, 2)
	p.Reset()
	m := gpu.MatOf(a, 3, 4, 4)
	for range 2 {
		p.Gemm(gpu.Gemm{A: m, B: m, TransB: true, C: gpu.MatOf(c, 3, 3, 3)})
	}
	p.Scale(c, 0.5, gpu.Buffer{})
	out := make([]float64, 9)
	if err := p.Download(out, c); err != nil {
		t.Fatal(err)
	}
	for _, v := range out {
		if v != 8 {
			t.Fatalf("result %v, want 8 everywhere", out)
		}
	}
	got := map[string]Entry{}
	for _, e := range p.Entries() {
		if e.Time <= 0 {
			t.Errorf("%s took no time", e.Op)
		}
		got[e.Op] = e
	}
	spec := op.Float(8)
	one := spec.Gemm(3, 3, 4, false, false, false)
	if e := got["Gemm 3×m×3"]; e.Calls != 2 || e.Cost != one.Plus(one) {
		t.Errorf("Gemm: %+v, want twice %+v", e, one)
	}
	if e := got["Scale"]; e.Calls != 1 || e.Cost != spec.Map(9, 1, 1, false) {
		t.Errorf("Scale: %+v", e)
	}
	if len(got) != 2 {
		t.Errorf("entries %v, want Gemm and Scale only: Fill was before Reset", got)
	}
}
