package level

import (
	"fmt"
	"math"
	"time"

	"tapweight/gpu"
)

// numbers are where the scalars of one iteration lie on the device, a row of System.scalars.
type numbers struct {
	loss     gpu.Buffer // (K) pretraining losses
	h        gpu.Buffer // (K) dL_val/dλ_i
	lambda0  gpu.Buffer // (K) λ as used in the iteration
	da       gpu.Buffer // (K) dL_val/da_i
	ftLoss   gpu.Buffer
	prox     gpu.Buffer
	valLoss  gpu.Buffer
	residual gpu.Buffer // of a neumann or cg solve, squared and relative
	gram     gpu.Buffer // (parts²) of the gradients that were kept apart; empty without Options.Cosines
}

// cut lays the numbers out over a row.
func (s *System) cut(row gpu.Buffer) (n numbers) {
	k := len(s.Pre.Names())
	take := func(n int) gpu.Buffer {
		v := row.Slice(0, n)
		row = row.Slice(n, row.Len())
		return v
	}
	n.loss, n.h, n.lambda0, n.da = take(k), take(k), take(k), take(k)
	n.ftLoss, n.prox, n.valLoss, n.residual = take(1), take(1), take(1), take(1)
	n.gram = row
	return n
}

// section is a stretch of an iteration between two marks of the device.
type section struct{ level, from, to int }

// Levels as the time of an iteration is told apart.
const (
	timePretrain = iota
	timeFinetune
	timeValidation
	timeHypergradient
)

// iteration is what the host knows about a row of numbers.
type iteration struct {
	gradients []string
	sections  []section
}

// Times is the device's time per level.
type Times struct {
	Pretrain, Finetune, Validation, Hypergradient time.Duration
}

// Scalars are the numbers of an iteration.
type Scalars struct {
	Pretrain                   []float64 // loss of each objective
	Lambda                     []float64 // as used in the iteration
	H                          []float64 // dL_val/dλ_i
	Hypergradient              []float64 // dL_val/da_i
	Finetune, Prox, Validation float64
	Residual                   float64     // of a neumann or cg solve, relative
	Gradients                  []string    // whose cosines were asked for, see Compare
	Cosine                     [][]float64 // between them
	Elapsed                    Times
}

// Begin starts a row of numbers for the next iteration. At most Options.Rows iterations fit between two Reads; one that has
// taken no step yet is begun already.
func (s *System) Begin() {
	if n := len(s.rows); n > 0 && len(s.rows[n-1].sections) == 0 {
		return
	}
	if len(s.rows) == s.Opts.Rows {
		panic(fmt.Sprintf("level: %d iterations were begun since the last Read, which is all there is room for", s.Opts.Rows))
	}
	width := s.scalars.Len() / s.Opts.Rows
	row := s.scalars.Slice(len(s.rows)*width, (len(s.rows)+1)*width)
	s.rows = append(s.rows, iteration{})
	s.B.Fill(row, 0)
	s.numbers = s.cut(row)
}

// start marks the beginning of a level's work; the function it returns marks the end.
func (s *System) start(level int) (end func()) {
	from := s.marks
	s.marks += 2
	s.B.Mark(from)
	row := &s.rows[len(s.rows)-1]
	return func() {
		s.B.Mark(from + 1)
		row.sections = append(row.sections, section{level, from, from + 1})
	}
}

// Read brings the numbers of all iterations since the last Read to the host, in one download.
func (s *System) Read() ([]Scalars, error) {
	width := s.scalars.Len() / s.Opts.Rows
	all := make([]float64, len(s.rows)*width)
	if err := s.B.Download(all, s.scalars.Slice(0, len(all))); err != nil {
		return nil, err
	}
	var out []Scalars
	for i, it := range s.rows {
		r := s.scalarsOf(all[i*width:(i+1)*width], it)
		for _, c := range it.sections {
			d, err := s.B.Elapsed(c.from, c.to)
			if err != nil {
				return nil, err
			}
			*[...]*time.Duration{&r.Elapsed.Pretrain, &r.Elapsed.Finetune, &r.Elapsed.Validation, &r.Elapsed.Hypergradient}[c.level] += d
		}
		out = append(out, r)
	}
	s.rows, s.marks = s.rows[:0], 0
	s.Begin()
	return out, nil
}

func (s *System) scalarsOf(row []float64, it iteration) Scalars {
	k := len(s.Pre.Names())
	r := Scalars{Pretrain: row[:k], H: row[k : 2*k], Lambda: row[2*k : 3*k], Hypergradient: row[3*k : 4*k],
		Finetune: row[4*k], Prox: row[4*k+1], Validation: row[4*k+2], Residual: math.Sqrt(row[4*k+3]), Gradients: it.gradients}
	gram := row[4*k+4:]
	n := len(it.gradients)
	for i := range n {
		cosines := make([]float64, n)
		for j := range n {
			if d := math.Sqrt(gram[i*n+i] * gram[j*n+j]); d > 0 {
				cosines[j] = gram[i*n+j] / d
			}
		}
		r.Cosine = append(r.Cosine, cosines)
	}
	return r
}

// NonFinite names the first number of an iteration that is NaN or infinite, by level and objective, or returns nil.
func (r Scalars) NonFinite(names []string) error {
	bad := func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }
	for i, v := range r.Pretrain {
		if bad(v) {
			return fmt.Errorf("pretrain: the loss of objective %s is %v", names[i], v)
		}
	}
	if bad(r.Finetune) || bad(r.Prox) {
		return fmt.Errorf("finetune: the loss is %v, the proximal term %v", r.Finetune, r.Prox)
	}
	if bad(r.Validation) {
		return fmt.Errorf("reweight: the validation loss is %v", r.Validation)
	}
	if bad(r.Residual) {
		return fmt.Errorf("reweight: the linear solve of the hypergradient diverged (relative residual %v); lower the finetuning learning rate or the number of terms", r.Residual)
	}
	for i := range r.H {
		if bad(r.H[i]) || bad(r.Hypergradient[i]) {
			return fmt.Errorf("reweight: the hypergradient of objective %s is %v", names[i], r.Hypergradient[i])
		}
	}
	return nil
}
