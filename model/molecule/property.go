package molecule

import (
	"context"
	"path/filepath"
	"strings"
)

// smiles returns the SMILES of molecules [lo, hi).
func (s *Set) smiles(lo, hi int) []string {
	v := make([]string, 0, hi-lo)
	for i := lo; i < hi; i++ {
		v = append(v, s.SMILES(i))
	}
	return v
}

// property returns what decode makes of bytes that are computed once for the set and cached beside it under a name. The
// bytes are a copy; decode returns errDamaged when they cannot be read.
func property[T any](s *Set, name string, decode func([]byte) (T, error), compute func() ([]byte, error)) (value T, err error) {
	key := s.key + "." + name
	m, err := cached(filepath.Join(s.dir, key), key, func(m *mapping) (err error) {
		value, err = decode(append([]byte(nil), m.sections[name]...))
		return err
	}, func() (any, []named, error) {
		data, err := compute()
		return struct{}{}, []named{{name, data}}, err
	})
	if err != nil {
		return value, err
	}
	return value, m.close()
}

// texts is a property of one line for each molecule.
func (s *Set) texts(name string, kind int) ([]string, error) {
	return property(s, name, func(data []byte) ([]string, error) {
		lines := strings.Split(string(data), "\n")
		if len(lines) != s.Len()+1 {
			return nil, errDamaged
		}
		return lines[:s.Len()], nil
	}, func() ([]byte, error) {
		out := make([]string, s.Len()+1) // the empty last one ends the last line
		err := inChunks(context.Background(), s.Len(), nil, func(lo, hi int) error {
			copy(out[lo:hi], textProperty(s.smiles(lo, hi), kind))
			return nil
		})
		return []byte(strings.Join(out, "\n")), err
	})
}

// Scaffolds returns each molecule's Bemis–Murcko scaffold (Bemis and Murcko 1996) as SMILES with chirality, "" for acyclic
// molecules.
func Scaffolds(s *Set) ([]string, error) { return s.texts("scaffold", scaffoldKind) }

// Canonical returns each molecule's canonical SMILES.
func Canonical(s *Set) ([]string, error) { return s.texts("canonical", canonicalKind) }

// words is a property of a row of 64-bit words for each molecule.
func (s *Set) words(name string, width int, compute func(smiles []string) ([]uint64, error)) ([][]uint64, error) {
	return property(s, name, func(data []byte) ([][]uint64, error) {
		flat, err := viewAs[uint64](data)
		if err != nil || len(flat) != s.Len()*width {
			return nil, errDamaged
		}
		rows := make([][]uint64, s.Len())
		for i := range rows {
			rows[i] = flat[i*width : (i+1)*width]
		}
		return rows, nil
	}, func() ([]byte, error) {
		out := make([]uint64, s.Len()*width)
		err := inChunks(context.Background(), s.Len(), nil, func(lo, hi int) error {
			w, err := compute(s.smiles(lo, hi))
			copy(out[lo*width:hi*width], w)
			return err
		})
		return bytesOf(out), err
	})
}

// Fingerprints returns Morgan fingerprints of radius 2 (Rogers and Hahn 2010): 2048 bits in 32 words a molecule, bit b in
// word b/64 at place b%64.
func Fingerprints(s *Set) ([][]uint64, error) {
	return s.words("morgan", fingerprintWords, func(smiles []string) ([]uint64, error) { return morgan(smiles), nil })
}

// Motifs returns which of MotifNames each molecule contains, one bit each in the order of Fingerprints.
func Motifs(s *Set) ([][]uint64, error) { return s.words("motif", motifWords(), motifs) }
