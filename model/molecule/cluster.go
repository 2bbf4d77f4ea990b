package molecule

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"sync"
)

const (
	fingerprintBits = 64 * fingerprintWords
	lloydSteps      = 10
	// flatClusters is the largest number of clusters found by one k-means; more are found in two levels.
	flatClusters = 128
)

// Clusters returns the k-means cluster of each molecule's fingerprint and the number of clusters, which is less than k when
// there are fewer distinct fingerprints. Above 128 clusters it works in two levels, about √k clusters that are clustered
// again, which takes n√k instead of nk distances. The result depends on the set, k and the seed only.
func Clusters(s *Set, k int, seed uint64) ([]int32, int, error) {
	name := fmt.Sprintf("cluster-%d-%d", k, seed)
	data, err := s.property(name, func() ([]byte, error) {
		rows, err := Fingerprints(s)
		if err != nil {
			return nil, err
		}
		points := make([][]uint16, len(rows))
		for i, r := range rows {
			points[i] = onBits(r)
		}
		return bytesOf(cluster(points, k, seed)), nil
	})
	if err != nil {
		return nil, 0, err
	}
	label, err := viewAs[int32](data)
	n := int32(0)
	for _, l := range label {
		n = max(n, l+1)
	}
	return label, int(n), err
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

func cluster(points [][]uint16, k int, seed uint64) []int32 {
	rng := rand.New(rand.NewPCG(seed, uint64(k)))
	all := make([]int, len(points))
	for i := range all {
		all[i] = i
	}
	label := make([]int32, len(points))
	if k <= flatClusters {
		kmeans(points, all, k, rng, label)
		return compact(label)
	}
	coarse := int(math.Round(math.Sqrt(float64(k))))
	kmeans(points, all, coarse, rng, label)
	members := make([][]int, coarse)
	for i, l := range label {
		members[l] = append(members[l], i)
	}
	// Each coarse cluster gets its share of the k by size, at least one.
	next, seen := int32(0), 0
	fine := make([]int32, len(points))
	for _, m := range members {
		if len(m) == 0 {
			continue
		}
		seen += len(m)
		share := max(1, int(math.Round(float64(k)*float64(seen)/float64(len(points))))-int(next))
		used := kmeans(points, m, share, rng, fine)
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

// kmeans clusters the given points by Lloyd's algorithm from k distinct random points, writes label and returns the number
// of centroids. Sums are integer bit counts, so that the order of threads cannot matter.
func kmeans(points [][]uint16, index []int, k int, rng *rand.Rand, label []int32) int {
	// Centroids are stored by bit: row b holds bit b of every centroid.
	var starts []int
	seen := map[string]bool{}
	for _, p := range rng.Perm(len(index)) {
		key := string(bytesOf(points[index[p]]))
		if !seen[key] {
			seen[key] = true
			starts = append(starts, index[p])
		}
		if len(starts) == k {
			break
		}
	}
	k = len(starts)
	centroid := make([]float32, fingerprintBits*k)
	norm := make([]float32, k)
	for c, i := range starts {
		for _, b := range points[i] {
			centroid[int(b)*k+c] = 1
		}
		norm[c] = float32(len(points[i]))
	}
	count := make([]int32, fingerprintBits*k)
	size := make([]int32, k)
	for range lloydSteps {
		moved := assign(points, index, centroid, norm, k, label)
		if !moved {
			break
		}
		clear(count)
		clear(size)
		for _, i := range index {
			c := int(label[i])
			size[c]++
			for _, b := range points[i] {
				count[int(b)*k+c]++
			}
		}
		next := make([]float64, k)
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
func assign(points [][]uint16, index []int, centroid, norm []float32, k int, label []int32) bool {
	workers := runtime.GOMAXPROCS(0)
	moved := make([]bool, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			dist := make([]float32, k)
			for _, i := range index[w*len(index)/workers : (w+1)*len(index)/workers] {
				copy(dist, norm) // |x-c|² - |x|² = |c|² - 2<x,c>
				for _, b := range points[i] {
					row := centroid[int(b)*k : int(b)*k+k]
					for c, v := range row {
						dist[c] -= 2 * v
					}
				}
				best := int32(0)
				for c, d := range dist {
					if d < dist[best] {
						best = int32(c)
					}
				}
				if label[i] != best {
					label[i], moved[w] = best, true
				}
			}
		}()
	}
	wg.Wait()
	for _, m := range moved {
		if m {
			return true
		}
	}
	return false
}
