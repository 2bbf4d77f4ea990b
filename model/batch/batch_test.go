package batch

import (
	"slices"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/cpu"
	"tapweight/gpu/ref"
)

// TestArraysArrive: every array of a batch reads on the device as it was given, also in a batch that had to grow and in a smaller
// one after it.
func TestArraysArrive(t *testing.T) {
	backends := []gpu.Backend{ref.Open()}
	if b, err := cpu.Open(0); err == nil {
		defer b.Close()
		backends = append(backends, b)
	}
	for _, b := range backends {
		d := NewDevice(b)
		var h Host
		for _, n := range []int{0, 1, 17, 300, 5} {
			h.Reset()
			var ints []int32
			var floats []float64
			for i := range n {
				ints, floats = append(ints, int32(i*i-7)), append(floats, float64(i)/4-1)
			}
			a, x := h.Ints(ints), h.Floats(floats)
			again, y := h.Ints(ints[:n/2]), h.Floats(floats[n/2:])
			if a.Len() != n || y.Len() != n-n/2 || !slices.Equal(h.HostInts(again), ints[:n/2]) {
				t.Errorf("%d and %d elements on the host", a.Len(), y.Len())
			}
			if err := d.Upload(&h); err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				ref  Floats
				want []float64
			}{{x, floats}, {y, floats[n/2:]}} {
				got := make([]float64, c.ref.Len())
				if err := b.Download(got, d.Floats(c.ref)); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("%s, %d elements: %v, want %v", b.Info().Name, n, got, c.want)
				}
			}
			if d.Ints(again).Len() != n/2 || (d.Ints(a).Addr()-d.Ints(again).Addr())%64 != 0 {
				t.Errorf("%s: arrays of integers at %x and %x", b.Info().Name, d.Ints(a).Addr(), d.Ints(again).Addr())
			}
		}
		d.Close()
		d.Close()
	}
}
