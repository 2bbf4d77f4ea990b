package objective

import (
	"errors"
	"hash/fnv"
	"math/rand/v2"

	"tapweight/model/molecule"
)

// Pool is the set of molecules to pretrain on and what objectives may ask about it.
type Pool struct {
	Set  *molecule.Set
	Seed uint64
	// Task holds the downstream task's training labels for pool molecules that are training molecules of the task, NaN
	// elsewhere: [molecule][task]. Only the oracle control looks at it; nil when the pool and the task share no molecule.
	Task           [][]float64
	Classification bool // kind of Task
}

var errNoOverlap = errors.New("no molecule of the pool is a training molecule of the task; give a pool that holds some")

// stream returns the random stream named by what it is for, at a step.
func stream(seed uint64, step uint32, name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(seed^0x9e3779b97f4a7c15*uint64(step+1), h.Sum64()))
}
