package molecule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// formatVersion is part of every cache key: raise it when features or layouts change.
const formatVersion = "2"

// Record is one molecule of an input.
type Record struct {
	SMILES string
	Line   int // 1-based line in the input
}

// Invalid is a molecule that was refused.
type Invalid struct {
	Line   int    `json:"line"`
	SMILES string `json:"smiles"`
	Reason string `json:"reason"`
}

// Graph is one molecule. Edges go both ways; there are no self loops.
type Graph struct {
	Atoms  int
	Atom   []uint8  // (Atoms, fields) field values
	RowPtr []uint32 // (Atoms+1) rows of Nbr and Bond, counted from RowPtr[0]
	Nbr    []uint16 // neighbours within the molecule
	Bond   []uint8  // bond codes
}

// Set is a featurised input in a memory-mapped cache. It is safe for concurrent reading.
type Set struct {
	dir      string
	key      string
	features Features
	m        *mapping

	atomPtr   []uint64 // (n+1) first atom of each molecule
	rowPtr    []uint32 // (atoms+1) first edge of each atom
	atom      []uint8
	nbr       []uint16
	bond      []uint8
	line      []int32
	text      []byte
	smilesPtr []uint64
}

type setMeta struct {
	Invalid []Invalid `json:"invalid"`
}

// Open returns the featurised set of an input from the cache in dir, building it in parallel when it is absent or damaged.
// contentKey identifies the input's content; load is called only to build. Refused molecules are returned either way.
func Open(ctx context.Context, dir, contentKey string, f Features, load func() ([]Record, error), progress func(done, total int)) (*Set, []Invalid, error) {
	h := sha256.Sum256([]byte(formatVersion + "\n" + RDKitVersion() + "\n" + f.Name + "\n" + contentKey))
	s := &Set{dir: dir, key: hex.EncodeToString(h[:12]), features: f}
	var invalid []Invalid
	var err error
	s.m, err = cached(filepath.Join(dir, s.key+".mol"), s.key, func(m *mapping) error {
		var meta setMeta
		if json.Unmarshal(m.header.Meta, &meta) != nil {
			return errDamaged
		}
		invalid = meta.Invalid
		return s.view(m)
	}, func() (any, []named, error) {
		records, err := load()
		if err != nil {
			return nil, nil, err
		}
		return build(ctx, records, f, progress)
	})
	if err != nil {
		return nil, nil, err
	}
	return s, invalid, nil
}

// view points the set's arrays at the sections of m. It returns errDamaged unless every molecule can be read.
func (s *Set) view(m *mapping) error {
	var errs [6]error
	s.atomPtr, errs[0] = viewAs[uint64](m.sections["atomPtr"])
	s.rowPtr, errs[1] = viewAs[uint32](m.sections["rowPtr"])
	s.nbr, errs[2] = viewAs[uint16](m.sections["nbr"])
	s.line, errs[3] = viewAs[int32](m.sections["line"])
	s.smilesPtr, errs[4] = viewAs[uint64](m.sections["smilesPtr"])
	s.atom, s.bond, s.text = m.sections["atom"], m.sections["bond"], m.sections["text"]
	fields := len(s.features.AtomFields)
	switch {
	case errors.Join(errs[:]...) != nil,
		!ascending(s.atomPtr, len(s.line), len(s.rowPtr)-1),
		!ascending(s.rowPtr, len(s.atom)/fields, len(s.nbr)),
		!ascending(s.smilesPtr, len(s.line), len(s.text)),
		len(s.atom)%fields != 0, len(s.bond) != len(s.nbr):
		return errDamaged
	}
	for i := range s.line {
		g := s.Graph(i)
		for _, v := range g.Nbr {
			if int(v) >= g.Atoms {
				return errDamaged
			}
		}
	}
	codes := s.features.BondCodes()
	for _, b := range s.bond {
		if int(b) >= codes {
			return errDamaged
		}
	}
	for at := 0; at < len(s.atom); at += fields {
		for j, n := range s.features.AtomFields {
			if int(s.atom[at+j]) >= n {
				return errDamaged
			}
		}
	}
	return nil
}

// ascending reports whether ptr delimits n ranges of an array of the given length.
func ascending[T uint32 | uint64](ptr []T, n, length int) bool {
	return len(ptr) == n+1 && ptr[0] == 0 && ptr[n] == T(length) && slices.IsSorted(ptr)
}

func build(ctx context.Context, records []Record, f Features, progress func(done, total int)) (any, []named, error) {
	smiles := make([]string, len(records))
	for i, r := range records {
		smiles[i] = strings.TrimSpace(r.SMILES)
	}
	parts := make([]featurised, (len(records)+chunk-1)/chunk)
	err := inChunks(ctx, len(records), progress, func(lo, hi int) error {
		parts[lo/chunk] = featurise(smiles[lo:hi], f)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	s := Set{atomPtr: []uint64{0}, rowPtr: []uint32{0}, smilesPtr: []uint64{0}}
	meta := setMeta{Invalid: []Invalid{}}
	for c, p := range parts {
		s.atom, s.nbr, s.bond = append(s.atom, p.atom...), append(s.nbr, p.nbr...), append(s.bond, p.bond...)
		if len(s.nbr) > math.MaxUint32 {
			return nil, nil, errors.New("molecule: an input of more than 2^32 bonds; split it into several")
		}
		for _, d := range p.degree {
			s.rowPtr = append(s.rowPtr, s.rowPtr[len(s.rowPtr)-1]+uint32(d))
		}
		for i, ok := range p.ok {
			r := records[c*chunk+i]
			if ok == 0 {
				meta.Invalid = append(meta.Invalid, Invalid{r.Line, r.SMILES, p.reason[i]})
				continue
			}
			s.atomPtr = append(s.atomPtr, s.atomPtr[len(s.atomPtr)-1]+uint64(p.atoms[i]))
			s.line = append(s.line, int32(r.Line))
			s.text = append(s.text, smiles[c*chunk+i]...)
			s.smilesPtr = append(s.smilesPtr, uint64(len(s.text)))
		}
	}
	return meta, []named{
		{"atomPtr", bytesOf(s.atomPtr)}, {"rowPtr", bytesOf(s.rowPtr)}, {"atom", s.atom}, {"nbr", bytesOf(s.nbr)}, {"bond", s.bond},
		{"line", bytesOf(s.line)}, {"text", s.text}, {"smilesPtr", bytesOf(s.smilesPtr)},
	}, nil
}

// Len returns the number of molecules.
func (s *Set) Len() int { return len(s.line) }

// Features returns the feature set.
func (s *Set) Features() Features { return s.features }

// Key identifies the content of the set.
func (s *Set) Key() string { return s.key }

// SMILES returns the i-th molecule as the input wrote it.
func (s *Set) SMILES(i int) string { return string(s.text[s.smilesPtr[i]:s.smilesPtr[i+1]]) }

// Line returns the i-th molecule's line in the input.
func (s *Set) Line(i int) int { return int(s.line[i]) }

// Atoms returns the number of atoms of all molecules.
func (s *Set) Atoms() int { return int(s.atomPtr[len(s.atomPtr)-1]) }

// Graph views the i-th molecule.
func (s *Set) Graph(i int) Graph {
	lo, hi := s.atomPtr[i], s.atomPtr[i+1]
	e0, e1 := s.rowPtr[lo], s.rowPtr[hi]
	f := uint64(len(s.features.AtomFields))
	return Graph{Atoms: int(hi - lo), Atom: s.atom[lo*f : hi*f], RowPtr: s.rowPtr[lo : hi+1], Nbr: s.nbr[e0:e1], Bond: s.bond[e0:e1]}
}

// Close unmaps the cache. Graphs of the set must not be used afterwards.
func (s *Set) Close() error { return s.m.close() }
