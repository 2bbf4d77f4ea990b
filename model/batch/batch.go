// Package batch carries what a step needs from the host to the device: all integers and floats of a batch in one upload.
//
// The loader appends arrays to a [Host] and keeps the references it gets; after [Host.Upload] the same references name
// device buffers.
package batch

import (
	"hash/fnv"
	"math/rand/v2"

	"tapweight/gpu"
)

// Ints and Floats refer to arrays inside a batch.
type (
	Ints   struct{ off, n int }
	Floats struct{ off, n int }
)

// Len returns the number of elements.
func (r Ints) Len() int { return r.n }

// Len returns the number of elements.
func (r Floats) Len() int { return r.n }

// Host is a batch in host memory. The zero value is empty and ready.
type Host struct {
	ints   []int32
	floats []float64
}

// Reset empties the batch and keeps its memory.
func (h *Host) Reset() { h.ints, h.floats = h.ints[:0], h.floats[:0] }

// Ints appends a copy of v.
func (h *Host) Ints(v []int32) Ints {
	r := Ints{len(h.ints), len(v)}
	h.ints = append(h.ints, v...)
	for len(h.ints)%gpu.RowAlign != 0 {
		h.ints = append(h.ints, 0)
	}
	return r
}

// Floats appends a copy of v.
func (h *Host) Floats(v []float64) Floats {
	r := Floats{len(h.floats), len(v)}
	h.floats = append(h.floats, v...)
	for len(h.floats)%gpu.RowAlign != 0 {
		h.floats = append(h.floats, 0)
	}
	return r
}

// Device is a batch in device memory.
type Device struct {
	b            gpu.Backend
	mem          gpu.Buffer // of 4-byte elements: the integers, then the floats
	ints, floats gpu.Buffer
}

// Micro is one micro-batch: its arrays and what the problem that prepared it needs to find its way among them.
type Micro struct {
	Host   Host
	Detail any
}

// NewDevice returns an empty device batch; it grows to the largest batch it is given and is reused from step to step.
func NewDevice(b gpu.Backend) *Device { return &Device{b: b} }

// Upload copies h to the device.
func (d *Device) Upload(h *Host) error {
	float := d.b.Info().FloatBytes
	// Ints are padded to cache lines, so floats of either size are aligned.
	if err := d.reserve(len(h.ints) + len(h.floats)*float/4); err != nil {
		return err
	}
	d.ints = d.mem.Slice(0, len(h.ints))
	d.floats = gpu.MakeBuffer(d.mem.Addr()+uintptr(4*len(h.ints)), len(h.floats), float)
	d.b.UploadBatch(d.ints, h.ints, d.floats, h.floats)
	return nil
}

// reserve grows the memory to at least n elements, by half as much again so that batches of varying size settle quickly.
func (d *Device) reserve(n int) error {
	if d.mem.Len() >= n && !d.mem.IsNil() {
		return nil
	}
	grown, err := d.b.Alloc(n+n/2+gpu.RowAlign, 4)
	if err != nil {
		return err
	}
	if !d.mem.IsNil() {
		if err := d.b.Sync(); err != nil { // queued work may still read the old memory
			return err
		}
		d.b.Free(d.mem)
	}
	d.mem = grown
	return nil
}

// Ints returns the device buffer of an array.
func (d *Device) Ints(r Ints) gpu.Buffer { return d.ints.Slice(r.off, r.off+r.n) }

// Floats returns the device buffer of an array.
func (d *Device) Floats(r Floats) gpu.Buffer { return d.floats.Slice(r.off, r.off+r.n) }

// Close frees the device memory.
func (d *Device) Close() {
	if !d.mem.IsNil() {
		d.b.Free(d.mem)
		d.mem = gpu.Buffer{}
	}
}

// HostInts views an array before it is uploaded.
func (h *Host) HostInts(r Ints) []int32 { return h.ints[r.off : r.off+r.n] }

// Stream returns the random stream named by what it is for, at a step.
func Stream(seed uint64, step uint32, name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(seed^0x9e3779b97f4a7c15*uint64(step+1), h.Sum64()))
}

// Means returns what the terms of each loss are multiplied with for their mean: 1 by their number over the whole batch, 0 without.
func Means(counts []float64) []float64 {
	scale := make([]float64, len(counts))
	for i, n := range counts {
		if n > 0 {
			scale[i] = 1 / n
		}
	}
	return scale
}
