package ref

import "testing"

// TestPhilox checks the known answers that Random123 publishes for philox4x32 with 10 rounds (kat_vectors).
func TestPhilox(t *testing.T) {
	const all = 0xffffffff
	for _, c := range []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{all, all, all, all}, [2]uint32{all, all}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0}, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := Philox(c.counter, c.key); got != c.want {
			t.Errorf("Philox(%x, %x) = %x, want %x", c.counter, c.key, got, c.want)
		}
	}
}

// TestUniform checks that element i takes word i%4 of block i/4 and its upper 24 bits.
func TestUniform(t *testing.T) {
	w := Philox([4]uint32{2, 1, 9, 5}, [2]uint32{0x89abcdef, 0x01234567})
	element := uint64(1)<<34 + 4*2 + 3
	if got, want := Uniform(0x0123456789abcdef, 5, 9, element), float64(w[3]>>8)/(1<<24); got != want {
		t.Errorf("Uniform = %v, want %v", got, want)
	}
}
