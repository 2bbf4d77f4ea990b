package molecule

import (
	"context"
	"path/filepath"
	"strings"
)

// all returns the SMILES of molecules [lo, hi).
func (s *Set) all(lo, hi int) []string {
	v := make([]string, 0, hi-lo)
	for i := lo; i < hi; i++ {
		v = append(v, s.SMILES(i))
	}
	return v
}

// property returns a section computed once for the set and cached beside it under a name.
func (s *Set) property(name string, compute func() ([]byte, error)) ([]byte, error) {
	key := s.key + "." + name
	m, err := cached(filepath.Join(s.dir, key), key, func() (any, []named, error) {
		data, err := compute()
		return struct{}{}, []named{{name, data}}, err
	})
	if err != nil {
		return nil, err
	}
	defer m.close()
	return append([]byte(nil), m.sections[name]...), nil
}

func (s *Set) texts(name string, kind int) ([]string, error) {
	data, err := s.property(name, func() ([]byte, error) {
		out := make([]string, s.Len())
		err := inChunks(context.Background(), s.Len(), nil, func(lo, hi int) error {
			copy(out[lo:hi], textProperty(s.all(lo, hi), kind))
			return nil
		})
		return []byte(strings.Join(out, "\n")), err
	})
	if err != nil || s.Len() == 0 {
		return nil, err
	}
	return strings.Split(string(data), "\n"), nil
}

// Scaffolds returns each molecule's Bemis–Murcko scaffold as SMILES with chirality, "" for acyclic molecules.
func Scaffolds(s *Set) ([]string, error) { return s.texts("scaffold", scaffoldKind) }

// Canonical returns each molecule's canonical SMILES.
func Canonical(s *Set) ([]string, error) { return s.texts("canonical", canonicalKind) }

// words returns rows of 64-bit words computed chunk by chunk.
func (s *Set) words(name string, width int, compute func(smiles []string) ([]uint64, error)) ([][]uint64, error) {
	data, err := s.property(name, func() ([]byte, error) {
		out := make([]uint64, s.Len()*width)
		err := inChunks(context.Background(), s.Len(), nil, func(lo, hi int) error {
			w, err := compute(s.all(lo, hi))
			copy(out[lo*width:hi*width], w)
			return err
		})
		return bytesOf(out), err
	})
	if err != nil {
		return nil, err
	}
	flat, err := viewAs[uint64](data)
	if err != nil {
		return nil, err
	}
	rows := make([][]uint64, s.Len())
	for i := range rows {
		rows[i] = flat[i*width : (i+1)*width]
	}
	return rows, nil
}

// Fingerprints returns Morgan fingerprints of radius 2 as 2048 bits in 32 words a molecule (Rogers 2010).
func Fingerprints(s *Set) ([][]uint64, error) {
	return s.words("morgan", fingerprintWords, func(smiles []string) ([]uint64, error) { return morgan(smiles), nil })
}

// Motifs returns which of MotifNames each molecule contains, one bit each.
func Motifs(s *Set) ([][]uint64, error) { return s.words("motif", motifWords(), motifs) }
