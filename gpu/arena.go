package gpu

import (
	"errors"
	"fmt"
	"sort"
)

// Arena hands out pieces of a few large blocks of device memory. What the training loop needs every step is taken from an
// arena and given back, so that a warm loop allocates nothing from the device and sees the same addresses every step.
//
// Pieces are 64-byte aligned. Alloc takes the smallest free span that fits, neighbouring free spans are merged: the
// layout depends only on the sequence of calls. Not safe for concurrent use.
type Arena struct {
	b      Backend
	elem   int
	blocks []Buffer
	free   []span // sorted by address; never adjacent
	live   map[uintptr]int
	used   int // elements handed out
	peak   int
	held   int // elements of all blocks
}

type span struct {
	addr uintptr
	n    int // elements
}

// arenaBlock is the least number of elements by which an arena grows: 16 MiB of float32, a multiple of a huge page.
const arenaBlock = 4 << 20

// NewArena returns an arena for elements of elem bytes with room for n elements; it grows when that does not suffice.
func NewArena(b Backend, n, elem int) (*Arena, error) {
	a := &Arena{b: b, elem: elem, live: map[uintptr]int{}}
	if n > 0 {
		if err := a.grow(n); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *Arena) grow(n int) error {
	buf, err := a.b.Alloc(n, a.elem)
	if err != nil {
		return fmt.Errorf("gpu: arena of %d bytes cannot grow by %d: %w", a.held*a.elem, n*a.elem, err)
	}
	a.blocks = append(a.blocks, buf)
	a.held += n
	a.release(span{buf.addr, n})
	return nil
}

// Reserve has a free piece of n elements ready.
func (a *Arena) Reserve(n int) error {
	for _, s := range a.free {
		if s.n >= n {
			return nil
		}
	}
	return a.grow(PadCols(n))
}

// Alloc returns n uninitialised elements. It panics with an error that wraps ErrOutOfMemory when the device has no more;
// the engine turns that panic into the step's error.
func (a *Arena) Alloc(n int) Buffer {
	need := PadCols(max(n, 1))
	best := -1
	for i, s := range a.free {
		if s.n >= need && (best < 0 || s.n < a.free[best].n) {
			best = i
		}
	}
	if best < 0 {
		err := a.grow(max(need+need/8, arenaBlock))
		if errors.Is(err, ErrOutOfMemory) {
			err = a.grow(need) // without room for what may come
		}
		if err != nil {
			panic(err)
		}
		return a.Alloc(n)
	}
	s := &a.free[best]
	addr := s.addr
	s.addr += uintptr(need * a.elem)
	s.n -= need
	if s.n == 0 {
		a.free = append(a.free[:best], a.free[best+1:]...)
	}
	a.live[addr] = need
	a.used += need
	a.peak = max(a.peak, a.used)
	return Buffer{addr, n, a.elem}
}

// Mat returns an uninitialised rows×cols matrix whose rows start on cache lines.
func (a *Arena) Mat(rows, cols int) Mat {
	ld := PadCols(cols)
	return Mat{a.Alloc(rows * ld), rows, cols, ld}
}

// Free gives a buffer back that Alloc returned; the zero Buffer is ignored.
func (a *Arena) Free(b Buffer) {
	if b.IsNil() {
		return
	}
	n, ok := a.live[b.addr]
	if !ok {
		panic(fmt.Sprintf("gpu: arena: free of %#x, which is not allocated", b.addr))
	}
	delete(a.live, b.addr)
	a.used -= n
	a.release(span{b.addr, n})
}

// release puts a span into the free list and merges it with its neighbours.
func (a *Arena) release(s span) {
	i := sort.Search(len(a.free), func(i int) bool { return a.free[i].addr > s.addr })
	if i < len(a.free) && s.addr+uintptr(s.n*a.elem) == a.free[i].addr {
		s.n += a.free[i].n
		a.free = append(a.free[:i], a.free[i+1:]...)
	}
	if i > 0 && a.free[i-1].addr+uintptr(a.free[i-1].n*a.elem) == s.addr {
		a.free[i-1].n += s.n
		return
	}
	a.free = append(a.free, span{})
	copy(a.free[i+1:], a.free[i:])
	a.free[i] = s
}

// PeakBytes returns the most bytes that were handed out at one time.
func (a *Arena) PeakBytes() int64 { return int64(a.peak) * int64(a.elem) }

// Close returns the blocks to the device. Buffers from this arena must not be used afterwards.
func (a *Arena) Close() {
	for _, b := range a.blocks {
		a.b.Free(b)
	}
	*a = Arena{b: a.b, elem: a.elem, live: map[uintptr]int{}}
}
