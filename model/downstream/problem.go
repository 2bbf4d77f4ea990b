// Package downstream is the task a user cares about: an encoder and a head over labelled examples, the problem of Level II and,
// on the validation split, of Level III.
package downstream

import (
	"fmt"
	"math"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// Network is an encoder with a head over a set of examples, numbered from 0: molecules or texts.
type Network interface {
	// Declare adds the encoder's parameters and running statistics, ends the encoder's part, and adds the head's.
	Declare(params, states *param.Table, outputs int)
	// Initial writes the starting values of a declared parameter tensor to its Len elements, which are zero.
	Initial(seed uint64, e *param.Entry, values []float64) error
	// Len returns the number of examples.
	Len() int
	// Pack appends the arrays of a batch of examples and returns what Embed and Predict need to find them. With train false no
	// dropout is expected.
	Pack(host *batch.Host, index []int, train bool) (any, error)
	// Embed returns a row per example: what the encoder makes of it.
	Embed(t *tape.Tape, packed any, d *batch.Device, pass tape.Pass) *tape.Var
	// Predict returns the predictions (examples, outputs).
	Predict(t *tape.Tape, packed any, d *batch.Device, pass tape.Pass) *tape.Var
}

// sparse is a Network with a table of which a batch reads few rows.
type sparse interface {
	// table returns it, a matrix among the parameters.
	table() *param.Entry
	// rows returns those that a batch on the device reads, int32, ascending and all different.
	rows(packed any, d *batch.Device) gpu.Buffer
}

// Loss is how predictions are held against labels.
type Loss uint8

// Losses of predictions, each a mean over the labels that are present.
const (
	Squared  Loss = iota // of standardised values
	Logistic             // of a logit per task, labels 0 or 1
	Softmax              // of a logit per class, the label is the class's number
)

// Labels are the targets of the examples.
type Labels struct {
	Loss    Loss
	Values  [][]float64 // [example][task], NaN = missing; one task for Softmax
	Outputs int         // of the network: tasks, or classes
}

// Problem is a network with the labels of its examples.
type Problem struct {
	net    Network
	labels Labels
	params *param.Table
	states *param.Table
}

// NewProblem declares the network.
func NewProblem(net Network, labels Labels) (*Problem, error) {
	if n := net.Len(); len(labels.Values) != n || n == 0 {
		return nil, fmt.Errorf("downstream: %d rows of labels for %d examples", len(labels.Values), n)
	}
	p := &Problem{net: net, labels: labels, params: param.NewTable(), states: param.NewTable()}
	net.Declare(p.params, p.states, labels.Outputs)
	return p, nil
}

// Params and States return the layouts of the parameters and the running statistics.
func (p *Problem) Params() *param.Table { return p.params }

// States returns the layout of the running statistics.
func (p *Problem) States() *param.Table { return p.states }

// Initial writes the starting values of a parameter tensor to its Len elements, which are zero.
func (p *Problem) Initial(seed uint64, e *param.Entry, values []float64) error {
	return p.net.Initial(seed, e, values)
}

// Table returns the table of the network of which a batch reads few rows, or nil.
func (p *Problem) Table() *param.Entry {
	if n, ok := p.net.(sparse); ok {
		return n.table()
	}
	return nil
}

// Rows returns the rows of Table that a batch on the device reads, int32, ascending and all different.
func (p *Problem) Rows(part *batch.Micro, d *batch.Device) gpu.Buffer {
	return p.net.(sparse).rows(part.Detail.(*prepared).packed, d)
}

// prepared is what a micro-batch remembers.
type prepared struct {
	packed         any
	target, weight batch.Floats // of Squared and Logistic
	class          batch.Ints   // of Softmax, -1 where the label is missing
	scale          float64
}

// Prepare builds a labelled batch in micro parts. The loss is one mean over the labels present in the whole batch. With
// train false no dropout is expected.
func (p *Problem) Prepare(index []int, micro int, train bool) ([]*batch.Micro, error) {
	var parts []*batch.Micro
	count := 0.0
	for m := range micro {
		part := &batch.Micro{}
		of := index[m*len(index)/micro : (m+1)*len(index)/micro]
		packed, err := p.net.Pack(&part.Host, of, train)
		if err != nil {
			return nil, err
		}
		d := &prepared{packed: packed}
		count += p.label(&part.Host, d, of)
		part.Detail = d
		parts = append(parts, part)
	}
	for _, part := range parts {
		if count > 0 {
			part.Detail.(*prepared).scale = 1 / count
		}
	}
	return parts, nil
}

// label appends the targets of a part and returns how many labels are present.
func (p *Problem) label(host *batch.Host, d *prepared, index []int) (count float64) {
	var target, weight []float64
	var class []int32
	for _, i := range index {
		for _, y := range p.labels.Values[i] {
			w, c := 1.0, int32(y)
			if math.IsNaN(y) {
				y, w, c = 0, 0, -1
			}
			count += w
			target, weight, class = append(target, y), append(weight, w), append(class, c)
		}
	}
	if p.labels.Loss == Softmax {
		d.class = host.Ints(class)
	} else {
		d.target, d.weight = host.Floats(target), host.Floats(weight)
	}
	return count
}

// Forward returns the predictions (examples, outputs): logits, or standardised values.
func (p *Problem) Forward(t *tape.Tape, part *batch.Micro, d *batch.Device, pass tape.Pass) *tape.Var {
	return p.net.Predict(t, part.Detail.(*prepared).packed, d, pass)
}

// Embed returns the examples' rows.
func (p *Problem) Embed(t *tape.Tape, part *batch.Micro, d *batch.Device, pass tape.Pass) *tape.Var {
	return p.net.Embed(t, part.Detail.(*prepared).packed, d, pass)
}

// Loss runs the network and its loss, adding its value to one float.
func (p *Problem) Loss(t *tape.Tape, part *batch.Micro, d *batch.Device, pass tape.Pass, value gpu.Buffer) *tape.Loss {
	prep := part.Detail.(*prepared)
	x := p.Forward(t, part, d, pass)
	if p.labels.Loss == Softmax {
		return t.SoftmaxCE(x, d.Ints(prep.class), gpu.Buffer{}, prep.scale, value)
	}
	kind := gpu.MSE
	if p.labels.Loss == Logistic {
		kind = gpu.BCE
	}
	return t.ElementLoss(kind, x, d.Floats(prep.target), d.Floats(prep.weight), prep.scale, value)
}
