package param

import (
	"math"
	"slices"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/ref"
)

func table(objectives ...string) *Table {
	t := NewTable()
	t.Matrix("encoder.weight", 3, 5, Uniform)
	t.Vector("encoder.norm", 5, Ones, 0)
	t.EndEncoder()
	for _, name := range objectives {
		t.Matrix("heads."+name+".weight", 2, 5, Xavier)
		t.Vector("heads."+name+".bias", 2, Uniform, 5)
	}
	return t
}

// TestLayout: tensors follow one another, rows are padded, padding starts as zero and Pad undoes Unpad.
func TestLayout(t *testing.T) {
	tab := table("a")
	flat := tab.Initial(1)
	at, inside := 0, make([]bool, tab.Len())
	for _, e := range tab.Entries() {
		if e.Offset != at || e.LD%gpu.RowAlign != 0 || e.LD < e.Cols {
			t.Errorf("%s at %d, rows of %d in %d, want offset %d", e.Name, e.Offset, e.Cols, e.LD, at)
		}
		at += e.Len()
		for i := range e.Rows {
			for j := range e.Cols {
				inside[e.Offset+i*e.LD+j] = true
			}
		}
		again := make([]float64, len(flat))
		e.Pad(again, e.Unpad(flat))
		if !slices.Equal(again[e.Offset:at], flat[e.Offset:at]) {
			t.Errorf("%s: Pad does not undo Unpad", e.Name)
		}
	}
	n := 0
	for i, in := range inside {
		if in {
			n++
		} else if flat[i] != 0 {
			t.Errorf("padding at %d is %g", i, flat[i])
		}
	}
	if at != tab.Len() || n != tab.Count() || n != 15+5+10+2 {
		t.Errorf("length %d of %d, %d parameters of %d", at, tab.Len(), n, tab.Count())
	}
	if e := tab.Entry("heads.a.weight"); e.Offset != tab.EncoderLen() || tab.Entry("none") != nil {
		t.Errorf("the first head is at %d, the encoder ends at %d", e.Offset, tab.EncoderLen())
	}
}

// TestInitialValues are bounded as PyTorch's and do not depend on what else there is, so that an objective more leaves the rest as
// it was.
func TestInitialValues(t *testing.T) {
	a, b := table("a"), table("b", "a")
	for _, e := range a.Entries() {
		bound := map[Init]float64{Uniform: 1 / math.Sqrt(5), Xavier: math.Sqrt(6.0 / 7), Ones: 1}[e.Init]
		v := e.Unpad(a.Initial(7))
		for _, x := range v {
			if math.Abs(x) > bound || float64(float32(x)) != x || e.Init == Ones && x != 1 {
				t.Errorf("%s holds %g, bound %g", e.Name, x, bound)
			}
		}
		if !slices.Equal(v, b.Entry(e.Name).Unpad(b.Initial(7))) {
			t.Errorf("%s depends on its neighbours", e.Name)
		}
		if e.Init != Ones && slices.Equal(v, e.Unpad(a.Initial(8))) {
			t.Errorf("%s does not depend on the seed", e.Name)
		}
	}
}

// TestNormal: values of the stated standard deviation, to four standard errors.
func TestNormal(t *testing.T) {
	const n = 4000
	tab := NewTable()
	e := tab.Matrix("embedding", n, 5, Normal)
	v := e.Unpad(tab.Initial(3))
	sum, squares := 0.0, 0.0
	for _, x := range v {
		sum += x
		squares += x * x
		if float64(float32(x)) != x {
			t.Fatalf("%g is no float32", x)
		}
	}
	mean, variance := sum/(5*n), squares/(5*n)
	if !(math.Abs(mean) <= 4*NormalScale/math.Sqrt(5*n)) || !(math.Abs(variance/(NormalScale*NormalScale)-1) <= 4*math.Sqrt(2.0/(5*n))) {
		t.Errorf("mean %g, standard deviation %g", mean, math.Sqrt(variance))
	}
}

// TestBinding finds entries in one vector, in two, and tells a part that is not bound.
func TestBinding(t *testing.T) {
	tab := table("a")
	b := ref.Open()
	whole, err := b.Alloc(tab.Len(), 8)
	if err != nil {
		t.Fatal(err)
	}
	heads, err := b.Alloc(tab.Len()-tab.EncoderLen(), 8)
	if err != nil {
		t.Fatal(err)
	}
	one, two := tab.Bind(whole), tab.BindSplit(whole.Slice(0, tab.EncoderLen()), heads)
	for _, e := range tab.Entries() {
		if got := one.Mat(e); got != e.Mat(whole) {
			t.Errorf("%s: %+v", e.Name, got)
		}
		want := whole.Addr() + uintptr(8*e.Offset)
		if e.Offset >= tab.EncoderLen() {
			want = heads.Addr() + uintptr(8*(e.Offset-tab.EncoderLen()))
		}
		if got := two.Mat(e); got.Buf.Addr() != want || got.Rows != e.Rows || got.LD != e.LD {
			t.Errorf("%s: %+v, want address %x", e.Name, got, want)
		}
	}
	only := tab.BindSplit(whole.Slice(0, tab.EncoderLen()), gpu.Buffer{})
	if !only.Mat(tab.Entry("heads.a.bias")).Buf.IsNil() || only.IsNil() || !(Binding{}).IsNil() {
		t.Error("a part that is not bound")
	}
}

// TestJoined: neighbours of one width are one matrix in the flat vector, others are refused.
func TestJoined(t *testing.T) {
	tab := NewTable()
	a, b := tab.Matrix("a", 3, 5, Uniform), tab.Matrix("b", 2, 5, Uniform)
	tab.EndEncoder()
	c := tab.Matrix("c", 2, 5, Uniform)
	d := tab.Matrix("d", 2, 6, Uniform)
	flat := tab.Initial(1)
	if all := tab.Joined(a, b); !slices.Equal(all.Unpad(flat), append(a.Unpad(flat), b.Unpad(flat)...)) || len(tab.Entries()) != 4 || tab.Entry(all.Name) != nil {
		t.Errorf("a and b joined are %d×%d at %d; the table has %d tensors", all.Rows, all.Cols, all.Offset, len(tab.Entries()))
	}
	for name, entries := range map[string][]*Entry{"over the encoder's end": {a, b, c}, "of two widths": {c, d}, "out of order": {b, a}, "with a gap": {a, c}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("matrices %s were joined", name)
				}
			}()
			tab.Joined(entries...)
		}()
	}
}

// TestPart: rows of a matrix and elements of a vector are where those of the whole are, in the flat vector of either side of the
// encoder's end.
func TestPart(t *testing.T) {
	tab := NewTable()
	tab.Vector("before", 3, Ones, 0)
	m := tab.Matrix("m", 5, 3, Uniform)
	tab.EndEncoder()
	v := tab.Vector("v", 20, Uniform, 1)
	flat := tab.Initial(1)
	if got, want := m.Part(1, 4).Unpad(flat), m.Unpad(flat)[3:12]; !slices.Equal(got, want) {
		t.Errorf("rows 1 to 3 are %v, want %v", got, want)
	}
	if got, want := v.Part(17, 20).Unpad(flat), v.Unpad(flat)[17:]; !slices.Equal(got, want) {
		t.Errorf("elements 17 to 19 are %v, want %v", got, want)
	}
	if len(tab.Entries()) != 3 || tab.Entry(m.Part(0, 1).Name) != nil {
		t.Errorf("the table has %d tensors", len(tab.Entries()))
	}
	b := tab.Bind(gpu.MakeBuffer(1<<12, tab.Len(), 4))
	for _, c := range []struct{ whole, part gpu.Mat }{{b.Mat(m).Slice(1, 4), b.Mat(m.Part(1, 4))}, {b.Mat(v).Columns(17, 20), b.Mat(v.Part(17, 20))}} {
		if c.whole.Buf.Addr() != c.part.Buf.Addr() || c.part.Rows != c.whole.Rows || c.part.Cols != c.whole.Cols {
			t.Errorf("%+v, want %+v", c.part, c.whole)
		}
	}
}
