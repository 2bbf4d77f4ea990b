package level

import (
	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/param"
)

// lateWindow is the number of steps after which all rows are brought up to date if nothing has asked for them before.
const lateWindow = 256

// late is the state of a table whose rows put steps off.
type late struct {
	of    Sparse
	table *param.Entry
	last  gpu.Buffer // (rows) int32: steps of the window that a row has taken
	rates gpu.Buffer // (lateWindow, 3) of the window's steps
	steps int        // of the window so far; where it is 0 all rows are up to date and last is 0
}

// allocateLate prepares the table of a Sparse; without one nothing is put off.
func (s *System) allocateLate() error {
	of, ok := s.Fin.(Sparse)
	if !ok || of.Table() == nil {
		return nil
	}
	l := &late{of: of, table: of.Table()}
	var err error
	if l.rates, err = s.Omega.alloc(3 * lateWindow); err != nil {
		return err
	}
	if l.last, err = s.B.Alloc(l.table.Rows, 4); err != nil {
		return err
	}
	s.Omega.owned = append(s.Omega.owned, l.last)
	s.B.UploadInts(l.last, make([]int32, l.table.Rows))
	s.late = l
	return nil
}

// rows returns the operation that brings rows of the table up to a step of the window; u is a step over the whole vector.
func (l *late) rows(u gpu.Update, until int) gpu.UpdateRows {
	of := func(v gpu.Buffer) gpu.Mat {
		if v.IsNil() {
			return gpu.Mat{}
		}
		return l.table.Mat(v)
	}
	return gpu.UpdateRows{Rule: u.Rule, P: of(u.P), M: of(u.M), V: of(u.V), Last: l.last, Until: until, Rates: l.rates,
		Momentum: u.Momentum, Beta1: u.Beta1, Beta2: u.Beta2, Eps: u.Eps, WeightDecay: u.WeightDecay}
}

// around calls f for the parts of a vector of n elements before and behind the table.
func (l *late) around(n int, f func(lo, hi int)) {
	for _, r := range [][2]int{{0, l.table.Offset}, {l.table.Offset + l.table.Len(), n}} {
		if r[0] < r[1] {
			f(r[0], r[1])
		}
	}
}

// slice is a step of elements [lo, hi) only.
func slice(u gpu.Update, lo, hi int) gpu.Update {
	for _, v := range []*gpu.Buffer{&u.P, &u.G, &u.M, &u.V} {
		if !v.IsNil() {
			*v = v.Slice(lo, hi)
		}
	}
	return u
}

// Settle takes the steps that rows of ω have put off. Whoever reads or writes ω's vectors calls it first.
func (s *System) Settle() {
	if l := s.late; l != nil && l.steps > 0 {
		s.B.UpdateRows(l.rows(s.Omega.rule(), l.steps))
		l.steps = 0
	}
}

// lateStep is FinetuneStep on a batch in one part without the proximal term.
func (s *System) lateStep(part *batch.Micro) error {
	n, l := s.Omega, s.late
	if l.steps == 0 {
		rates := make([]float64, 0, 3*lateWindow)
		for t := range lateWindow {
			r := n.Opt.Rates(n.Step+t, n.Total)
			rates = append(rates, r[:]...)
		}
		s.B.Upload(l.rates, rates)
		s.B.Fill(n.Grad, 0)
	} else {
		l.around(n.Grad.Len(), func(lo, hi int) { s.B.Fill(n.Grad.Slice(lo, hi), 0) }) // in the table every step leaves zeros
	}
	if err := s.holdFinetune(part); err != nil {
		return err
	}
	row := l.of.Rows(part, s.dFin)
	if l.steps > 0 {
		u := l.rows(n.rule(), l.steps)
		u.Row = row
		s.B.UpdateRows(u)
	}
	if err := s.addFinetuneGradient(n.Value, n.Params.Bind(n.Grad), s.ftLoss, s.finPass); err != nil {
		return err
	}
	u := n.next()
	l.around(n.Grad.Len(), func(lo, hi int) { s.B.Update(slice(u, lo, hi)) })
	r := l.rows(u, l.steps+1)
	r.Row, r.G, r.GradScale = row, l.table.Mat(u.G), u.GradScale
	s.B.UpdateRows(r)
	n.Step++
	if l.steps++; l.steps == lateWindow {
		s.Settle()
	}
	return nil
}
