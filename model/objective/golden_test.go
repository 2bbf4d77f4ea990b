package objective

import (
	"bytes"
	stdcontext "context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"sort"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/ref"
	"tapweight/model/batch"
	"tapweight/model/gnn"
	"tapweight/model/molecule"
	"tapweight/model/tape"
)

// The losses are compared with PyTorch's on the same inputs: go test ./model/objective -run Golden -update writes the inputs, atom by
// atom, and testdata/make_golden.py what PyTorch makes of them.
var update = flag.Bool("update", false, "write testdata/inputs.json")

var every = []string{"cluster-100", "mask-atom", "context", "edge", "contrast", "masked-contrast", "motif", "infomax", "noise", "oracle"}

// testPool holds rings, a salt, one atom, a chain long enough for a context, and labels for half of it.
func testPool(t *testing.T) *Pool {
	t.Helper()
	smiles := []string{"c1ccccc1CCN", "CC(=O)Oc1ccccc1C(=O)O", "[Na+].[Cl-]", "C", "CCCCCCCCO", "C1CC1", "N[C@@H](C)C(=O)O", "FC(F)(F)c1ccncc1", "CCOCC", "c1ccc2ccccc2c1"}
	f, err := molecule.FeaturesByName("hu")
	if err != nil {
		t.Fatal(err)
	}
	p := &Pool{Seed: 3}
	p.Set, _, err = molecule.Open(stdcontext.Background(), t.TempDir(), "pool", f, func() ([]molecule.Record, error) {
		var r []molecule.Record
		for i, s := range smiles {
			r = append(r, molecule.Record{SMILES: s, Line: i + 1})
		}
		return r, nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Set.Close() })
	for i := range smiles {
		y := math.NaN()
		if i%2 == 0 {
			y = float64(i) / 3
		}
		p.Task = append(p.Task, []float64{y, 1})
	}
	return p
}

// array is a row-major matrix.
type array struct {
	Shape  [2]int
	Values []float64
}

// inputs are what the losses are functions of.
type inputs struct {
	Nodes    map[string]array   // by view, rows of atoms
	Pooled   map[string]array   // by view, rows of molecules
	Params   map[string]array   // of the heads
	Matrices map[string]array   // motifs (molecules × motifs), ring (rows of atoms), selections of rows (edge.a, edge.b, centers, anchors)
	Classes  map[string][]int32 // by objective, of molecules
	Ptr      []int32            // first atom of each molecule of the clean view
	Bonds    [][2]int32         // both ways
	Masked   []int32            // atoms of the masked view
	Elements []int32            // of Masked
	Task     []*float64         // of oracle, null where missing
}

// pass runs every objective on one batch and returns the losses and, from an uncompressed batch, the inputs.
func pass(t *testing.T, compress bool) (map[string]float64, inputs) {
	pool := testPool(t)
	cfg := gnn.Config{Features: pool.Set.Features(), Layers: 2, Width: 6}
	p, err := NewProblem(pool, cfg, every, compress)
	if err != nil {
		t.Fatal(err)
	}
	var index []int
	for i := range pool.Set.Len() {
		index = append(index, i)
	}
	parts, err := p.Prepare(5, index, 1)
	if err != nil {
		t.Fatal(err)
	}
	b := ref.Open()
	d := batch.NewDevice(b)
	if err := d.Upload(&parts[0].Host); err != nil {
		t.Fatal(err)
	}
	arena, err := gpu.NewArena(b, 0, 8)
	if err != nil {
		t.Fatal(err)
	}
	alloc := func(v []float64) gpu.Buffer {
		buf, err := b.Alloc(max(len(v), 1), 8)
		if err != nil {
			t.Fatal(err)
		}
		b.Upload(buf.Slice(0, len(v)), v)
		return buf
	}
	download := func(buf gpu.Buffer) []float64 {
		v := make([]float64, buf.Len())
		if err := b.Download(v, buf); err != nil {
			t.Fatal(err)
		}
		return v
	}
	flat := p.params.Initial(1)
	value, states, loss := alloc(flat), alloc(p.states.Initial(1)), alloc(make([]float64, len(every)))
	tp := tape.New(b, arena)
	tp.Start(p.params.Bind(value), false)
	prep := parts[0].Detail.(*prepared)
	how := tape.Pass{States: states, Batch: true}
	views := map[string]*encoded{}
	for name, seen := range prep.views {
		views[name] = &encoded{seen: seen, nodes: p.encoder.Forward(tp, seen.Packed, d, how)}
	}
	tight := func(m gpu.Mat, row []int32) array {
		v := download(m.Buf)
		if row == nil {
			for i := range m.Rows {
				row = append(row, int32(i))
			}
		}
		a := array{Shape: [2]int{len(row), m.Cols}}
		for _, i := range row {
			a.Values = append(a.Values, v[int(i)*m.LD:int(i)*m.LD+m.Cols]...)
		}
		return a
	}
	in := inputs{Nodes: map[string]array{}, Pooled: map[string]array{}, Params: map[string]array{}, Matrices: map[string]array{}, Classes: map[string][]int32{}}
	losses := map[string]float64{}
	for i, o := range p.objectives {
		f := &Forward{T: tp, Device: d, Labels: prep.labels[i], Scale: prep.scale[i], Value: loss.Slice(i, i+1), Pass: how, encoder: p.encoder, views: views}
		o.Loss(f)
		losses[every[i]] = download(f.Value)[0]
		for _, v := range o.Views() {
			in.Nodes[v.Name] = tight(f.Nodes(v).Value, views[v.Name].seen.Packed.Stack.Row)
			in.Pooled[v.Name] = tight(f.Pooled(v).Value, nil)
		}
	}
	if compress {
		return losses, in
	}
	for _, e := range p.params.Entries() {
		if e.Offset >= p.params.EncoderLen() {
			in.Params[e.Name] = array{[2]int{e.Rows, e.Cols}, e.Unpad(flat)}
		}
	}
	// The rows that a sparse matrix gathers or averages, as a dense one: its product with the identity.
	dense := func(s batch.Sparse, cols int) array {
		id := arena.Mat(cols, cols)
		v := make([]float64, cols*id.LD)
		for i := range cols {
			v[i*id.LD+i] = 1
		}
		b.Upload(id.Buf, v)
		return tight(tp.Aggregate(s.On(d), tp.Constant(id), nil).Value, nil)
	}
	for i, o := range p.objectives {
		switch l := prep.labels[i].(type) {
		case batch.Ints:
			in.Classes[every[i]] = parts[0].Host.HostInts(l)
		case contextLabels:
			ring := o.(*context).encoder.Forward(tp, l.packed, d, how)
			in.Matrices["ring"] = tight(ring.Value, l.packed.Stack.Row)
			in.Matrices["centers"] = dense(l.center, prep.views[Clean.Name].Packed.NodeRows())
			in.Matrices["anchors"] = dense(l.anchors, l.packed.NodeRows())
		}
		if m, ok := o.(*motif); ok {
			bits := array{Shape: [2]int{len(index), m.n}}
			for _, row := range m.bits {
				for j := range m.n {
					bits.Values = append(bits.Values, float64(row[j/64]>>(j%64)&1))
				}
			}
			in.Matrices["motifs"] = bits
		}
		if _, ok := o.(edge); ok {
			l, n := prep.labels[i].(pairLabels), prep.views[Clean.Name].Packed.NodeRows()
			in.Matrices["edge.a"], in.Matrices["edge.b"] = dense(l.a, n), dense(l.b, n)
		}
	}
	clean, masked := &prep.views[Clean.Name].Union, prep.views[MaskedAtoms.Name]
	in.Ptr, in.Masked = clean.Ptr, masked.Masked
	for _, e := range masked.Original {
		in.Elements = append(in.Elements, int32(e))
	}
	for v := range clean.Atoms() {
		for _, w := range clean.Nbr[clean.RowPtr[v]:clean.RowPtr[v+1]] {
			in.Bonds = append(in.Bonds, [2]int32{int32(v), w})
		}
	}
	for _, row := range pool.Task {
		for _, y := range row {
			if math.IsNaN(y) {
				in.Task = append(in.Task, nil)
			} else {
				in.Task = append(in.Task, &y)
			}
		}
	}
	return losses, in
}

func TestGolden(t *testing.T) {
	shared, _ := pass(t, true)
	losses, in := pass(t, false)
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/inputs.json", text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	old, err := os.ReadFile("testdata/inputs.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, old) {
		t.Fatal("the inputs are not those that PyTorch had: run with -update, then testdata/make_golden.py")
	}
	golden := map[string]float64{}
	if text, err = os.ReadFile("testdata/golden.json"); err == nil {
		err = json.Unmarshal(text, &golden)
	}
	if err != nil || len(golden) != len(every) {
		t.Fatalf("%d golden losses: %v", len(golden), err)
	}
	for name, want := range golden {
		if got := losses[name]; !(math.Abs(got-want) <= 1e-12*math.Abs(want)) {
			t.Errorf("%s: %.15g, PyTorch has %.15g", name, got, want)
		}
		if got := shared[name]; !(math.Abs(got-want) <= 1e-12*math.Abs(want)) {
			t.Errorf("%s over shared rows: %.15g, PyTorch has %.15g", name, got, want)
		}
	}
}

// TestEdgesAndTheirNegatives: every bond once, and pairs of one molecule without a bond.
func TestEdgesAndTheirNegatives(t *testing.T) {
	_, in := pass(t, false)
	bonded := map[[2]int32]bool{}
	for _, b := range in.Bonds {
		bonded[b] = true
	}
	a, b := in.Matrices["edge.a"], in.Matrices["edge.b"]
	molecule := func(atom int32) int { return sort.Search(len(in.Ptr), func(g int) bool { return in.Ptr[g] > atom }) }
	positives, negatives := map[[2]int32]bool{}, 0
	for i := range a.Shape[0] {
		x := int32(slices.Index(a.Values[i*a.Shape[1]:(i+1)*a.Shape[1]], 1))
		y := int32(slices.Index(b.Values[i*b.Shape[1]:(i+1)*b.Shape[1]], 1))
		if x == y || molecule(x) != molecule(y) {
			t.Errorf("pair %d: atoms %d and %d", i, x, y)
		}
		if bonded[[2]int32{x, y}] {
			positives[[2]int32{min(x, y), max(x, y)}] = true
		} else {
			negatives++
		}
	}
	if len(positives) != len(in.Bonds)/2 || negatives < len(positives)/2 || negatives > len(positives) {
		t.Errorf("%d of %d bonds, %d negatives", len(positives), len(in.Bonds)/2, negatives)
	}
}

// TestGroups: objectives with a common view share a forward pass, also through a third.
func TestGroups(t *testing.T) {
	p, err := NewProblem(testPool(t), gnn.Config{Features: testPool(t).Set.Features(), Layers: 1, Width: 4}, []string{"mask-atom", "motif", "contrast", "masked-contrast", "edge"}, true)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(p.Groups()); got != "[[0] [1 3 4] [2]]" {
		t.Errorf("groups %s", got)
	}
}
