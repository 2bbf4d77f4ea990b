package gpu

import "time"

// Marks are the slots of Backend.Mark for devices whose operations are done when they return.
type Marks []time.Time

// Set notes the time in a slot.
func (m *Marks) Set(slot int) {
	for len(*m) <= slot {
		*m = append(*m, time.Time{})
	}
	(*m)[slot] = time.Now()
}

// Elapsed returns the time between two slots.
func (m Marks) Elapsed(from, to int) time.Duration { return m[to].Sub(m[from]) }
