package molecule

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
)

const (
	fingerprintBits = 64 * fingerprintWords
	lloydSteps      = 10
	// flatClusters is the largest number of clusters found by one k-means; more are found in two levels.
	flatClusters = 128
)

// Clusters returns the k-means cluster of each molecule's fingerprint and the number of clusters, which is less than k when
// there are fewer distinct fingerprints or a cluster ran empty. It takes ten steps of Lloyd's algorithm from k-means++ starts
// (Arthur and Vassilvitskii 2007). Above 128 clusters it works in two levels, about √k clusters that are clustered again,
// which takes n√k instead of nk distances. Clusters are numbered by first appearance. The result depends on the set, k and
// the seed only.
func Clusters(s *Set, k int, seed uint64) ([]int32, int, error) {
	if k < 1 {
		return nil, 0, fmt.Errorf("molecule: %d clusters asked for; at least 1 is needed", k)
	}
	label, err := property(s, fmt.Sprintf("cluster-%d-%d", k, seed), func(data []byte) ([]int32, error) {
		label, err := viewAs[int32](data)
		if err != nil || len(label) != s.Len() || len(label) > 0 && slices.Min(label) < 0 {
			return nil, errDamaged
		}
		return label, nil
	}, func() ([]byte, error) {
		rows, err := Fingerprints(s)
		if err != nil {
			return nil, err
		}
		return bytesOf(cluster(rows, k, seed)), nil
	})
	if err != nil || len(label) == 0 {
		return nil, 0, err
	}
	return label, int(slices.Max(label)) + 1, nil
}

// points are fingerprints, both as words and as the list of the bits that are set.
type points struct {
	words [][]uint64
	on    [][]uint16
}

func onBits(words []uint64) []uint16 {
	var on []uint16
	for w, v := range words {
		for ; v != 0; v &= v - 1 {
			on = append(on, uint16(64*w+bits.TrailingZeros64(v)))
		}
	}
	return on
}

func cluster(rows [][]uint64, k int, seed uint64) []int32 {
	rng := rand.New(rand.NewPCG(seed, uint64(k)))
	p := points{words: rows, on: make([][]uint16, len(rows))}
	all := make([]int, len(rows))
	for i, r := range rows {
		p.on[i], all[i] = onBits(r), i
	}
	label := make([]int32, len(rows))
	if k <= flatClusters {
		p.kmeans(all, k, rng, label)
		return compact(label)
	}
	coarse := int(math.Round(math.Sqrt(float64(k))))
	p.kmeans(all, coarse, rng, label)
	members := make([][]int, coarse)
	for i, l := range label {
		members[l] = append(members[l], i)
	}
	// Each coarse cluster is split into its share of the k by size, at least one. What one cannot use, since it has fewer
	// distinct molecules, goes to those that follow.
	next, seen := int32(0), 0
	fine := make([]int32, len(rows))
	for _, m := range members {
		if len(m) == 0 {
			continue
		}
		seen += len(m)
		share := max(1, int(math.Round(float64(k)*float64(seen)/float64(len(rows))))-int(next))
		used := p.kmeans(m, share, rng, fine)
		for _, i := range m {
			label[i] = next + fine[i]
		}
		next += int32(used)
	}
	return compact(label)
}

// compact renumbers labels without gaps, in order of first appearance.
func compact(label []int32) []int32 {
	index := map[int32]int32{}
	for i, l := range label {
		n, seen := index[l]
		if !seen {
			n = int32(len(index))
			index[l] = n
		}
		label[i] = n
	}
	return label
}

// starts picks up to k points as k-means++ does: each next one with a probability in proportion to its squared distance to
// the nearest start before it. It returns fewer when there are fewer distinct points. Distances between bit sets are
// integers, so that their sums are exact.
func (p points) starts(index []int, k int, rng *rand.Rand) []int {
	if len(index) == 0 {
		return nil
	}
	picked := []int{index[rng.IntN(len(index))]}
	nearest := make([]uint64, len(index))
	for j := range nearest {
		nearest[j] = math.MaxUint64
	}
	for {
		last, total := p.words[picked[len(picked)-1]], uint64(0)
		for j, i := range index {
			if nearest[j] == 0 {
				continue
			}
			d := 0
			for w, v := range p.words[i] {
				d += bits.OnesCount64(v ^ last[w])
			}
			nearest[j] = min(nearest[j], uint64(d))
			total += nearest[j]
		}
		if total == 0 || len(picked) == k {
			return picked
		}
		at := rng.Uint64N(total)
		for j, d := range nearest {
			if at < d {
				picked = append(picked, index[j])
				break
			}
			at -= d
		}
	}
}

// kmeans clusters the given points into at most k, writes label and returns the number of centroids. Sums are integer bit
// counts, so that the order of threads cannot matter.
func (p points) kmeans(index []int, k int, rng *rand.Rand, label []int32) int {
	starts := p.starts(index, k, rng)
	k = len(starts)
	// Centroids are stored by bit: row b holds bit b of every centroid.
	centroid := make([]float32, fingerprintBits*k)
	norm := make([]float32, k)
	for c, i := range starts {
		for _, b := range p.on[i] {
			centroid[int(b)*k+c] = 1
		}
		norm[c] = float32(len(p.on[i]))
	}
	count := make([]int32, fingerprintBits*k)
	size := make([]int32, k)
	next := make([]float64, k)
	for step := range lloydSteps {
		moved := p.assign(index, centroid, norm, label)
		if !moved && step > 0 {
			break
		}
		clear(count)
		clear(size)
		clear(next)
		for _, i := range index {
			c := int(label[i])
			size[c]++
			for _, b := range p.on[i] {
				count[int(b)*k+c]++
			}
		}
		for b := range fingerprintBits {
			for c := range k {
				if size[c] > 0 { // an empty cluster stays where it is
					centroid[b*k+c] = float32(count[b*k+c]) / float32(size[c])
				}
				next[c] += float64(centroid[b*k+c]) * float64(centroid[b*k+c])
			}
		}
		for c := range k {
			norm[c] = float32(next[c])
		}
	}
	return k
}

// assign writes each point's nearest centroid (the first of equals) and reports whether any changed.
func (p points) assign(index []int, centroid, norm []float32, label []int32) bool {
	k := len(norm)
	workers := runtime.GOMAXPROCS(0)
	moved := make([]bool, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			dot := make([]float32, k)
			for _, i := range index[w*len(index)/workers : (w+1)*len(index)/workers] {
				clear(dot)
				for _, b := range p.on[i] {
					row := centroid[int(b)*k:][:len(dot)]
					for c, v := range row {
						dot[c] += v
					}
				}
				best, least := int32(0), float32(math.Inf(1))
				for c, d := range dot { // |x-c|² - |x|² = |c|² - 2<x,c>
					if d := norm[c] - 2*d; d < least {
						best, least = int32(c), d
					}
				}
				if label[i] != best {
					label[i], moved[w] = best, true
				}
			}
		}()
	}
	wg.Wait()
	return slices.Contains(moved, true)
}
