package ref

import (
	"math"
	"testing"
)

// TestAttentionValue: sequences of two, no and one rows in two heads of one channel. The first sequence's scores are logarithms
// of odds.
func TestAttentionValue(t *testing.T) {
	two, three := math.Log(2), math.Log(3)
	a := Attention[float64]{Q: matrix(3, 2, 0.5, 1, 1, 0, 9, 9), K: matrix(3, 2, 0, two, 2*three, 0, 9, -9), V: matrix(3, 2, 8, 3, 4, 6, 7, -7),
		Out: matrix(3, 2), LSE: matrix(3, 2), QPtr: []int32{0, 2, 2, 3}, Ptr: []int32{0, 2, 2, 3}, Heads: 2, Scale: 1}
	a.Forward()
	// Odds of row 0: 1:3 and 2:1; of row 1: 1:9 and 1:1.
	is(t, "out", a.Out.D, (8.+3*4)/4, (2*3.+6)/3, (8.+9*4)/10, 4.5, 7, -7)
	is(t, "log-sum-exp", a.LSE.D, math.Log(4), math.Log(3), math.Log(10), math.Log(2), 81, -81)

	// What is dropped is not made up for by the rest; the word of key j of query i in head h is (2i+h)*65536+j.
	a.DropP, a.Seed = 0.5, 3
	a.Forward()
	lse := a.LSE.D[1]
	want := 0.0
	for j, term := range []float64{2 * 3. / 3, 6. / 3} {
		if Uniform(3, 0, 0, 65536+uint64(j)) >= 0.5 {
			want += 2 * term
		}
	}
	is(t, "out of row 0, head 1 with dropout", a.Out.D[1:2], want)
	is(t, "its log-sum-exp", []float64{lse}, math.Log(3))
}

// TestAttentionQueries: of two sequences with two keys and one the first has no query and the second two.
func TestAttentionQueries(t *testing.T) {
	a := Attention[float64]{Q: matrix(2, 1, 1, 2), K: matrix(3, 1, 9, 9, 5), V: matrix(3, 1, 7, 7, 3), Out: matrix(2, 1), LSE: matrix(2, 1),
		QPtr: []int32{0, 0, 2}, Ptr: []int32{0, 2, 3}, Heads: 1, Scale: 1}
	a.Forward()
	is(t, "out", a.Out.D, 3, 3)
	is(t, "log-sum-exp", a.LSE.D, 5, 10)
	dq, dk, dv := matrix(2, 1, 8, 8), matrix(3, 1, 8, 8, 8), matrix(3, 1, 8, 8, 8)
	a.Backward(matrix(2, 1, 1, 10), dq, dk, dv)
	is(t, "gradient of queries", dq.D, 0, 0)
	is(t, "gradient of keys", dk.D, 0, 0, 0)
	is(t, "gradient of values", dv.D, 0, 0, 11)
}
