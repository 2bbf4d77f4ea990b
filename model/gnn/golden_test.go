package gnn_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/cpu"
	"tapweight/gpu/ref"
	"tapweight/model/batch"
	"tapweight/model/gnn"
	"tapweight/model/molecule"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// golden holds what testdata/make_golden.py computed with PyTorch Geometric.
type golden struct {
	Conv, Norm, Readout string
	Width, Layers       int
	Pooled, Logits      []float64
	Loss                float64
	Target, Weight      []float64
	Params, Grads       map[string]json.RawMessage
	RunningMean         [][]float64 `json:"running_mean"`
	RunningVar          [][]float64 `json:"running_var"`
}

// graph builds a molecule from element rows and bonds (a, b, type), without chirality or direction.
func graph(f molecule.Features, elements []uint8, bonds [][3]int) molecule.Graph {
	g := molecule.Graph{Atoms: len(elements), RowPtr: []uint32{0}}
	for v, e := range elements {
		g.Atom = append(g.Atom, e, 0)
		for _, b := range bonds {
			for _, end := range [][2]int{{b[0], b[1]}, {b[1], b[0]}} {
				if end[0] == v {
					g.Nbr = append(g.Nbr, uint16(end[1]))
					g.Bond = append(g.Bond, f.BondCode([]uint8{uint8(b[2]), 0}))
				}
			}
		}
		g.RowPtr = append(g.RowPtr, uint32(len(g.Nbr)))
	}
	return g
}

// values decodes a parameter; the atom table comes as the rows in use.
func values(t *testing.T, raw json.RawMessage, e *param.Entry) []float64 {
	t.Helper()
	var flat []float64
	if json.Unmarshal(raw, &flat) == nil {
		return flat
	}
	var rows map[string][]float64
	if err := json.Unmarshal(raw, &rows); err != nil {
		t.Fatal(err)
	}
	flat = make([]float64, e.Rows*e.Cols)
	for r, v := range rows {
		i, err := strconv.Atoi(r)
		if err != nil {
			t.Fatal(err)
		}
		copy(flat[i*e.Cols:], v)
	}
	return flat
}

// TestGolden compares outputs, loss, every gradient and the running statistics with PyTorch's, compressed and not.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden_*.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d golden files: %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var g golden
		if err := json.Unmarshal(raw, &g); err != nil {
			t.Fatal(file, err)
		}
		for _, sharing := range []gnn.Sharing{gnn.ShareAll, gnn.ShareNone} {
			t.Run(filepath.Base(file), func(t *testing.T) {
				compare(t, ref.Open(), g, sharing, 1e-10)
				if b, err := cpu.Open(0); err == nil {
					compare(t, b, g, sharing, 1e-4)
					b.Close()
				}
			})
		}
	}
}

func compare(t *testing.T, b gpu.Backend, g golden, sharing gnn.Sharing, tol float64) {
	t.Helper()
	f, err := molecule.FeaturesByName("hu")
	if err != nil {
		t.Fatal(err)
	}
	cfg := gnn.Config{Features: f, Layers: g.Layers, Width: g.Width}
	for _, err := range []error{set(&cfg.Conv, gnn.ParseConv, g.Conv), set(&cfg.Norm, gnn.ParseNorm, g.Norm), set(&cfg.Readout, gnn.ParseReadout, g.Readout)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	params, states := param.NewTable(), param.NewTable()
	encoder := gnn.NewEncoder(cfg, "encoder", params, states)
	params.EndEncoder()
	w := params.Matrix("head.weight", 2, g.Width, param.Uniform)
	bias := params.Vector("head.bias", 2, param.Uniform, g.Width)
	flat := make([]float64, params.Len())
	for _, e := range params.Entries() {
		e.Pad(flat, values(t, g.Params[e.Name], e))
	}
	alloc := func(v []float64) gpu.Buffer {
		buf, err := b.Alloc(max(len(v), 1), b.Info().FloatBytes)
		if err != nil {
			t.Fatal(err)
		}
		b.Upload(buf.Slice(0, len(v)), v)
		return buf
	}
	value, grads, running, loss := alloc(flat), alloc(make([]float64, len(flat))), alloc(states.Initial(0)), alloc([]float64{0})

	var u gnn.Union
	u.Reset(2)
	ring := [][3]int{}
	for i := range 6 {
		ring = append(ring, [3]int{i, (i + 1) % 6, 3})
	}
	u.Add(graph(f, []uint8{5, 5, 5, 5, 5, 5}, ring))
	u.Add(graph(f, []uint8{5, 7}, [][3]int{{0, 1, 0}}))
	u.Add(graph(f, []uint8{8}, nil))
	u.Add(graph(f, []uint8{5, 5, 7, 6}, [][3]int{{0, 1, 0}, {1, 2, 1}, {1, 3, 0}}))
	var h batch.Host
	p := gnn.NewBuilder(cfg).Pack(&h, &u, sharing)
	target, weight := h.Floats(g.Target), h.Floats(g.Weight)
	d := batch.NewDevice(b)
	defer d.Close()
	if err := d.Upload(&h); err != nil {
		t.Fatal(err)
	}
	arena, err := gpu.NewArena(b, 0, b.Info().FloatBytes)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Close()
	tp := tape.New(b, arena)
	tp.Start(params.Bind(value), true)
	nodes := encoder.Forward(tp, p, d, tape.Pass{States: running, Batch: true, Update: true, Momentum: 0.1})
	pooled := encoder.Pool(tp, p, d, nodes)
	logits := tp.Linear(pooled, tp.Param(w), tp.Param(bias), gpu.Identity)
	sum := 0.0
	for _, v := range g.Weight {
		sum += v
	}
	l := tp.ElementLoss(gpu.MSE, logits, d.Floats(target), d.Floats(weight), 1/sum, loss)
	near := func(name string, got, want []float64) {
		scale := 5e-2 // biases before a batch norm have gradient 0, left to the rounding of sums of that size
		for _, v := range want {
			scale = math.Max(scale, math.Abs(v))
		}
		for i := range want {
			if diff := math.Abs(got[i] - want[i]); !(diff <= tol*scale) {
				t.Errorf("%s %s/%s/%s %s[%d] = %g, PyTorch has %g", b.Info().Name, g.Conv, g.Norm, g.Readout, name, i, got[i], want[i])
				return
			}
		}
	}
	download := func(buf gpu.Buffer) []float64 {
		v := make([]float64, buf.Len())
		if err := b.Download(v, buf); err != nil {
			t.Fatal(err)
		}
		return v
	}
	tight := func(m gpu.Mat) []float64 {
		var out []float64
		for i, v := 0, download(m.Buf); i < m.Rows; i++ {
			out = append(out, v[i*m.LD:i*m.LD+m.Cols]...)
		}
		return out
	}
	near("pooled", tight(pooled.Value), g.Pooled)
	near("logits", tight(logits.Value), g.Logits)
	near("loss", download(loss), []float64{g.Loss})
	tp.Backward(params.Bind(grads), false, tape.Seed{Loss: l})
	got := download(grads)
	for _, e := range params.Entries() {
		near("gradient of "+e.Name, e.Unpad(got), values(t, g.Grads[e.Name], e))
	}
	stats := download(running)
	for i := range g.RunningMean {
		e := states.Entries()
		near("running mean", e[2*i].Unpad(stats), g.RunningMean[i])
		near("running variance", e[2*i+1].Unpad(stats), g.RunningVar[i])
	}
	// In evaluation the rows of graphs may be found another way.
	frozen := tape.Pass{States: running}
	tp.Start(params.Bind(value), false)
	want := tight(encoder.Pool(tp, p, d, encoder.Forward(tp, p, d, frozen)).Value)
	near("graphs in evaluation", tight(encoder.Graphs(tp, p, d, frozen).Value), want)
}

func set[T any](dst *T, parse func(string) (T, error), name string) error {
	v, err := parse(name)
	*dst = v
	return err
}
