// Package profile is a device around another one that times every operation and knows what it should have cost: the engine runs
// unchanged on it and a table says where an iteration's time went and which share of the machine's roof each operation reached.
//
// It waits after every operation, so the sum is a little more than an undisturbed iteration takes.
package profile

import (
	"sort"
	"strconv"
	"strings"
	"time"

	"tapweight/gpu"
	"tapweight/gpu/dry"
	"tapweight/kernels/op"
)

// Backend passes operations on to the device it embeds.
type Backend struct {
	gpu.Backend
	cost    *dry.Backend
	entries map[string]*Entry
}

// Entry is what one kind of operation took and cost. Products are told apart by their shape: rows×inner×columns.
type Entry struct {
	Op    string
	Calls int
	Time  time.Duration
	op.Cost
}

// Wrap returns a profiling device over inner.
func Wrap(inner gpu.Backend) *Backend {
	p := &Backend{Backend: inner, cost: dry.Open(inner.Info().FloatBytes)}
	p.Reset()
	return p
}

// Reset forgets what was measured.
func (p *Backend) Reset() { p.entries = map[string]*Entry{} }

// Entries returns what was measured, longest time first.
func (p *Backend) Entries() []Entry {
	var all []Entry
	for _, e := range p.entries {
		all = append(all, *e)
	}
	sort.Slice(all, func(i, j int) bool {
		if all[i].Time != all[j].Time {
			return all[i].Time > all[j].Time
		}
		return all[i].Op < all[j].Op
	})
	return all
}

// time runs one operation on the device and on the dry one that knows its cost.
func (p *Backend) time(detail string, run func(gpu.Backend)) {
	start := time.Now()
	run(p.Backend)
	err := p.Backend.Sync()
	took := time.Since(start)
	if err != nil {
		return // the device reports it again at the engine's next Sync
	}
	p.cost.Reset()
	run(p.cost)
	for name, c := range p.cost.ByOp() {
		name += detail
		e := p.entries[name]
		if e == nil {
			e = &Entry{Op: name}
			p.entries[name] = e
		}
		e.Calls++
		e.Time += took
		e.Cost = e.Cost.Plus(c.Cost)
	}
}

// Gemm is timed by shape. Batches differ in rows and layers in how many of them are computed, so the largest of the three
// dimensions is written m.
func (p *Backend) Gemm(g gpu.Gemm) {
	inner := g.A.Cols
	if g.TransA {
		inner = g.A.Rows
	}
	shape := []string{strconv.Itoa(g.C.Rows), strconv.Itoa(inner), strconv.Itoa(g.C.Cols)}
	switch max(g.C.Rows, inner, g.C.Cols) {
	case g.C.Rows:
		shape[0] = "m"
	case inner:
		shape[1] = "m"
	default:
		shape[2] = "m"
	}
	p.time(" "+strings.Join(shape, "×"), func(d gpu.Backend) { d.Gemm(g) })
}
