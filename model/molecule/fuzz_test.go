package molecule

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// seal gives a cache file the checksum and the length that its body has, so that damage must be found further in.
func seal(data []byte) []byte {
	if len(data) < prefixBytes {
		return data
	}
	data = slices.Clone(data)
	copy(data, cacheMagic)
	binary.LittleEndian.PutUint32(data[len(cacheMagic)+4:], crc32.Checksum(data[prefixBytes:], castagnoli))
	return data
}

func FuzzCache(f *testing.F) {
	features, err := FeaturesByName("hu")
	if err != nil {
		f.Fatal(err)
	}
	meta, sections, err := build(context.Background(), records("CCO", "C1", "[Na+].[Cl-]", "c1ccccc1"), features, nil)
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), "k.mol")
	if err := writeCache(path, "k", meta, sections); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, d := range [][]byte{data, seal(data)} {
			s := Set{features: features}
			m := mapping{data: d, sections: map[string][]byte{}}
			err := m.check("k")
			if err == nil {
				err = s.view(&m)
			}
			if err == nil {
				readAll(t, &s)
			} else if !errors.Is(err, errDamaged) {
				t.Fatalf("%v is not damage", err)
			}
		}
	})
}

// readAll reads every molecule and fails where a graph contradicts itself.
func readAll(t *testing.T, s *Set) {
	for i := range s.Len() {
		g := s.Graph(i)
		f := s.Features()
		_, _ = s.SMILES(i), s.Line(i)
		if g.Atoms < 0 || len(g.Atom) != g.Atoms*len(f.AtomFields) || len(g.RowPtr) != g.Atoms+1 || len(g.Bond) != len(g.Nbr) {
			t.Fatalf("molecule %d: %d atoms, %d field values, %d row pointers, %d neighbours, %d bonds", i, g.Atoms, len(g.Atom), len(g.RowPtr), len(g.Nbr), len(g.Bond))
		}
		if int(g.RowPtr[g.Atoms]-g.RowPtr[0]) != len(g.Nbr) || !slices.IsSorted(g.RowPtr) {
			t.Fatalf("molecule %d: row pointers %v", i, g.RowPtr)
		}
		for v := range g.Atoms {
			for j, n := range f.AtomFields {
				if int(g.Atom[v*len(f.AtomFields)+j]) >= n {
					t.Fatalf("molecule %d: field %d of atom %d is out of range", i, j, v)
				}
			}
		}
		for k, to := range g.Nbr {
			if int(to) >= g.Atoms || int(g.Bond[k]) >= f.BondCodes() {
				t.Fatalf("molecule %d: neighbour %d of %d, bond %d", i, to, g.Atoms, g.Bond[k])
			}
		}
	}
}

func FuzzSMILES(f *testing.F) {
	for _, smiles := range []string{"CCO", "c1ccccc1", "C[C@H](N)C(=O)O", "F/C=C/F", "[Na+].[Cl-]", "C1CC", "CCX", "", "[13CH4]", "CCO name", "N->[Cu]", "C%12CC%12"} {
		f.Add(smiles)
	}
	f.Fuzz(func(t *testing.T, smiles string) {
		if len(smiles) > 300 { // the time of RDKit's stereochemistry grows with the cube of the length
			t.Skip("too long to be quick")
		}
		for _, name := range []string{"hu", "ogb"} {
			features, err := FeaturesByName(name)
			if err != nil {
				t.Fatal(err)
			}
			meta, sections, err := build(context.Background(), records(smiles), features, nil)
			if err != nil {
				t.Fatal(err)
			}
			m := mapping{sections: map[string][]byte{}}
			for _, s := range sections {
				m.sections[s.name] = s.data
			}
			s := Set{features: features}
			if err := s.view(&m); err != nil {
				t.Fatal(err)
			}
			readAll(t, &s)
			invalid := meta.(setMeta).Invalid
			if s.Len()+len(invalid) != 1 {
				t.Fatalf("%d accepted, %d refused", s.Len(), len(invalid))
			}
			for _, r := range invalid {
				if r.Reason == "" || strings.Contains(r.Reason, "\n") {
					t.Fatalf("reason %q", r.Reason)
				}
			}
		}
		one := []string{strings.TrimSpace(smiles)}
		textProperty(one, scaffoldKind)
		textProperty(one, canonicalKind)
		morgan(one)
		if _, err := motifs(one); err != nil {
			t.Fatal(err)
		}
	})
}
