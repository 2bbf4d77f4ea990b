package data

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
)

// Split assigns rows to the three parts.
type Split struct {
	Train, Valid, Test []int
	Hash               string // of the rows and their assignment
}

// SplitKinds lists the ways to split. In column and files the user says which row is in which part, in holdout which are for
// testing.
var SplitKinds = []string{"scaffold", "random-scaffold", "balanced-scaffold", "random", "group", "holdout", "column", "files"}

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

// Fractions of the parts, 80/10/10 as in MoleculeNet. Of what a held-out test set leaves, train and valid get the same 8:1.
const (
	trainFraction = 0.8
	validFraction = 0.1
	blockOfGroups = 10
	heldOutValid  = 9
)

// NewSplit splits rows, of which keys are the SMILES or texts. groups names the scaffold or the group of each and is asked for
// by those kinds only; part is Table.Part, for the user's own kinds. The random kinds use PCG seeded by seed.
func NewSplit(kind string, keys []string, groups func() ([]string, error), part []string, seed uint64) (*Split, error) {
	s := &Split{}
	n := len(keys)
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
	case "holdout":
		var rest []int
		for i, p := range part {
			if p == "test" {
				s.Test = append(s.Test, i)
			} else {
				rest = append(rest, i)
			}
		}
		rng.Shuffle(len(rest), func(a, b int) { rest[a], rest[b] = rest[b], rest[a] })
		valid := len(rest) / heldOutValid
		s.Valid, s.Train = rest[:valid], rest[valid:]
	case "scaffold", "random-scaffold", "balanced-scaffold", "group":
		names, err := groups()
		if err != nil {
			return nil, err
		}
		if kind == "group" {
			s.deal(groupRows(names), rng)
		} else {
			s.fill(orderGroups(kind, names, rng), n)
		}
	default:
		return nil, fmt.Errorf("split %q is not one of %s", kind, strings.Join(SplitKinds, ", "))
	}
	for _, p := range [][]int{s.Train, s.Valid, s.Test} {
		sort.Ints(p)
	}
	if len(s.Train) == 0 || len(s.Valid) == 0 || len(s.Test) == 0 {
		return nil, fmt.Errorf("split %s of %d rows leaves %d to train, %d to validate, %d to test: each part needs at least one; use another split or more rows",
			kind, n, len(s.Train), len(s.Valid), len(s.Test))
	}
	s.Hash = s.hash(keys)
	return s, nil
}

// groupRows gathers rows by name, in order of first occurrence.
func groupRows(names []string) [][]int {
	at := map[string]int{}
	var groups [][]int
	for i, name := range names {
		g, seen := at[name]
		if !seen {
			g = len(groups)
			at[name] = g
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], i)
	}
	return groups
}

// deal gives one of every ten consecutive groups to valid and one to test, drawn at random, and eight to train. Where the file
// is sorted, by time or by class, every part so has rows from everywhere.
func (s *Split) deal(groups [][]int, rng *rand.Rand) {
	for block := range slices.Chunk(groups, blockOfGroups) {
		for k, g := range rng.Perm(len(block)) {
			switch k {
			case 0:
				s.Valid = append(s.Valid, block[g]...)
			case 1:
				s.Test = append(s.Test, block[g]...)
			default:
				s.Train = append(s.Train, block[g]...)
			}
		}
	}
}

// orderGroups groups molecules by scaffold and orders the groups.
//
// scaffold: the largest first, among equals the one with the largest first index (pretrain-gnns, Hu et al. 2020).
// random-scaffold: shuffled. balanced-scaffold: groups larger than half a validation part first, then
// the others, each kind shuffled (chemprop).
func orderGroups(kind string, scaffolds []string, rng *rand.Rand) [][]int {
	groups := groupRows(scaffolds)
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

func (s *Split) hash(keys []string) string {
	h := sha256.New()
	for i, part := range [][]int{s.Train, s.Valid, s.Test} {
		fmt.Fprintf(h, "part %d\n", i)
		for _, m := range part {
			fmt.Fprintln(h, keys[m])
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// Leaks counts validation and test rows that are training rows too, by canonical SMILES or by text.
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
