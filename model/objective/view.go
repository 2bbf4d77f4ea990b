package objective

import (
	"math/rand/v2"

	"tapweight/model/gnn"
	"tapweight/model/molecule"
)

// View is a way of looking at a molecule: as it is, with atoms masked, or augmented. Equal names mean the same view, so
// that objectives naming the same view share its forward pass.
type View struct {
	Name string
	// edit appends the molecule as seen to s.Union. Random choices come from rng, which is seeded per view and step.
	edit func(s *Seen, g molecule.Graph, rng *rand.Rand)
}

// Seen is a view of a batch.
type Seen struct {
	Union    gnn.Union
	Packed   *gnn.Packed
	Masked   []int32 // atoms of Union whose features are hidden
	Original []uint8 // their first feature (the element) before
	features molecule.Features
}

// Rates of the augmentations, as in the papers named.
const (
	maskRate     = 0.15 // Hu 2020, attribute masking
	augmentRate  = 0.2  // You 2020, GraphCL
	subgraphRate = 0.25 // Xiang 2022, ImageMol's masked contrastive learning masks about a quarter
)

// Clean is the molecule as it is.
var Clean = View{"clean", func(s *Seen, g molecule.Graph, _ *rand.Rand) { s.Union.Add(g) }}

// MaskedAtoms hides the features of 15 % of the atoms, at least one.
var MaskedAtoms = View{"masked-atoms", func(s *Seen, g molecule.Graph, rng *rand.Rand) {
	base := s.Union.Atoms()
	s.Union.Add(g)
	for _, v := range choose(rng, g.Atoms, atLeastOne(maskRate, g.Atoms)) {
		s.hide(base + v)
	}
}}

// AugmentedA and AugmentedB are two independent augmentations of GraphCL: for each molecule one of node dropping,
// attribute masking and subgraph, each touching 20 % of the atoms.
var (
	AugmentedA = View{"augmented-a", augment}
	AugmentedB = View{"augmented-b", augment}
)

func augment(s *Seen, g molecule.Graph, rng *rand.Rand) {
	n := atLeastOne(augmentRate, g.Atoms)
	kind := rng.IntN(3)
	if g.Atoms < 3 { // nothing worth dropping
		kind = 1
	}
	switch kind {
	case 0:
		keep := make([]bool, g.Atoms)
		for v := range keep {
			keep[v] = true
		}
		for _, v := range choose(rng, g.Atoms, n) {
			keep[v] = false
		}
		s.Union.AddKept(g, keep)
	case 1:
		base := s.Union.Atoms()
		s.Union.Add(g)
		for _, v := range choose(rng, g.Atoms, n) {
			s.hide(base + v)
		}
	default:
		keep := make([]bool, g.Atoms)
		for _, v := range grow(rng, g, g.Atoms-n) {
			keep[v] = true
		}
		s.Union.AddKept(g, keep)
	}
}

// MaskedSubgraph hides a connected quarter of the molecule, atoms and the bonds between them.
var MaskedSubgraph = View{"masked-subgraph", func(s *Seen, g molecule.Graph, rng *rand.Rand) {
	base, edge := s.Union.Atoms(), len(s.Union.Bond)
	s.Union.Add(g)
	hidden := make([]bool, g.Atoms)
	for _, v := range grow(rng, g, atLeastOne(subgraphRate, g.Atoms)) {
		hidden[v] = true
		s.hide(base + v)
	}
	for v := range g.Atoms {
		for k := g.RowPtr[v] - g.RowPtr[0]; k < g.RowPtr[v+1]-g.RowPtr[0]; k++ {
			if hidden[v] && hidden[g.Nbr[k]] {
				s.Union.Bond[edge+int(k)] = s.features.MaskBondCode()
			}
		}
	}
}}

// hide masks an atom of the union and remembers it.
func (s *Seen) hide(atom int) {
	f := s.Union.Fields
	row := s.Union.Atom[atom*f : (atom+1)*f]
	s.Masked = append(s.Masked, int32(atom))
	s.Original = append(s.Original, row[0])
	s.features.MaskAtom(row)
}

func atLeastOne(rate float64, n int) int { return max(1, int(rate*float64(n))) }

// choose draws k of n without replacement, ascending.
func choose(rng *rand.Rand, n, k int) []int {
	picked := make([]int, 0, k)
	for i := range n {
		if rng.IntN(n-i) < k-len(picked) {
			picked = append(picked, i)
		}
	}
	return picked
}

// grow draws k atoms by walking outwards from a random atom; further fragments are entered when one is exhausted.
func grow(rng *rand.Rand, g molecule.Graph, k int) []int {
	seen := make([]bool, g.Atoms)
	var picked, frontier []int
	for len(picked) < k {
		if len(frontier) == 0 {
			v := rng.IntN(g.Atoms)
			for seen[v] {
				v = (v + 1) % g.Atoms
			}
			seen[v] = true
			frontier = append(frontier, v)
		}
		i := rng.IntN(len(frontier))
		v := frontier[i]
		frontier[i] = frontier[len(frontier)-1]
		frontier = frontier[:len(frontier)-1]
		picked = append(picked, v)
		for k := g.RowPtr[v] - g.RowPtr[0]; k < g.RowPtr[v+1]-g.RowPtr[0]; k++ {
			if w := int(g.Nbr[k]); !seen[w] {
				seen[w] = true
				frontier = append(frontier, w)
			}
		}
	}
	return picked
}
