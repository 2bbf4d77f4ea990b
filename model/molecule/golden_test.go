package molecule

import (
	"context"
	"encoding/json"
	"math/bits"
	"os"
	"slices"
	"strings"
	"testing"
)

// answer is what Python RDKit says of one molecule; testdata/make_golden.py writes them.
type answer struct {
	SMILES    string   `json:"smiles"`
	Degree    []int    `json:"degree"`
	Nbr       []uint16 `json:"nbr"`
	HuAtom    []int    `json:"hu_atom"`
	HuBond    []int    `json:"hu_bond"`
	OGBAtom   []int    `json:"ogb_atom"`
	OGBBond   []int    `json:"ogb_bond"`
	Canonical string   `json:"canonical"`
	Scaffold  string   `json:"scaffold"`
	Morgan    []uint16 `json:"morgan"`
	Motif     []string `json:"motif"`
}

func golden(t testing.TB) []answer {
	t.Helper()
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		RDKit     string   `json:"rdkit"`
		Molecules []answer `json:"molecules"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if file.RDKit != RDKitVersion() {
		t.Skipf("the answers are those of RDKit %s and this is %s: run testdata/make_golden.py with it", file.RDKit, RDKitVersion())
	}
	return file.Molecules
}

func records(smiles ...string) []Record {
	r := make([]Record, len(smiles))
	for i, s := range smiles {
		r[i] = Record{s, i + 1}
	}
	return r
}

func mustOpen(t testing.TB, dir string, features string, r []Record) (*Set, []Invalid) {
	t.Helper()
	f, err := FeaturesByName(features)
	if err != nil {
		t.Fatal(err)
	}
	s, invalid, err := Open(context.Background(), dir, "test", f, func() ([]Record, error) { return r, nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, invalid
}

func goldenSet(t testing.TB, features string) (*Set, []answer) {
	t.Helper()
	want := golden(t)
	r := make([]Record, len(want))
	for i, a := range want {
		r[i] = Record{" " + a.SMILES + " ", i + 1} // spaces are trimmed
	}
	s, invalid := mustOpen(t, t.TempDir(), features, r)
	if len(invalid) > 0 {
		t.Fatalf("refused: %v", invalid)
	}
	return s, want
}

// widen turns field values of 8 bits into ints.
func widen(v []uint8) []int {
	out := make([]int, len(v))
	for i, x := range v {
		out[i] = int(x)
	}
	return out
}

func TestGraphsEqualPythonRDKit(t *testing.T) {
	for _, features := range []string{"hu", "ogb"} {
		t.Run(features, func(t *testing.T) {
			s, want := goldenSet(t, features)
			f := s.Features()
			for i, a := range want {
				g := s.Graph(i)
				atom, bond := a.HuAtom, a.HuBond
				if features == "ogb" {
					atom, bond = a.OGBAtom, a.OGBBond
				}
				var degree []int
				for v := range g.Atoms {
					degree = append(degree, int(g.RowPtr[v+1]-g.RowPtr[v]))
				}
				var codes []int
				for k := 0; k < len(bond); k += len(f.BondFields) {
					code := 0
					for j, n := range f.BondFields {
						code = code*n + bond[k+j]
					}
					codes = append(codes, code)
				}
				if s.SMILES(i) != a.SMILES || s.Line(i) != i+1 {
					t.Errorf("molecule %d is %q of line %d, want %q", i, s.SMILES(i), s.Line(i), a.SMILES)
				}
				if !slices.Equal(degree, a.Degree) || !slices.Equal(g.Nbr, a.Nbr) {
					t.Errorf("%s: degrees %v, neighbours %v; want %v, %v", a.SMILES, degree, g.Nbr, a.Degree, a.Nbr)
				}
				if got := widen(g.Atom); !slices.Equal(got, atom) {
					t.Errorf("%s: atoms %v, want %v", a.SMILES, got, atom)
				}
				if got := widen(g.Bond); !slices.Equal(got, codes) {
					t.Errorf("%s: bond codes %v, want %v", a.SMILES, got, codes)
				}
			}
		})
	}
}

func TestPropertiesEqualPythonRDKit(t *testing.T) {
	s, want := goldenSet(t, "hu")
	scaffold, err := Scaffolds(s)
	if err != nil {
		t.Fatal(err)
	}
	canonical, err := Canonical(s)
	if err != nil {
		t.Fatal(err)
	}
	morgan, err := Fingerprints(s)
	if err != nil {
		t.Fatal(err)
	}
	motif, err := Motifs(s)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range want {
		if scaffold[i] != a.Scaffold {
			t.Errorf("%s: scaffold %q, want %q", a.SMILES, scaffold[i], a.Scaffold)
		}
		if canonical[i] != a.Canonical {
			t.Errorf("%s: canonical %q, want %q", a.SMILES, canonical[i], a.Canonical)
		}
		if got := onBits(morgan[i]); !slices.Equal(got, a.Morgan) {
			t.Errorf("%s: fingerprint %v, want %v", a.SMILES, got, a.Morgan)
		}
		var groups []string
		for _, b := range onBits(motif[i]) {
			// Python's names are identifiers.
			groups = append(groups, strings.NewReplacer("=", "_", "-", "_").Replace(MotifNames()[b]))
		}
		if !slices.Equal(groups, a.Motif) {
			t.Errorf("%s: groups %v, want %v", a.SMILES, groups, a.Motif)
		}
	}
}

func TestMotifsOccur(t *testing.T) {
	s, _ := goldenSet(t, "hu")
	motif, err := Motifs(s)
	if err != nil {
		t.Fatal(err)
	}
	union := make([]uint64, motifWords())
	for _, row := range motif {
		for w, v := range row {
			union[w] |= v
		}
	}
	n := 0
	for _, v := range union {
		n += bits.OnesCount64(v)
	}
	if len(MotifNames()) != 86 || n < 60 {
		t.Errorf("%d of %d functional groups occur: too few for a test of all", n, len(MotifNames()))
	}
}
