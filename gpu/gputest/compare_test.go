package gputest

import (
	"math"
	"testing"
)

func TestCompare(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	million := make([]float64, 1_000_000)
	for i := range million {
		million[i] = math.Sin(float64(i))
	}
	with := func(v []float64, i int, x float64) []float64 {
		w := append([]float64(nil), v...)
		w[i] = x
		return w
	}
	transposed := []float64{1, 4, 2, 5, 3, 6}
	straight := []float64{1, 2, 3, 4, 5, 6}
	for _, c := range []struct {
		name             string
		got, want, naive []float64
		ok               bool
	}{
		{"equal", straight, straight, straight, true},
		{"empty", nil, nil, nil, true},
		{"zero against zero", []float64{0}, []float64{0}, []float64{0}, true},
		{"zero against minus zero", []float64{0}, []float64{math.Copysign(0, -1)}, []float64{0}, true},
		{"something against zero", []float64{1e-30}, []float64{0}, []float64{0}, false},
		{"NaN got", []float64{nan, 1}, []float64{1, 1}, []float64{1, 1}, false},
		{"NaN got and naive", []float64{nan, 1}, []float64{1, 1}, []float64{nan, 1}, false},
		{"NaN wanted", []float64{1}, []float64{nan}, []float64{nan}, false},
		{"NaN both", []float64{nan}, []float64{nan}, []float64{nan}, true},
		{"Inf got", []float64{inf, 1}, []float64{1, 1}, []float64{1, 1}, false},
		{"Inf got and naive", []float64{inf, 1}, []float64{1, 1}, []float64{inf, 1}, false},
		{"Inf wanted", []float64{1e30}, []float64{inf}, []float64{inf}, false},
		{"Inf both", []float64{inf}, []float64{inf}, []float64{inf}, true},
		{"Inf of the other sign", []float64{-inf}, []float64{inf}, []float64{inf}, false},
		{"one wrong in a million", with(million, 777_777, million[777_777]+1e-5), million, million, false},
		{"one NaN in a million", with(million, 999_999, nan), million, million, false},
		{"a million right", million, million, million, true},
		{"transposed", transposed, straight, straight, false},
		{"twice the naive error", []float64{1.02, 1}, []float64{1, 1}, []float64{1, 1.01}, true},
		{"three times the naive error", []float64{1.03, 1}, []float64{1, 1}, []float64{1, 1.01}, false},
		{"within the floor", []float64{1 + 9e-7}, []float64{1}, []float64{1}, true},
		{"beyond the floor", []float64{1 + 1e-6}, []float64{1}, []float64{1}, false},
		{"too short", straight[:5], straight, straight, false},
	} {
		if err := Compare(c.got, c.want, c.naive, 0); (err == nil) != c.ok {
			t.Errorf("%s: error %v, want success %v", c.name, err, c.ok)
		}
	}
}

func TestCompareTerms(t *testing.T) {
	// 1000 - 1000 + 1 in float32 may be off by a roundoff of 1000, and no more.
	if err := Compare([]float64{1.0005}, []float64{1}, []float64{1}, 1000); err != nil {
		t.Error(err)
	}
	if err := Compare([]float64{1.002}, []float64{1}, []float64{1}, 1000); err == nil {
		t.Error("an error beyond the floor of the terms passed")
	}
}

func TestSameBits(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		a, b []float64
		ok   bool
	}{
		{[]float64{1, nan}, []float64{1, nan}, true},
		{[]float64{1}, []float64{math.Nextafter(1, 2)}, false},
		{[]float64{0}, []float64{math.Copysign(0, -1)}, false},
		{[]float64{nan}, []float64{1}, false},
		{[]float64{1}, []float64{1, 2}, false},
	} {
		if err := sameBits(c.a, c.b); (err == nil) != c.ok {
			t.Errorf("%v and %v: error %v, want success %v", c.a, c.b, err, c.ok)
		}
	}
}
