package data

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func molecules(n int) (smiles, scaffolds []string) {
	for i := range n {
		smiles = append(smiles, fmt.Sprintf("C%d", i))
		scaffolds = append(scaffolds, fmt.Sprintf("S%d", i*i%101))
	}
	return smiles, scaffolds
}

func TestSplitsPartitionAndRepeat(t *testing.T) {
	smiles, scaffolds := molecules(200)
	for _, kind := range SplitKinds[:4] {
		split := func(seed uint64) *Split {
			s, err := NewSplit(kind, smiles, func() ([]string, error) { return scaffolds, nil }, nil, seed)
			if err != nil {
				t.Fatal(kind, err)
			}
			return s
		}
		s := split(1)
		all := slices.Concat(s.Train, s.Valid, s.Test)
		slices.Sort(all)
		if !slices.Equal(all, upTo(200)) {
			t.Errorf("%s: not a partition", kind)
		}
		if again := split(1); again.Hash != s.Hash {
			t.Errorf("%s: not repeatable", kind)
		}
		if other := split(2); (other.Hash == s.Hash) != (kind == "scaffold") {
			t.Errorf("%s: hash %s with another seed %s", kind, s.Hash, other.Hash)
		}
		if kind == "random" {
			continue
		}
		at := map[string]string{}
		for name, part := range map[string][]int{"train": s.Train, "valid": s.Valid, "test": s.Test} {
			for _, i := range part {
				if was, ok := at[scaffolds[i]]; ok && was != name {
					t.Errorf("%s: scaffold %s in %s and %s", kind, scaffolds[i], was, name)
				}
				at[scaffolds[i]] = name
			}
		}
	}
}

func upTo(n int) []int {
	v := make([]int, n)
	for i := range v {
		v[i] = i
	}
	return v
}

// TestScaffoldOrder is the rule of pretrain-gnns: groups by (size, first index) descending, dealt to train while they fit.
func TestScaffoldOrder(t *testing.T) {
	groups := orderGroups("scaffold", []string{"a", "b", "b", "c", "c", "d"}, nil)
	if got, want := fmt.Sprint(groups), "[[3 4] [1 2] [5] [0]]"; got != want {
		t.Errorf("groups %s, want %s", got, want)
	}
}

// TestFill deals 10 molecules with room for 8 and 9: a group that does not fit train goes on, and a later smaller one may still fit.
func TestFill(t *testing.T) {
	var s Split
	s.fill([][]int{{0, 1, 2, 3, 4, 5}, {6, 7, 8}, {9}}, 10)
	if got, want := fmt.Sprint(s.Train, s.Valid, s.Test), "[0 1 2 3 4 5 9] [6 7 8] []"; got != want {
		t.Errorf("parts %s, want %s", got, want)
	}
	s = Split{}
	s.fill([][]int{{0, 1, 2, 3, 4, 5, 6}, {7, 8, 9}}, 10)
	if got, want := fmt.Sprint(s.Train, s.Valid, s.Test), "[0 1 2 3 4 5 6] [] [7 8 9]"; got != want {
		t.Errorf("parts %s, want %s", got, want)
	}
}

// TestBalancedScaffoldShufflesBothKinds as chemprop does: the large groups lead, in an order of the seed.
func TestBalancedScaffoldShufflesBothKinds(t *testing.T) {
	var scaffolds []string
	for g := range 8 {
		for range 10 {
			scaffolds = append(scaffolds, fmt.Sprint("large", g))
		}
	}
	for g := range 20 {
		scaffolds = append(scaffolds, fmt.Sprint("small", g))
	}
	orders := map[string]bool{}
	for seed := range uint64(5) {
		groups := orderGroups("balanced-scaffold", scaffolds, rand.New(rand.NewPCG(seed, 0)))
		for i, g := range groups {
			if (i < 8) != (len(g) == 10) {
				t.Fatalf("seed %d: group %d has %d molecules", seed, i, len(g))
			}
		}
		orders[fmt.Sprint(groups[:8])] = true
	}
	if len(orders) < 2 {
		t.Error("the large groups come in one order whatever the seed")
	}
}

func TestHashFollowsOneMolecule(t *testing.T) {
	smiles, _ := molecules(4)
	a, err := NewSplit("column", smiles, nil, []string{"train", "train", "valid", "test"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewSplit("column", smiles, nil, []string{"train", "valid", "valid", "test"}, 0)
	if err != nil || a.Hash == b.Hash {
		t.Errorf("hash %s before and %s after one molecule moved: %v", a.Hash, b.Hash, err)
	}
}

func TestSplitErrors(t *testing.T) {
	smiles, scaffolds := molecules(3)
	get := func() ([]string, error) { return scaffolds, nil }
	for _, c := range []struct {
		kind string
		part []string
		want string
	}{
		{"scaffold", nil, "each part needs at least one"}, {"nonsense", nil, "is not one of"},
		{"column", []string{"train", "valid", "train"}, "0 to test"},
	} {
		if _, err := NewSplit(c.kind, smiles, get, c.part, 0); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.kind, err, c.want)
		}
	}
	s, err := NewSplit("column", smiles, nil, []string{"test", "train", "valid"}, 0)
	if err != nil || s.Train[0] != 1 || s.Leaks([]string{"x", "x", "y"}) != 1 {
		t.Errorf("column split %+v: %v", s, err)
	}
}

func TestOrderIsAPermutationEachEpoch(t *testing.T) {
	o := NewOrder(10, 4, 3)
	var seen []int
	for b := range 5 { // two epochs
		seen = append(seen, o.Batch(b)...)
	}
	for e := range 2 {
		epoch := slices.Clone(seen[10*e : 10*e+10])
		slices.Sort(epoch)
		if !slices.Equal(epoch, upTo(10)) {
			t.Errorf("epoch %d: %v", e, epoch)
		}
	}
	if fresh := NewOrder(10, 4, 3); !slices.Equal(fresh.Batch(3), seen[12:16]) {
		t.Error("batch 3 depends on what was asked before")
	}
	if small := NewOrder(3, 64, 1); len(small.Batch(7)) != 3 {
		t.Error("a batch larger than the set")
	}
}

func TestScale(t *testing.T) {
	labels := [][]float64{{1, 5}, {3, 5}, {math.NaN(), 5}, {100, 5}}
	s := NewScale(labels, []int{0, 1, 2})
	if s.Mean[0] != 2 || s.Std[0] != 1 || s.Std[1] != 1 {
		t.Errorf("scale %+v", s)
	}
	back := s.Invert(s.Apply(labels))
	if back[3][0] != 100 || back[0][1] != 5 {
		t.Errorf("round trip %v", back)
	}
}
