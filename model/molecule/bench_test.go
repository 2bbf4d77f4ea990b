package molecule

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
)

// drugLike returns the SMILES of the demo's ZINC molecules, repeated up to n.
func drugLike(b *testing.B, n int) []string {
	b.Helper()
	raw, err := os.ReadFile("../../train/data/demo/zinc_5k.smi")
	if err != nil {
		b.Fatal(err)
	}
	var smiles []string
	for lines := strings.Fields(string(raw)); len(smiles) < n; {
		smiles = append(smiles, lines...)
	}
	return smiles[:n]
}

func perMolecule(b *testing.B, n int) {
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "mol/s")
}

// BenchmarkParse is RDKit's SmilesToMol alone, on one core; BenchmarkFeaturise parses and writes graph arrays.
func BenchmarkParse(b *testing.B) {
	smiles := drugLike(b, 4*chunk)
	for b.Loop() {
		parseOnly(smiles)
	}
	perMolecule(b, len(smiles))
}

func BenchmarkFeaturise(b *testing.B) {
	smiles := drugLike(b, 4*chunk)
	for _, name := range []string{"hu", "ogb"} {
		f, err := FeaturesByName(name)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				featurise(smiles, f)
			}
			perMolecule(b, len(smiles))
		})
	}
}

// BenchmarkAll featurises on all cores; with -cpu 1,2 it shows how that scales.
func BenchmarkAll(b *testing.B) {
	smiles := drugLike(b, 5000)
	f, err := FeaturesByName("hu")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := build(context.Background(), records(smiles...), f, nil); err != nil {
			b.Fatal(err)
		}
	}
	perMolecule(b, len(smiles))
}

// BenchmarkBuild is a whole first start: all cores, the cache written and synced.
func BenchmarkBuild(b *testing.B) {
	smiles := drugLike(b, 40*chunk)
	f, err := FeaturesByName("hu")
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		s, _, err := Open(context.Background(), b.TempDir(), fmt.Sprint(i), f, func() ([]Record, error) { return records(smiles...), nil }, nil)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
	perMolecule(b, len(smiles))
}

// BenchmarkOpen is a second start with 300 000 molecules.
func BenchmarkOpen(b *testing.B) {
	f, err := FeaturesByName("hu")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	open := func() {
		s, _, err := Open(context.Background(), dir, "k", f, func() ([]Record, error) { return records(drugLike(b, 300_000)...), nil }, nil)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
	open()
	for b.Loop() {
		open()
	}
}

func BenchmarkCluster(b *testing.B) {
	for _, c := range []struct{ n, k int }{{5000, 100}, {5000, 1000}, {50_000, 10_000}} {
		b.Run(fmt.Sprintf("n=%d/k=%d", c.n, c.k), func(b *testing.B) {
			rows, _ := planted(c.n, c.k, 1)
			for b.Loop() {
				cluster(rows, c.k, 1)
			}
		})
	}
}
