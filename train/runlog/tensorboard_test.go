package runlog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// records splits an event file after the rules of TFRecord and checks both sums of every record. The sum is written out here
// once more, by rotation in 64 bits.
func records(t *testing.T, path string) [][]byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(data, sum []byte) {
		t.Helper()
		c := uint64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
		if want := uint32((c>>15 | c<<17&0xffffffff) + 0xa282ead8); binary.LittleEndian.Uint32(sum) != want {
			t.Fatalf("sum % x of % x, want %08x", sum, data, want)
		}
	}
	var out [][]byte
	for len(b) > 0 {
		if len(b) < 16 {
			t.Fatalf("%d bytes left", len(b))
		}
		check(b[:8], b[8:12])
		n := int(binary.LittleEndian.Uint64(b))
		check(b[12:12+n], b[12+n:16+n])
		out = append(out, b[12:12+n])
		b = b[16+n:]
	}
	return out
}

// field is one field of a protocol buffer: a number or bytes.
type field struct {
	id, num uint64
	bytes   []byte
}

func fields(t *testing.T, b []byte) (fs []field) {
	t.Helper()
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		f := field{id: key >> 3}
		b = b[n:]
		switch key & 7 {
		case 0:
			f.num, n = binary.Uvarint(b)
		case 1:
			f.num, n = binary.LittleEndian.Uint64(b), 8
		case 2:
			size, k := binary.Uvarint(b)
			n = k + int(size)
			f.bytes = b[k:n]
		case 5:
			f.num, n = uint64(binary.LittleEndian.Uint32(b)), 4
		default:
			t.Fatalf("wire type %d", key&7)
		}
		fs, b = append(fs, f), b[n:]
	}
	return fs
}

func TestTensorBoard(t *testing.T) {
	dir := t.TempDir()
	begun := float64(time.Now().Unix())
	for _, from := range []int{1, 300} { // the run and, within the same second, its resumed part
		b, err := OpenTensorBoard(dir)
		if err != nil {
			t.Fatal(err)
		}
		for step := from; step < from+2; step++ {
			if err := b.Write(step, []Scalar{{"loss/mask-atom", 0.1 * float64(step)}, {"λ", math.Inf(1)}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v: want two files", files, err)
	}
	slices.Sort(files)
	for i, from := range []int{1, 300} {
		var got []string
		for _, r := range records(t, files[i]) {
			s := ""
			for _, f := range fields(t, r) {
				switch f.id {
				case 1:
					if now := math.Float64frombits(f.num); !(now >= begun && now < begun+60) {
						t.Errorf("time %v, want about %v", now, begun)
					}
				case 2:
					s += fmt.Sprintf("step %d", f.num)
				case 3:
					s += " version " + string(f.bytes)
				case 5:
					for _, v := range fields(t, f.bytes) {
						p := fields(t, v.bytes)
						s += fmt.Sprintf(" %s=%v", p[0].bytes, math.Float32frombits(uint32(p[1].num)))
					}
				case 7:
					s += fmt.Sprintf(" session % x", f.bytes)
				}
			}
			got = append(got, s)
		}
		want := []string{"step 0 version brain.Event:2", fmt.Sprintf("step %d session 08 01", from)}
		for step := from; step < from+2; step++ {
			want = append(want, fmt.Sprintf("step %d loss/mask-atom=%v λ=+Inf", step, float32(0.1*float64(step))))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%q\nwant\n%q", files[i], got, want)
		}
	}
	if _, err := OpenTensorBoard(filepath.Join(dir, "none")); err == nil {
		t.Error("an event file in a folder that is not there")
	}
}

// TestMaskedSum holds the sum of TensorFlow's own files: their first record has 24 bytes, whose length has this sum.
func TestMaskedSum(t *testing.T) {
	got := binary.LittleEndian.AppendUint32(nil, masked(binary.LittleEndian.AppendUint64(nil, 24)))
	if want, _ := hex.DecodeString("a37f4b22"); !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
}
