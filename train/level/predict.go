package level

import (
	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// Predictor runs a finetuned network in evaluation mode.
type Predictor struct {
	b       gpu.Backend
	arena   *gpu.Arena
	t       *tape.Tape
	d       *batch.Device
	values  param.Binding
	running gpu.Buffer
}

// NewPredictor returns a predictor over parameters and running statistics on the device; they stay the caller's.
func NewPredictor(b gpu.Backend, params *param.Table, value, running gpu.Buffer) (*Predictor, error) {
	arena, err := gpu.NewArena(b, 0, b.Info().FloatBytes)
	if err != nil {
		return nil, err
	}
	return &Predictor{b: b, arena: arena, t: tape.New(b, arena), d: batch.NewDevice(b), values: params.Bind(value), running: running}, nil
}

// Head is what to compute of a batch, a row per molecule: Forward or Embed of the problem.
type Head func(*tape.Tape, *batch.Micro, *batch.Device, tape.Pass) *tape.Var

// Run computes one result row per molecule of a batch.
func (p *Predictor) Run(part *batch.Micro, forward Head) ([][]float64, error) {
	if err := p.d.Upload(&part.Host); err != nil {
		return nil, err
	}
	p.t.Start(p.values, false)
	out := forward(p.t, part, p.d, tape.Pass{States: p.running})
	flat := make([]float64, out.Value.Buf.Len())
	if err := p.b.Download(flat, out.Value.Buf); err != nil {
		return nil, err
	}
	rows := make([][]float64, out.Value.Rows)
	for i := range rows {
		rows[i] = flat[i*out.Value.LD : i*out.Value.LD+out.Value.Cols]
	}
	p.t.Release()
	return rows, nil
}

// Close frees the predictor's memory.
func (p *Predictor) Close() {
	p.t.Release()
	p.d.Close()
	p.arena.Close()
}
