package objective

import (
	"errors"

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
