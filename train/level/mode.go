package level

import (
	"fmt"
	"strings"
)

// Mode is a way to get the hypergradient.
type Mode uint8

// Hypergradient modes. Exact picks Dot or JVP for each group of objectives that share a forward pass, by cost.
const (
	Exact Mode = iota
	Dot
	JVP
	FD
	Darts
	Neumann
	CG
)

// Jacobian says how the optimisers enter the hypergradient.
type Jacobian uint8

// Jacobians: of the update rules as they were applied, or the identity of the paper.
const (
	Optimizer Jacobian = iota
	Identity
)

var (
	modeNames     = []string{"exact", "dot", "jvp", "fd", "darts", "neumann", "cg"}
	jacobianNames = []string{"optimizer", "identity"}
)

func (m Mode) String() string     { return modeNames[m] }
func (j Jacobian) String() string { return jacobianNames[j] }

// solves reports whether the mode solves a linear system with the finetuning Hessian.
func (m Mode) solves() bool { return m == Neumann || m == CG }

// chooses reports whether the mode leaves the method to cost.
func (m Mode) chooses() bool { return m == Exact || m.solves() }

// ParseMode reads "exact", "neumann-5" and the like; terms is the number after the dash.
func ParseMode(s string) (m Mode, terms int, err error) {
	name, count, counted := strings.Cut(s, "-")
	for i, n := range modeNames {
		if n != name {
			continue
		}
		m = Mode(i)
		if m.solves() != counted {
			break
		}
		if counted {
			if _, err := fmt.Sscanf(count, "%d", &terms); err != nil || terms < 1 || fmt.Sprint(terms) != count {
				return 0, 0, fmt.Errorf("hypergradient %q: the number of terms after the dash must be a positive integer", s)
			}
		}
		return m, terms, nil
	}
	return 0, 0, fmt.Errorf("hypergradient %q is not one of exact, dot, jvp, fd, darts, neumann-K, cg-K (K a number of terms)", s)
}

// ParseJacobian reads the name of a Jacobian.
func ParseJacobian(s string) (Jacobian, error) {
	for i, n := range jacobianNames {
		if n == s {
			return Jacobian(i), nil
		}
	}
	return 0, fmt.Errorf("jacobian %q is not one of %s", s, strings.Join(jacobianNames, ", "))
}

// Method returns how the derivatives of a group of n objectives are taken: Dot keeps one gradient each, JVP
// keeps the pass and sweeps it once along the direction, FD means that nothing is kept.
//
// Beyond the weighted step Dot costs n-1 backward passes (two forwards each) and JVP one tangent sweep (two forwards),
// whatever n. JVP holds the activations until Level III, so on a tie, and over accumulated micro-batches, Dot is taken; also
// where Compare asks for every gradient.
func (s *System) Method(n int) Mode {
	if s.Opts.Mode.chooses() && s.compare {
		return Dot
	}
	return s.Opts.method(n)
}

// method is Method where Compare has not asked.
func (o Options) method(n int) Mode {
	micro := o.Micro
	switch m := o.Mode; m {
	case Dot, FD:
		return m
	case Darts:
		return FD
	case JVP:
		if micro == 1 {
			return JVP
		}
		return Dot
	default:
		if n > 2 && micro == 1 {
			return JVP
		}
		return Dot
	}
}

// Compare says whether the cosines between the objectives' gradients are wanted in the iterations from now on. Where the mode
// chooses the method, the gradient of every objective is then kept apart, whatever it costs; the hypergradient is the same up to
// rounding. Options.Cosines has to be set.
func (s *System) Compare(on bool) { s.compare = on && s.Opts.Cosines }
