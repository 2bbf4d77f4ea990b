// Package batch carries what a step needs from the host to the device: all integers of a batch in one upload and all
// floats in another.
//
// The loader appends arrays to a [Host] and keeps the references it gets; after [Host.Upload] the same references name
// device buffers.
package batch

import "tapweight/gpu"

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
	ints, floats gpu.Buffer
	intCap       gpu.Buffer
	floatCap     gpu.Buffer
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
	if err := reserve(d.b, &d.intCap, len(h.ints), 4); err != nil {
		return err
	}
	if err := reserve(d.b, &d.floatCap, len(h.floats), d.b.Info().FloatBytes); err != nil {
		return err
	}
	d.ints, d.floats = d.intCap.Slice(0, len(h.ints)), d.floatCap.Slice(0, len(h.floats))
	d.b.UploadInts(d.ints, h.ints)
	d.b.Upload(d.floats, h.floats)
	return nil
}

// reserve grows a buffer to at least n elements, by half as much again so that batches of varying size settle quickly.
func reserve(b gpu.Backend, buf *gpu.Buffer, n, elem int) error {
	if buf.Len() >= n && !buf.IsNil() {
		return nil
	}
	grown, err := b.Alloc(n+n/2+gpu.RowAlign, elem)
	if err != nil {
		return err
	}
	if !buf.IsNil() {
		if err := b.Sync(); err != nil { // queued work may still read the old memory
			return err
		}
		b.Free(*buf)
	}
	*buf = grown
	return nil
}

// Ints returns the device buffer of an array.
func (d *Device) Ints(r Ints) gpu.Buffer { return d.ints.Slice(r.off, r.off+r.n) }

// Floats returns the device buffer of an array.
func (d *Device) Floats(r Floats) gpu.Buffer { return d.floats.Slice(r.off, r.off+r.n) }

// Close frees the device memory.
func (d *Device) Close() {
	for _, buf := range []*gpu.Buffer{&d.intCap, &d.floatCap} {
		if !buf.IsNil() {
			d.b.Free(*buf)
			*buf = gpu.Buffer{}
		}
	}
}

// HostInts views an array before it is uploaded.
func (h *Host) HostInts(r Ints) []int32 { return h.ints[r.off : r.off+r.n] }
