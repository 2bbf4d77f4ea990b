// Package molecule turns SMILES into integer graphs by RDKit, once, into a memory-mapped cache.
//
// [Open] returns the featurised [Set] of an input; [Set.Graph] views one molecule without copying. Properties that only
// some objectives or splits need (scaffolds, fingerprints, functional groups, clusters) are computed on demand and cached
// beside the set. All of it is a pure function of the input, whatever the number of threads.
package molecule

/*
#cgo CXXFLAGS: -std=c++17 -O2 -I/usr/include/rdkit -Wno-deprecated-declarations
#cgo LDFLAGS: -lRDKitDescriptors -lRDKitFingerprints -lRDKitChemTransforms -lRDKitSmilesParse -lRDKitSubstructMatch -lRDKitGraphMol -lRDKitDataStructs -lRDKitRDGeneral
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"context"
	_ "embed"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
)

// RDKitVersion returns the version of the RDKit library in use.
func RDKitVersion() string { return C.GoString(C.tw_rdkit_version()) }

// chunk is how many molecules one call into RDKit takes: long enough to hide the call, short enough to balance threads.
const chunk = 256

// packed is a list of SMILES in C's layout.
type packed struct {
	text   []byte
	offset []int64
}

func pack(smiles []string) packed {
	p := packed{offset: make([]int64, 1, len(smiles)+1)}
	for _, s := range smiles {
		p.text = append(p.text, s...)
		p.offset = append(p.offset, int64(len(p.text)))
	}
	p.text = append(p.text, 0)
	return p
}

func (p packed) args() (*C.char, *C.int64_t, C.int32_t) {
	return (*C.char)(unsafe.Pointer(&p.text[0])), (*C.int64_t)(unsafe.Pointer(&p.offset[0])), C.int32_t(len(p.offset) - 1)
}

// inChunks calls work for every chunk of n items on all cores, in any order, and reports progress. It stops early when ctx
// is done.
func inChunks(ctx context.Context, n int, progress func(done, total int), work func(lo, hi int) error) error {
	var next, done atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range runtime.GOMAXPROCS(0) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				lo := int(next.Add(chunk)) - chunk
				if lo >= n {
					return
				}
				err := ctx.Err()
				hi := min(lo+chunk, n)
				if err == nil {
					err = work(lo, hi)
				}
				mu.Lock()
				if err != nil && failed == nil {
					failed = err
				}
				stop := failed != nil
				if d := int(done.Add(int64(hi - lo))); progress != nil && !stop {
					progress(d, n)
				}
				mu.Unlock()
				if stop {
					return
				}
			}
		}()
	}
	wg.Wait()
	return failed
}

// featurised is a chunk of molecules.
type featurised struct {
	ok           []uint8
	atoms, edges []uint32
	atom         []uint8
	degree, nbr  []uint16
	bond         []uint8 // codes
	reason       []string
}

func clone[T any](p unsafe.Pointer, n int) []T {
	return append([]T(nil), unsafe.Slice((*T)(p), n)...)
}

func featurise(smiles []string, f Features) featurised {
	p := pack(smiles)
	text, offset, n := p.args()
	ogb := C.int(0)
	if f.Name == "ogb" {
		ogb = 1
	}
	b := C.tw_featurize(text, offset, n, ogb)
	defer C.tw_mol_batch_free(b)
	runtime.KeepAlive(p)
	atoms, edges, m := int(b.total_atoms), int(b.total_edges), int(b.n)
	out := featurised{
		ok: clone[uint8](unsafe.Pointer(b.ok), m), atoms: clone[uint32](unsafe.Pointer(b.atoms), m), edges: clone[uint32](unsafe.Pointer(b.edges), m),
		atom: clone[uint8](unsafe.Pointer(b.atom), atoms*len(f.AtomFields)), degree: clone[uint16](unsafe.Pointer(b.degree), atoms),
		nbr: clone[uint16](unsafe.Pointer(b.nbr), edges), bond: make([]uint8, edges), reason: make([]string, m),
	}
	fields := len(f.BondFields)
	raw := unsafe.Slice((*uint8)(unsafe.Pointer(b.bond)), edges*fields)
	for k := range out.bond {
		out.bond[k] = f.BondCode(raw[k*fields : (k+1)*fields])
	}
	for i, e := range unsafe.Slice((**C.char)(unsafe.Pointer(b.error)), m) {
		if e != nil {
			out.reason[i] = C.GoString(e)
		}
	}
	return out
}

// parseOnly runs RDKit's parser alone and returns the number of molecules it accepts.
func parseOnly(smiles []string) int {
	p := pack(smiles)
	text, offset, n := p.args()
	defer runtime.KeepAlive(p)
	return int(C.tw_parse(text, offset, n))
}

// Kinds of tw_strings.
const (
	scaffoldKind  = 0
	canonicalKind = 1
)

func textProperty(smiles []string, kind int) []string {
	p := pack(smiles)
	text, offset, n := p.args()
	s := C.tw_strings(text, offset, n, C.int(kind))
	defer C.free(unsafe.Pointer(s))
	runtime.KeepAlive(p)
	return strings.Split(C.GoString(s), "\n")[:len(smiles)]
}

// fingerprintWords is the length of a 2048-bit fingerprint.
const fingerprintWords = 32

func morgan(smiles []string) []uint64 {
	p := pack(smiles)
	text, offset, n := p.args()
	out := make([]uint64, len(smiles)*fingerprintWords)
	C.tw_morgan(text, offset, n, (*C.uint64_t)(unsafe.Pointer(&out[0])))
	runtime.KeepAlive(p)
	return out
}

//go:embed motifs.tsv
var motifTable string

var motifNames, motifPatterns = func() (names, patterns []string) {
	for _, line := range strings.Split(motifTable, "\n") {
		if name, pattern, ok := strings.Cut(line, "\t"); ok && line[0] != '#' {
			names, patterns = append(names, name), append(patterns, pattern)
		}
	}
	return names, patterns
}()

// MotifNames lists RDKit's functional groups, in the order of the bits of Motifs.
func MotifNames() []string { return motifNames }

func motifWords() int { return (len(motifNames) + 63) / 64 }

func motifs(smiles []string) ([]uint64, error) {
	p := pack(smiles)
	text, offset, n := p.args()
	out := make([]uint64, len(smiles)*motifWords())
	patterns := C.CString(strings.Join(motifPatterns, "\n"))
	defer C.free(unsafe.Pointer(patterns))
	bad := C.tw_motifs(text, offset, n, patterns, C.int(motifWords()), (*C.uint64_t)(unsafe.Pointer(&out[0])))
	runtime.KeepAlive(p)
	if bad > 0 {
		return nil, fmt.Errorf("molecule: RDKit cannot read the pattern of %s", motifNames[bad-1])
	}
	return out, nil
}
