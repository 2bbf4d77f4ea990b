package molecule

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRefusedMolecules(t *testing.T) {
	bad := []struct{ smiles, reason string }{
		{"C(C)(C)(C)(C)C", "Explicit valence for atom # 0 C, 5, is greater than permitted"},
		{"c1cccc1", "Can't kekulize mol"},
		{"CCX", "SMILES Parse Error: syntax error while parsing: CCX"},
		{"C1CC", "unclosed ring"},
		{"C(", "SMILES Parse Error"},
		{"", "no atoms"},
		{"CCO ethanol", "text after the SMILES"},
		{"CCO |$_R1;;$|", "text after the SMILES"},
		{"C\x00C", "zero byte"},
		{"C\nC", "text after the SMILES"},
		{"\xff\xfe", "SMILES Parse Error"},
		{strings.Repeat("C", 5001), "5001 atoms; at most 5000"},
		{strings.Repeat("(", 100_000), "SMILES Parse Error"},
	}
	var r []Record
	for i, b := range bad {
		r = append(r, Record{"CCO", 2*i + 1}, Record{b.smiles, 2*i + 2})
	}
	dir := t.TempDir()
	s, invalid := mustOpen(t, dir, "hu", r)
	if s.Len() != len(bad) || len(invalid) != len(bad) {
		t.Fatalf("%d accepted and %d refused, want %d each: %v", s.Len(), len(invalid), len(bad), invalid)
	}
	for i, b := range bad {
		got := invalid[i]
		if got.Line != 2*i+2 || !strings.Contains(got.Reason, b.reason) || strings.Contains(got.Reason, "\n") {
			t.Errorf("%q of line %d refused as %+v, want reason %q", b.smiles, 2*i+2, got, b.reason)
		}
		if s.Line(i) != 2*i+1 || s.SMILES(i) != "CCO" || s.Graph(i).Atoms != 3 {
			t.Errorf("molecule %d is %q of line %d", i, s.SMILES(i), s.Line(i))
		}
	}
	_, again := mustOpen(t, dir, "hu", nil)
	if !reflect.DeepEqual(again, invalid) {
		t.Errorf("a second start reports %v, want %v", again, invalid)
	}
}

func TestUnusualMolecules(t *testing.T) {
	chain := strings.Repeat("C", 5000)
	s, invalid := mustOpen(t, t.TempDir(), "ogb", records("C", "[Na+].[Cl-]", chain, strings.Repeat("C(", 200)+"C"+strings.Repeat(")", 200)))
	if len(invalid) > 0 {
		t.Fatalf("refused: %v", invalid)
	}
	for i, want := range []struct{ atoms, edges int }{{1, 0}, {2, 0}, {5000, 9998}, {201, 400}} {
		if g := s.Graph(i); g.Atoms != want.atoms || len(g.Nbr) != want.edges || len(g.RowPtr) != want.atoms+1 {
			t.Errorf("%.20s: %d atoms, %d edges, want %v", s.SMILES(i), g.Atoms, len(g.Nbr), want)
		}
	}
	if got, err := Canonical(s); err != nil || got[2] != chain {
		t.Errorf("canonical %.20q, %v", got, err)
	}
	if got, err := Scaffolds(s); err != nil || !slices.Equal(got, []string{"", "", "", ""}) {
		t.Errorf("scaffolds %.20q, %v", got, err)
	}
}

func TestEmptySet(t *testing.T) {
	s, invalid := mustOpen(t, t.TempDir(), "hu", nil)
	if s.Len() != 0 || s.Atoms() != 0 || len(invalid) != 0 {
		t.Errorf("%d molecules, %d atoms, %v", s.Len(), s.Atoms(), invalid)
	}
	if names, err := Scaffolds(s); err != nil || len(names) != 0 {
		t.Errorf("scaffolds %v, %v", names, err)
	}
	if bits, err := Fingerprints(s); err != nil || len(bits) != 0 {
		t.Errorf("fingerprints %v, %v", bits, err)
	}
	if label, n, err := Clusters(s, 5, 1); err != nil || len(label) != 0 || n != 0 {
		t.Errorf("clusters %v, %d, %v", label, n, err)
	}
}

func TestFeatures(t *testing.T) {
	if _, err := FeaturesByName("hoo"); err == nil || !strings.Contains(err.Error(), "hu, ogb") {
		t.Errorf("unknown features: %v", err)
	}
	for _, name := range []string{"hu", "ogb"} {
		f, err := FeaturesByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if f.BondCodes() > 256 {
			t.Errorf("%s: %d bond codes do not fit 8 bits", name, f.BondCodes())
		}
		rows := make([]int32, len(f.BondFields))
		for code := range f.BondCodes() {
			f.BondRows(rows, code)
			bond, offset := make([]uint8, len(rows)), int32(0)
			for i, n := range f.BondFields {
				bond[i] = uint8(rows[i] - offset)
				if rows[i] < offset || rows[i] >= offset+int32(n) {
					t.Fatalf("%s: code %d is rows %v", name, code, rows)
				}
				offset += int32(n)
			}
			if got := f.BondCode(bond); int(got) != code {
				t.Errorf("%s: code %d comes back as %d", name, code, got)
			}
		}
		f.BondRows(rows, int(f.SelfLoopCode()))
		if rows[0] != int32(f.BondFields[0]-2) {
			t.Errorf("%s: self loops are %v", name, rows)
		}
		f.BondRows(rows, int(f.MaskBondCode()))
		if rows[0] != int32(f.BondFields[0]-1) {
			t.Errorf("%s: masked bonds are %v", name, rows)
		}
		atom := make([]uint8, len(f.AtomFields))
		f.MaskAtom(atom)
		row := make([]int32, len(atom))
		f.AtomRows(row, atom)
		if row[0] != 119 || row[1] != 120 || int(row[len(row)-1]) >= f.AtomVocab() {
			t.Errorf("%s: a masked atom is rows %v", name, row)
		}
	}
}

// smallSet opens a cache of three molecules and returns its file and how often it was built.
func smallSet(t *testing.T, dir string) (path string, built int) {
	t.Helper()
	f, err := FeaturesByName("hu")
	if err != nil {
		t.Fatal(err)
	}
	s, invalid, err := Open(context.Background(), dir, "small", f, func() ([]Record, error) {
		built++
		return records("CCO", "c1ccccc1C", "C1", "[Na+].[Cl-]"), nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	names, err := Scaffolds(s)
	if err != nil {
		t.Fatal(err)
	}
	if s.Len() != 3 || len(invalid) != 1 || invalid[0].Line != 3 || s.Graph(1).Atoms != 7 || !slices.Equal(names, []string{"", "c1ccccc1", ""}) {
		t.Fatalf("%d molecules, scaffolds %q, refused %v", s.Len(), names, invalid)
	}
	return filepath.Join(dir, s.Key()+".mol"), built
}

func TestDamagedCacheIsRebuilt(t *testing.T) {
	dir := t.TempDir()
	path, built := smallSet(t, dir)
	if built != 1 {
		t.Fatalf("built %d times", built)
	}
	if _, built = smallSet(t, dir); built != 0 {
		t.Fatal("a whole cache was built again")
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	scaffold := strings.TrimSuffix(path, ".mol") + ".scaffold"
	for name, damage := range map[string][]byte{
		"empty": {}, "one byte": whole[:1], "prefix": whole[:16], "half": whole[:len(whole)/2], "last byte missing": whole[:len(whole)-1],
		"longer": append(slices.Clone(whole), 0), "zeros": make([]byte, len(whole)), "other format": append([]byte("twcache0"), whole[8:]...),
	} {
		for _, p := range []string{path, scaffold} {
			if err := os.WriteFile(p, damage, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, built := smallSet(t, dir); (built == 1) != (p == path) {
				t.Errorf("%s: %s built %d times", name, filepath.Base(p), built)
			}
		}
	}
	for at := range whole { // every single flipped bit
		damage := slices.Clone(whole)
		damage[at] ^= 1 << (at % 8)
		if err := os.WriteFile(path, damage, 0o644); err != nil {
			t.Fatal(err)
		}
		if m, err := openCache(path, strings.TrimSuffix(filepath.Base(path), ".mol")); !errors.Is(err, errDamaged) {
			t.Fatalf("byte %d of %d flipped: %v, %v", at, len(whole), m, err)
		}
	}
	if _, built := smallSet(t, dir); built != 1 {
		t.Error("a flipped bit was not noticed")
	}
	if now, err := os.ReadFile(path); err != nil || !slices.Equal(now, whole) {
		t.Errorf("the rebuilt cache differs from the first: %v", err)
	}
}

func TestHalfWrittenCache(t *testing.T) {
	dir := t.TempDir()
	path, _ := smallSet(t, dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, "."+filepath.Base(path)+".tapweight-tmp-")
	old, young := left+"1", left+"2"
	for _, p := range []string{old, young} {
		if err := os.WriteFile(p, whole[:len(whole)/3], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dayAgo := time.Now().Add(-24 * time.Hour)
	if err := errors.Join(os.Remove(path), os.Chtimes(old, dayAgo, dayAgo)); err != nil {
		t.Fatal(err)
	}
	if _, built := smallSet(t, dir); built != 1 {
		t.Error("a half-written cache was taken for a whole one")
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of a dead writer is still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("the file of a writer that may live is gone: %v", err)
	}
}

func TestFailuresLeaveNothing(t *testing.T) {
	f, err := FeaturesByName("hu")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	wrong := errors.New("no such column")
	if _, _, err := Open(context.Background(), dir, "k", f, func() ([]Record, error) { return nil, wrong }, nil); !errors.Is(err, wrong) {
		t.Errorf("load failed and Open returned %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	many := make([]Record, 20*chunk)
	for i := range many {
		many[i] = Record{"CCO", i + 1}
	}
	_, _, err = Open(ctx, dir, "k", f, func() ([]Record, error) { return many, nil }, func(done, total int) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled and Open returned %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(context.Background(), file, "k", f, func() ([]Record, error) { return records("C"), nil }, nil); err == nil {
		t.Error("a cache inside a plain file was accepted")
	}
}

func TestProgress(t *testing.T) {
	f, err := FeaturesByName("hu")
	if err != nil {
		t.Fatal(err)
	}
	n := 2*chunk + 7
	r := make([]Record, n)
	for i := range r {
		r[i] = Record{"CC", i + 1}
	}
	last := 0
	s, _, err := Open(context.Background(), t.TempDir(), "k", f, func() ([]Record, error) { return r, nil }, func(done, total int) {
		if total != n || done <= last {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if last != n || s.Len() != n {
		t.Errorf("progress ended at %d of %d", last, n)
	}
}

func TestConcurrentOpen(t *testing.T) {
	want := golden(t)
	dir := t.TempDir()
	f, err := FeaturesByName("hu")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, _, err := Open(context.Background(), dir, "shared", f, func() ([]Record, error) {
				var r []Record
				for i, a := range want {
					r = append(r, Record{a.SMILES, 2*i + 1}, Record{"C(C)(C)(C)(C)C", 2*i + 2})
				}
				return r, nil
			}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			names, err := Canonical(s)
			if err != nil || s.Len() != len(want) {
				t.Errorf("%d molecules, %v", s.Len(), err)
				return
			}
			if _, _, err := Clusters(s, 10, 1); err != nil {
				t.Error(err)
			}
			for i, a := range want {
				if names[i] != a.Canonical || !slices.Equal(s.Graph(i).Nbr, a.Nbr) {
					t.Errorf("molecule %d is %q, want %q", i, names[i], a.Canonical)
				}
			}
		})
	}
	wg.Wait()
}
