package level

import (
	"errors"
	"fmt"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/param"
)

// Sparse is a Finetuning with a table of which a batch reads few rows. In the search the gradient of its loss is kept as those rows
// and what is behind the table. In retraining the other rows put their steps off until they are read: the bits of the dense step
// without a sweep over the table.
type Sparse interface {
	Finetuning
	// Table returns the table, a matrix among the parameters, or nil.
	Table() *param.Entry
	// Rows returns the rows that a batch on the device reads, int32, ascending and all different. In all others the gradient of
	// Loss is zero.
	Rows(part *batch.Micro, d *batch.Device) gpu.Buffer
}

// SparsePretraining is a Pretraining with the same table as the Sparse that it is run with.
type SparsePretraining interface {
	Pretraining
	// Sparse reports whether the gradient of a group's losses is zero in the rows of the table that a batch does not read.
	Sparse(group int) bool
	// Reads returns the rows that such a group reads of a batch on the device, int32, ascending and all different.
	Reads(group int, part *batch.Micro, d *batch.Device) gpu.Buffer
}

// gradient is one of the encoder: whole, or what is behind a table in front, and the rows of the table where it is not zero.
type gradient struct {
	vec  gpu.Buffer
	rows gpu.Rows
}

// sparse is what the three levels work with where gradients apart are kept by rows of a table: no vector of a network's length
// lies between the gradients of the objectives and the update of θ, and none for the gradients of ω. Steps are taken in pieces
// of a vector; a step's derivative is kept for the elements that the validation loss depends on, the rows of its batch among them.
type sparse struct {
	pre   SparsePretraining
	fin   Sparse
	table *param.Entry
	piece gpu.Buffer   // of a gradient
	omega gpu.Buffer   // (ω behind the table) gradient of its loss; then what h_i are the derivative along
	jac   gpu.Buffer   // (encoder behind the table) d θ'/dg, then times d ω'/dg
	val   gpu.Rows     // of the validation batch: v, then w
	vjac  gpu.Rows     // jac in these rows
	next  *batch.Micro // the validation batch
	kept  []gpu.Buffer // of the iteration, in the arena
}

// A piece stays in the caches of a CPU. On a GPU each costs some launches: there are few, of at least so many elements.
const (
	pieceLen = 1 << 19
	pieces   = 16 // of the encoder
)

// findSparse returns the table of which losses read few rows where gradients can be kept by them, or nil: the derivatives are to be
// inner products of gradients kept apart, every batch in one part, and no step to depend on the length of the gradient.
func findSparse(pre Pretraining, fin Finetuning, o Options) *sparse {
	p, ok := pre.(SparsePretraining)
	f, also := fin.(Sparse)
	if !ok || !also || o.Micro > 1 || o.ValidProx || o.Pretrain.Clip > 0 || o.Finetune.Clip > 0 || o.Mode != Exact && o.Mode != Dot {
		return nil
	}
	t := f.Table()
	if t == nil || t.Offset != 0 || t.Len() >= pre.Params().EncoderLen() {
		return nil
	}
	for _, g := range pre.Groups() {
		if o.method(len(g)) != Dot {
			return nil
		}
	}
	return &sparse{pre: p, fin: f, table: t}
}

// allocateSparse allocates what stands in place of whole vectors. The gradient of θ has the memory of the first objective whose
// own is not sparse: its steps before the last one add up all objectives, the last one none.
func (s *System) allocateSparse(get func(*gpu.Buffer, int) error) error {
	sp, t := s.sparse, s.sparse.table.Len()
	enc := s.Pre.Params().EncoderLen()
	lent := false
	var err error
	for g, group := range s.Pre.Groups() {
		for _, i := range group {
			switch {
			case sp.pre.Sparse(g):
				err = errors.Join(err, get(&s.objGrad[i].vec, enc-t))
			case !lent:
				s.objGrad[i].vec, lent = s.Theta.encoder(s.Theta.Grad), true
			default:
				err = errors.Join(err, get(&s.objGrad[i].vec, enc))
			}
		}
	}
	return errors.Join(err, get(&sp.piece, max(max(pieceLen, enc/pieces)/sp.table.LD, 1)*sp.table.LD))
}

// keep returns n elements that last for the iteration: from the arena, since they are wanted when the passes of pretraining, which
// take the most, are over.
func (s *System) keep(n int) gpu.Buffer {
	b := s.arena.Alloc(n)
	s.sparse.kept = append(s.sparse.kept, b)
	return b
}

// reserve has room for the two large pieces that an iteration keeps, besides the small ones: before its passes cut the arena up.
func (s *System) reserve() error {
	n := s.Fin.Params().Len() + s.Pre.Params().EncoderLen() - 2*s.sparse.table.Len()
	return s.arena.Reserve(n + n/16)
}

// behind returns what is behind the table of a gradient of the encoder.
func (sp *sparse) behind(g gradient) gpu.Buffer {
	if g.rows.M.IsNil() {
		return g.vec.Slice(sp.table.Len(), g.vec.Len())
	}
	return g.vec
}

// behind returns what is behind the table of the gradients of all objectives.
func (s *System) behind() []gpu.Buffer {
	var all []gpu.Buffer
	for _, g := range s.objGrad {
		all = append(all, s.sparse.behind(g))
	}
	return all
}

// front returns the rows of the table of a gradient of the encoder.
func (sp *sparse) front(g gradient) gpu.Rows {
	if g.rows.M.IsNil() {
		return gpu.Rows{M: sp.table.Mat(g.vec)}
	}
	return g.rows
}

// zeros returns a matrix with a zero for each element of the given rows of the table; it lasts for the iteration.
func (s *System) zeros(row gpu.Buffer) gpu.Rows {
	t := s.sparse.table
	buf := s.keep(row.Len() * t.LD)
	s.B.Fill(buf, 0)
	return gpu.Rows{M: gpu.MatOf(buf, row.Len(), t.Cols, t.LD), Row: row}
}

// releaseKept ends the iteration.
func (s *System) releaseKept() {
	if s.sparse == nil {
		return
	}
	for _, b := range s.sparse.kept {
		s.arena.Free(b)
	}
	s.sparse.kept = s.sparse.kept[:0]
}

// bindObjective says where the gradient of an objective of a group goes that is kept apart.
func (s *System) bindObjective(group, i int, part *batch.Micro) param.Binding {
	g := &s.objGrad[i]
	b := s.Theta.Params.BindSplit(g.vec, s.headGrad)
	if s.sparse == nil || !s.sparse.pre.Sparse(group) {
		return b
	}
	g.rows = s.zeros(s.sparse.pre.Reads(group, part, s.dPre))
	return b.WithRows(s.sparse.table, g.rows.M)
}

// bindOmega says where a gradient of ω goes whose batch reads the given rows.
func (s *System) bindOmega(rows gpu.Rows) param.Binding {
	sp, n := s.sparse, s.Omega
	k := n.Params.EncoderLen() - sp.table.Len()
	return n.Params.BindSplit(sp.omega.Slice(0, k), sp.omega.Slice(k, sp.omega.Len())).WithRows(sp.table, rows.M)
}

// inPieces takes a network's step piece by piece. gradient returns that of elements [lo,hi) of the parameters, which it may leave in
// room; jac says where its derivative goes, or is nil; after is called when a piece is done.
func (s *System) inPieces(n *Network, gradient func(lo, hi int, room gpu.Buffer) gpu.Buffer, jac func(lo, hi int, g gpu.Buffer) gpu.Buffer, after func(lo, hi int, jac gpu.Buffer)) {
	u := n.next()
	lo := 0
	for _, end := range []int{s.sparse.table.Len(), n.Params.EncoderLen(), n.Params.Len()} {
		for lo < end {
			hi := min(lo+s.sparse.piece.Len(), end)
			piece := slice(u, lo, hi)
			piece.G = gradient(lo, hi, s.sparse.piece.Slice(0, hi-lo))
			if jac != nil && hi <= n.Params.EncoderLen() {
				piece.Jac = jac(lo, hi, piece.G)
			}
			s.B.Update(piece)
			if !piece.Jac.IsNil() {
				after(lo, hi, piece.Jac)
			}
			lo = hi
		}
	}
	n.Step++
}

// stretch views elements of the table from lo on as rows of it.
func (sp *sparse) stretch(lo int, piece gpu.Buffer) gpu.Rows {
	t := sp.table
	return gpu.Rows{M: gpu.MatOf(piece, piece.Len()/t.LD, t.Cols, t.LD), First: lo / t.LD}
}

// sparseTheta is the last step of θ along the weighted sum of the gradients kept apart.
func (s *System) sparseTheta(val *batch.Micro) {
	b, sp, n := s.B, s.sparse, s.Theta
	t, enc := sp.table.Len(), n.Params.EncoderLen()
	sp.next = val
	behind := s.behind()
	var jac func(lo, hi int, g gpu.Buffer) gpu.Buffer
	if s.Opts.Jacobian == Optimizer {
		sp.jac, sp.vjac = s.keep(enc-t), s.zeros(sp.fin.Rows(val, s.dVal))
		jac = func(lo, hi int, g gpu.Buffer) gpu.Buffer {
			if lo < t {
				return g
			}
			return sp.jac.Slice(lo-t, hi-t)
		}
	}
	s.inPieces(n, func(lo, hi int, room gpu.Buffer) gpu.Buffer {
		switch {
		case lo >= enc:
			return n.Grad.Slice(lo, hi)
		case lo >= t:
			b.Combine(room, s.Lambda, stretches(behind, lo-t, hi-t), false)
		default:
			b.Fill(room, 0)
			for i, g := range s.objGrad {
				if weight := s.Lambda.Slice(i, i+1); g.rows.M.IsNil() {
					b.Axpy(room, 1, weight, g.vec.Slice(lo, hi))
				} else {
					b.AddRows(sp.stretch(lo, room), weight, g.rows)
				}
			}
		}
		return room
	}, jac, func(lo, _ int, jac gpu.Buffer) {
		if lo < t {
			b.AddRows(sp.vjac, gpu.Buffer{}, sp.stretch(lo, jac))
		}
	})
}

// stretches returns the same stretch of several vectors.
func stretches(vs []gpu.Buffer, lo, hi int) []gpu.Buffer {
	out := make([]gpu.Buffer, len(vs))
	for i, v := range vs {
		out[i] = v.Slice(lo, hi)
	}
	return out
}

// sparseCosines leaves the inner products of the gradients kept apart.
func (s *System) sparseCosines(gram gpu.Buffer) {
	sp, k := s.sparse, len(s.objGrad)
	s.B.Gram(gram, s.behind())
	for i, x := range s.objGrad {
		for j, y := range s.objGrad {
			s.B.DotRows(gram.Slice(i*k+j, i*k+j+1), 1, sp.front(x), sp.front(y))
		}
	}
}

// sparseOmega is a step of ω on a batch in one part; with jac its derivative is kept for the validation loss.
func (s *System) sparseOmega(parts []*batch.Micro, jac bool) error {
	b, sp, n := s.B, s.sparse, s.Omega
	t, enc := sp.table.Len(), n.Params.EncoderLen()
	if len(parts) != 1 {
		return fmt.Errorf("a finetuning batch in %d parts; where gradients are kept by rows it has to be in one", len(parts))
	}
	if err := s.holdFinetune(parts[0]); err != nil {
		return err
	}
	rows := s.zeros(sp.fin.Rows(parts[0], s.dFin))
	sp.omega = s.arena.Alloc(n.Params.Len() - t)
	defer s.arena.Free(sp.omega)
	b.Fill(sp.omega, 0)
	if err := s.addFinetuneGradient(n.Value, s.bindOmega(rows), s.ftLoss, s.finPass); err != nil {
		return err
	}
	var own func(lo, hi int, g gpu.Buffer) gpu.Buffer
	var vjac gpu.Rows
	if jac {
		vjac = s.zeros(sp.vjac.Row)
		own = func(_, _ int, g gpu.Buffer) gpu.Buffer { return g }
	}
	s.inPieces(n, func(lo, hi int, room gpu.Buffer) gpu.Buffer {
		if lo >= t {
			room = sp.omega.Slice(lo-t, hi-t)
		} else {
			b.Fill(room, 0)
			b.AddRows(sp.stretch(lo, room), gpu.Buffer{}, rows)
		}
		if lo < enc && s.Opts.Gamma > 0 {
			b.Prox(room, n.Value.Slice(lo, hi), s.Theta.Value.Slice(lo, hi), s.Opts.Gamma, s.prox)
		}
		return room
	}, own, func(lo, hi int, jac gpu.Buffer) {
		if lo < t {
			b.AddRows(vjac, gpu.Buffer{}, sp.stretch(lo, jac))
			return
		}
		both := sp.jac.Slice(lo-t, hi-t)
		b.Mul(both, 1, both, jac)
	})
	if jac {
		b.Mul(sp.vjac.M.Buf, 1, sp.vjac.M.Buf, vjac.M.Buf)
	}
	return nil
}

// sparseValidation leaves the gradient of the validation loss.
func (s *System) sparseValidation(part *batch.Micro) error {
	sp := s.sparse
	if part != sp.next {
		return errors.New("the validation batch is not the one that the steps before it were given")
	}
	sp.val, sp.omega = s.zeros(sp.fin.Rows(part, s.dVal)), s.keep(s.Omega.Params.Len()-sp.table.Len())
	s.B.Fill(sp.omega, 0)
	s.validationGradient(part, s.bindOmega(sp.val))
	return nil
}

// sparseChain is chain: the derivatives of the steps are diagonal, so w is zero wherever v is.
func (s *System) sparseChain() {
	b, sp := s.B, s.sparse
	w, c := sp.omega.Slice(0, s.Theta.Params.EncoderLen()-sp.table.Len()), -2*s.Opts.Gamma
	slab := sp.val.M.Buf
	if s.Opts.Jacobian == Optimizer {
		b.Mul(w, c, sp.jac, w)
		b.Mul(slab, c, sp.vjac.M.Buf, slab)
	} else {
		b.Scale(w, c, gpu.Buffer{})
		b.Scale(slab, c, gpu.Buffer{})
	}
	b.Dots(s.h, 1, s.behind(), w)
	for i, g := range s.objGrad {
		b.DotRows(s.h.Slice(i, i+1), 1, sp.front(g), sp.val)
	}
}
