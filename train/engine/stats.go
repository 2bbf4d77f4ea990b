package engine

import (
	"sort"

	"golang.org/x/sys/unix"
)

// median returns the median and the range of values.
func median(v []float64) (m, spread float64) {
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	return s[len(s)/2], s[len(s)-1] - s[0]
}

// peakBytes returns the largest resident size of the process so far.
func peakBytes() int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Maxrss << 10
}
