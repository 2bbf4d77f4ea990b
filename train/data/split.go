package data

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
)

// Split assigns molecules to the three parts.
type Split struct {
	Train, Valid, Test []int
	Hash               string // of the molecules and their assignment
}

// SplitKinds lists the ways to split; the last two are the user's own.
var SplitKinds = []string{"scaffold", "random-scaffold", "balanced-scaffold", "random", "column", "files"}

// parts names the parts of a split.
var parts = [3]string{"train", "valid", "test"}

// parsePart reads a part's name as it is commonly written.
func parsePart(s string) (string, error) {
	switch s = strings.ToLower(strings.TrimSpace(s)); s {
	case "train", "valid", "test":
		return s, nil
	case "val", "validation", "dev":
		return "valid", nil
	}
	return "", fmt.Errorf("%q is not train, valid or test", s)
}

// Fractions of the parts, 80/10/10 as in MoleculeNet.
const (
	trainFraction = 0.8
	validFraction = 0.1
)

// NewSplit splits molecules. scaffolds is asked for by the scaffold kinds only; part is Table.Part, for the user's own kinds.
// The random kinds use PCG seeded by seed.
func NewSplit(kind string, smiles []string, scaffolds func() ([]string, error), part []string, seed uint64) (*Split, error) {
	s := &Split{}
	n := len(smiles)
	rng := rand.New(rand.NewPCG(seed, 0x73706c6974))
	switch kind {
	case "column", "files":
		for i, p := range part {
			switch p {
			case "train":
				s.Train = append(s.Train, i)
			case "valid":
				s.Valid = append(s.Valid, i)
			case "test":
				s.Test = append(s.Test, i)
			}
		}
	case "random":
		order := rng.Perm(n)
		a, b := int(trainFraction*float64(n)), int((trainFraction+validFraction)*float64(n))
		s.Train, s.Valid, s.Test = order[:a], order[a:b], order[b:]
	case "scaffold", "random-scaffold", "balanced-scaffold":
		names, err := scaffolds()
		if err != nil {
			return nil, err
		}
		s.fill(orderGroups(kind, names, rng), n)
	default:
		return nil, fmt.Errorf("split %q is not one of %s", kind, strings.Join(SplitKinds, ", "))
	}
	for _, p := range [][]int{s.Train, s.Valid, s.Test} {
		sort.Ints(p)
	}
	if len(s.Train) == 0 || len(s.Valid) == 0 || len(s.Test) == 0 {
		return nil, fmt.Errorf("split %s of %d molecules leaves %d to train, %d to validate, %d to test: each part needs at least one; use another split or more molecules",
			kind, n, len(s.Train), len(s.Valid), len(s.Test))
	}
	s.Hash = s.hash(smiles)
	return s, nil
}

// orderGroups groups molecules by scaffold and orders the groups.
//
// scaffold: the largest first, among equals the one with the largest first index (pretrain-gnns, Hu et al. 2020).
// random-scaffold: shuffled. balanced-scaffold: groups larger than half a validation part first, then
// the others, each kind shuffled (chemprop).
func orderGroups(kind string, scaffolds []string, rng *rand.Rand) [][]int {
	at := map[string]int{}
	var groups [][]int
	for i, name := range scaffolds {
		g, seen := at[name]
		if !seen {
			g = len(groups)
			at[name] = g
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], i)
	}
	switch kind {
	case "scaffold":
		sort.SliceStable(groups, func(a, b int) bool {
			if len(groups[a]) != len(groups[b]) {
				return len(groups[a]) > len(groups[b])
			}
			return groups[a][0] > groups[b][0]
		})
	case "random-scaffold":
		rng.Shuffle(len(groups), func(a, b int) { groups[a], groups[b] = groups[b], groups[a] })
	case "balanced-scaffold":
		var big, small [][]int
		for _, g := range groups {
			if float64(len(g)) > validFraction*float64(len(scaffolds))/2 {
				big = append(big, g)
			} else {
				small = append(small, g)
			}
		}
		rng.Shuffle(len(big), func(a, b int) { big[a], big[b] = big[b], big[a] })
		rng.Shuffle(len(small), func(a, b int) { small[a], small[b] = small[b], small[a] })
		groups = append(big, small...)
	}
	return groups
}

// fill deals groups out: to train while they fit, then to valid, else to test.
func (s *Split) fill(groups [][]int, n int) {
	train, valid := trainFraction*float64(n), (trainFraction+validFraction)*float64(n)
	for _, g := range groups {
		switch {
		case float64(len(s.Train)+len(g)) <= train:
			s.Train = append(s.Train, g...)
		case float64(len(s.Train)+len(s.Valid)+len(g)) <= valid:
			s.Valid = append(s.Valid, g...)
		default:
			s.Test = append(s.Test, g...)
		}
	}
}

func (s *Split) hash(smiles []string) string {
	h := sha256.New()
	for i, part := range [][]int{s.Train, s.Valid, s.Test} {
		fmt.Fprintf(h, "part %d\n", i)
		for _, m := range part {
			fmt.Fprintln(h, smiles[m])
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// Leaks counts validation and test molecules that are also training molecules, by canonical SMILES.
func (s *Split) Leaks(canonical []string) int {
	train := map[string]bool{}
	for _, m := range s.Train {
		train[canonical[m]] = true
	}
	n := 0
	for _, part := range [][]int{s.Valid, s.Test} {
		for _, m := range part {
			if train[canonical[m]] {
				n++
			}
		}
	}
	return n
}
