package molecule

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// planted returns n fingerprints around k random centres of 50 bits, three bits of each moved, and the centre of each.
func planted(n, k int, seed uint64) (rows [][]uint64, centre []int) {
	rng := rand.New(rand.NewPCG(seed, 0))
	centres := make([][]int, k)
	for c := range centres {
		centres[c] = rng.Perm(fingerprintBits)[:50]
	}
	for range n {
		c := rng.IntN(k)
		row := make([]uint64, fingerprintWords)
		for j, b := range centres[c] {
			if j < 3 {
				b = rng.IntN(fingerprintBits)
			}
			row[b/64] |= 1 << (b % 64)
		}
		rows, centre = append(rows, row), append(centre, c)
	}
	return rows, centre
}

// spread is the sum of squared distances of points to the mean of their cluster, which k-means makes small.
func spread(rows [][]uint64, label []int32) float64 {
	count := map[int32]*[fingerprintBits]float64{}
	size := map[int32]float64{}
	total := 0.0
	for i, l := range label {
		if count[l] == nil {
			count[l] = new([fingerprintBits]float64)
		}
		on := onBits(rows[i])
		for _, b := range on {
			count[l][b]++
		}
		total += float64(len(on))
		size[l]++
	}
	for l, c := range count { // sum |x|² - n |mean|²
		for _, v := range c {
			total -= v * v / size[l]
		}
	}
	return total
}

func TestClustersFindWhatWasPlanted(t *testing.T) {
	rows, centre := planted(2000, 20, 1)
	label := cluster(rows, 20, 7)
	ideal := make([]int32, len(centre))
	for i, c := range centre {
		ideal[i] = int32(c)
	}
	random := slices.Clone(label)
	rand.New(rand.NewPCG(2, 2)).Shuffle(len(random), func(i, j int) { random[i], random[j] = random[j], random[i] })
	best, got, worst := spread(rows, ideal), spread(rows, label), spread(rows, random)
	// A centre missed and its points given to others costs 1/20 of the gap; uniform starts would miss a third of them.
	if !(got <= best+0.15*(worst-best)) {
		t.Errorf("spread %.0f; the planted clusters have %.0f, random ones %.0f", got, best, worst)
	}
}

func TestTwoLevelClusters(t *testing.T) {
	rows, _ := planted(3000, 400, 3)
	label := cluster(rows, 400, 7)
	n := slices.Max(label) + 1
	random := make([]int32, len(label))
	for i := range random {
		random[i] = int32(i % 400)
	}
	if got, worst := spread(rows, label), spread(rows, random); n < 300 || n > 440 || !(got < 0.4*worst) {
		t.Errorf("%d clusters with spread %.0f; random ones have %.0f", n, got, worst)
	}
}

func TestClustersDoNotDependOnThreads(t *testing.T) {
	rows, _ := planted(1500, 60, 5)
	for _, k := range []int{30, 300} {
		var first []int32
		for _, threads := range []int{1, 2, 3, 7} {
			before := runtime.GOMAXPROCS(threads)
			label := cluster(rows, k, 11)
			runtime.GOMAXPROCS(before)
			if first == nil {
				first = label
			}
			if !slices.Equal(first, label) {
				t.Errorf("k = %d: %d threads give other clusters than 1", k, threads)
			}
		}
		if slices.Equal(first, cluster(rows, k, 12)) {
			t.Errorf("k = %d: two seeds give the same clusters", k)
		}
	}
}

func TestClustersOfFewDistinctMolecules(t *testing.T) {
	var r []Record
	for i := range 40 {
		r = append(r, Record{[]string{"CCO", "OCC", "c1ccccc1", "CC(=O)O"}[i%4], i + 1})
	}
	s, _ := mustOpen(t, t.TempDir(), "hu", r)
	for _, k := range []int{3, 100, 1000} {
		label, n, err := Clusters(s, k, 1)
		if err != nil || n != 3 {
			t.Errorf("k = %d: %d clusters of 3 distinct molecules, %v", k, n, err)
		}
		for i, l := range label {
			if want := []int32{0, 0, 1, 2}[i%4]; l != want {
				t.Errorf("k = %d: molecule %d has label %d, want %d", k, i, l, want)
			}
		}
	}
	if _, n, err := Clusters(s, 1, 1); err != nil || n != 1 {
		t.Errorf("one cluster: %d, %v", n, err)
	}
	if _, _, err := Clusters(s, 0, 1); err == nil {
		t.Error("no clusters were accepted")
	}
}
