package transformer

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/cpu"
	"tapweight/gpu/ref"
	"tapweight/model/batch"
	"tapweight/model/checkpoint"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// goldenInput is testdata/input.json.
type goldenInput struct {
	Texts   [][]int32
	Types   [][]int
	Masked  [][3]int // sequence, position, token
	Classes []int32
}

func readInput(t *testing.T) goldenInput {
	t.Helper()
	var in goldenInput
	data, err := os.ReadFile("testdata/input.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &in); err != nil {
		t.Fatal(err)
	}
	return in
}

// sequences are the texts, with their types for a family whose golden run had them.
func (in goldenInput) sequences(family string) []Sequence {
	var out []Sequence
	for i, ids := range in.Texts {
		s := Sequence{IDs: ids}
		if family == "bert" {
			for _, kind := range in.Types[i] {
				s.Types = append(s.Types, uint8(kind))
			}
		}
		out = append(out, s)
	}
	return out
}

// masked returns the rows and tokens to be predicted.
func (in goldenInput) masked(p *Packed) (rows, tokens []int32) {
	for _, m := range in.Masked {
		rows, tokens = append(rows, p.Start[m[0]]+int32(m[1])), append(tokens, int32(m[2]))
	}
	return rows, tokens
}

// run is a network with its values on a device.
type run struct {
	t       *testing.T
	b       gpu.Backend
	params  *param.Table
	encoder *Encoder
	device  *batch.Device
	tape    *tape.Tape
	value   gpu.Buffer
}

// backends are those that are always there, with the tolerance of each against float64.
func backends(t *testing.T, each func(b gpu.Backend, tol float64)) {
	each(ref.Open(), 1e-10)
	b, err := cpu.Open(0)
	if err != nil {
		t.Log(err)
		return
	}
	defer b.Close()
	each(b, 2e-5)
}

func newRun(t *testing.T, b gpu.Backend, cfg Config) *run {
	t.Helper()
	arena, err := gpu.NewArena(b, 0, b.Info().FloatBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(arena.Close)
	r := &run{t: t, b: b, params: param.NewTable(), device: batch.NewDevice(b), tape: tape.New(b, arena)}
	t.Cleanup(r.device.Close)
	r.encoder = NewEncoder(cfg, "encoder", r.params)
	r.params.EndEncoder()
	return r
}

func (r *run) vector(v []float64) gpu.Buffer {
	r.t.Helper()
	buf, err := r.b.Alloc(max(len(v), 1), r.b.Info().FloatBytes)
	if err != nil {
		r.t.Fatal(err)
	}
	r.b.Upload(buf.Slice(0, len(v)), v)
	return buf
}

func (r *run) upload(h *batch.Host) {
	r.t.Helper()
	if err := r.device.Upload(h); err != nil {
		r.t.Fatal(err)
	}
}

func (r *run) download(buf gpu.Buffer) []float64 {
	r.t.Helper()
	v := make([]float64, buf.Len())
	if err := r.b.Download(v, buf); err != nil {
		r.t.Fatal(err)
	}
	return v
}

// rows returns a matrix without padding.
func (r *run) rows(m gpu.Mat) []float64 {
	r.t.Helper()
	all := r.download(m.Buf)
	var out []float64
	for i := range m.Rows {
		out = append(out, all[i*m.LD:i*m.LD+m.Cols]...)
	}
	return out
}

// near fails unless the values agree relative to the largest, and returns the largest error. The gradient of a key's bias, which
// moves all scores alike, is left to rounding.
func (r *run) near(name string, got, want []float64, tol float64) (worst float64) {
	r.t.Helper()
	scale := 1e-3
	for _, v := range want {
		scale = math.Max(scale, math.Abs(v))
	}
	if len(got) != len(want) {
		r.t.Errorf("%s: %s has %d values, want %d", r.b.Info().Name, name, len(got), len(want))
		return math.NaN()
	}
	for i := range want {
		e := math.Abs(got[i]-want[i]) / scale
		if !(e <= tol) {
			r.t.Errorf("%s: %s[%d] = %g, want %g", r.b.Info().Name, name, i, got[i], want[i])
			return e
		}
		worst = max(worst, e)
	}
	return worst
}

// TestGolden compares rows, logits, losses and all gradients with those of `transformers`, see testdata/make_golden.py.
func TestGolden(t *testing.T) {
	in := readInput(t)
	for _, family := range []string{"bert", "roberta", "distilbert"} {
		golden, err := checkpoint.Read("testdata/" + family + "-golden.safetensors")
		if err != nil {
			t.Fatal(err)
		}
		values := func(name string) []float64 {
			v, err := golden.Tensors[name].Floats()
			if err != nil || len(v) == 0 {
				t.Fatalf("%s: %v", name, err)
			}
			return v
		}
		t.Run(family, func(t *testing.T) {
			backends(t, func(b gpu.Backend, tol float64) {
				compareMaskedLM(t, b, in, family, values, tol)
				compareClassifier(t, b, in, family, values, tol)
			})
		})
	}
}

func load(t *testing.T, dir string, r *run, modules ...Module) {
	t.Helper()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	flat := make([]float64, r.params.Len())
	if err := f.Load(flat, append(modules, r.encoder)...); err != nil {
		t.Fatal(err)
	}
	r.value = r.vector(flat)
}

func config(t *testing.T, dir string) Config {
	t.Helper()
	cfg, err := ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func pack(t *testing.T, cfg *Config, h *batch.Host, s []Sequence) *Packed {
	t.Helper()
	p, err := cfg.Pack(h, s...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// gradients compares the gradient of every tensor of the modules with the golden ones under the prefix. What PyTorch has no
// gradient of must have none here.
func gradients(r *run, prefix string, values func(string) []float64, tol float64, loss *tape.Loss, modules ...Module) {
	grads := r.vector(make([]float64, r.params.Len()))
	r.tape.Backward(r.params.Bind(grads), false, tape.Seed{Loss: loss})
	flat := r.download(grads)
	for _, m := range modules {
		for _, x := range m.tensors() {
			name := x.name
			if x.base {
				name = r.encoder.family().base + name
			}
			var got []float64
			n := x.hi - x.lo
			if len(x.entry.Shape) == 1 {
				n = 1
			}
			for i := range n {
				got = append(got, x.row(flat, i)...)
			}
			r.near("gradient of "+name, got, values(prefix+name), 10*tol)
		}
	}
}

func compareMaskedLM(t *testing.T, b gpu.Backend, in goldenInput, family string, values func(string) []float64, tol float64) {
	dir := "testdata/" + family + "-mlm"
	r := newRun(t, b, config(t, dir))
	head := NewMaskedLM(r.encoder, "mlm", r.params)
	load(t, dir, r, head)
	var h batch.Host
	p := pack(t, &r.encoder.Config, &h, in.sequences(family))
	at, tokens := in.masked(p)
	masked, target := p.PackRows(&h, at), h.Ints(tokens)
	r.upload(&h)

	r.tape.Start(r.params.Bind(r.value), true)
	rows := r.encoder.Forward(r.tape, p, Rows{}, r.device, tape.Pass{})
	r.near("rows", r.rows(rows.Value), values("rows"), tol)

	r.tape.Start(r.params.Bind(r.value), true)
	rows = r.encoder.Forward(r.tape, p, masked, r.device, tape.Pass{})
	value := r.vector([]float64{0})
	loss := head.Loss(r.tape, rows, r.device.Ints(target), 1/float64(len(tokens)), value)
	r.near("masked-token loss", r.download(value), values("mlm.loss"), tol)
	gradients(r, "mlm.grad.", values, tol, loss, r.encoder, head)

	r.tape.Start(r.params.Bind(r.value), false)
	logits := head.Logits(r.tape, r.encoder.Forward(r.tape, p, masked, r.device, tape.Pass{}))
	r.near("masked-token logits", r.rows(logits.Value), values("mlm.logits"), tol)
}

func compareClassifier(t *testing.T, b gpu.Backend, in goldenInput, family string, values func(string) []float64, tol float64) {
	dir := "testdata/" + family + "-class"
	r := newRun(t, b, config(t, dir))
	if got := strings.Join(r.encoder.Labels, " "); got != "LABEL_0 LABEL_1 LABEL_2" {
		t.Errorf("labels %q", got)
	}
	head := NewClassifier(r.encoder.Config, "class", 3, r.params)
	load(t, dir, r, head)
	var h batch.Host
	p := pack(t, &r.encoder.Config, &h, in.sequences(family))
	first, target := p.PackFirst(&h), h.Ints(in.Classes)
	r.upload(&h)

	r.tape.Start(r.params.Bind(r.value), true)
	logits := head.Forward(r.tape, r.encoder.Forward(r.tape, p, first, r.device, tape.Pass{}), tape.Pass{})
	r.near("logits", r.rows(logits.Value), values("class.logits"), tol)
	value := r.vector([]float64{0})
	loss := r.tape.SoftmaxCE(logits, r.device.Ints(target), gpu.Buffer{}, 1/float64(len(in.Classes)), value)
	r.near("loss", r.download(value), values("class.loss"), tol)
	gradients(r, "class.grad.", values, tol, loss, r.encoder, head)
}
