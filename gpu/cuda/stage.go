//go:build cuda

package cuda

import (
	"fmt"
	"unsafe"

	"gorgonia.org/cu"

	"tapweight/gpu"
)

// slot is page-locked memory that transfers go through.
type slot struct {
	mem   unsafe.Pointer
	bytes int
	event cu.Event // recorded behind the copy from the slot
	made  bool
	busy  bool // a copy was queued since the last wait
}

const (
	stageSlots = 8       // uploads that may be under way
	stageBytes = 8 << 20 // the most that one takes; larger ones go in parts
)

// target is an allocation that was uploaded to.
type target struct {
	lo, hi uintptr
	used   int64 // the last flush that may read or write it since the last upload, 0 for none
}

// Upload rounds src to float32.
func (b *Backend) Upload(dst gpu.Buffer, src []float64) {
	if !(len(src) == dst.Len() && (len(src) == 0 || dst.ElemBytes() == 4)) {
		refuse("upload of %d floats to %d elements of %d bytes", len(src), dst.Len(), dst.ElemBytes())
	}
	b.upload(dst.Addr(), nil, src)
}

// UploadInts copies integers in.
func (b *Backend) UploadInts(dst gpu.Buffer, src []int32) {
	if !(len(src) == dst.Len() && (len(src) == 0 || dst.ElemBytes() == 4)) {
		refuse("upload of %d integers to %d elements of %d bytes", len(src), dst.Len(), dst.ElemBytes())
	}
	b.upload(dst.Addr(), src, nil)
}

// UploadBatch copies both in with one transfer.
func (b *Backend) UploadBatch(ints gpu.Buffer, i []int32, floats gpu.Buffer, f []float64) {
	if !(len(i) == ints.Len() && len(f) == floats.Len() && (len(f) == 0 || floats.Addr() == ints.Addr()+uintptr(4*len(i)))) {
		refuse("upload of %d integers and %d floats to %d elements at %#x and %d at %#x", len(i), len(f), ints.Len(), ints.Addr(), floats.Len(), floats.Addr())
	}
	b.upload(ints.Addr(), i, f)
}

// upload writes the integers and then the floats to page-locked memory and queues the copy on its own stream. The copy waits
// for the last flush that uses the destination; if launches that are still in the list use it, the list is flushed first.
func (b *Backend) upload(dst uintptr, i []int32, f []float64) {
	n := len(i) + len(f)
	b.stats.Uploads++
	b.stats.UploadBytes += int64(4 * n)
	if n == 0 || b.dead() {
		return
	}
	t := b.target(dst)
	if b.listed(t) {
		b.flush()
	}
	for n > 0 {
		part := min(n, stageBytes/4)
		s := b.stage(4 * part)
		if s == nil {
			return
		}
		ints := min(part, len(i))
		copy(unsafe.Slice((*int32)(s.mem), part), i[:ints])
		round(unsafe.Slice((*float32)(s.mem), part)[ints:], f)
		b.own.jobs <- job{do: (*owner).upload, slot: s, addr: dst, bytes: 4 * part, after: t.used}
		s.busy = true
		t.used = 0 // what follows on the stream of copies is behind this one
		i, f = i[ints:], f[part-ints:]
		dst += uintptr(4 * part)
		n -= part
	}
}

func round(dst []float32, src []float64) {
	for i := range dst {
		dst[i] = float32(src[i])
	}
}

// stage returns a free slot of at least n bytes, nil if the device is dead.
func (b *Backend) stage(n int) *slot {
	s := &b.slots[b.slot]
	b.slot = (b.slot + 1) % stageSlots
	if s.busy {
		b.work.Waits++
		if b.call(job{do: (*owner).await, slot: s}) != nil {
			return nil
		}
		s.busy = false
	}
	if !b.reserve(s, n) {
		return nil
	}
	return s
}

// reserve grows a slot to n bytes, to a power of two so that batches of varying size settle quickly.
func (b *Backend) reserve(s *slot, n int) bool {
	if s.bytes >= n {
		return true
	}
	size := 64 << 10
	for size < n {
		size *= 2
	}
	if err := b.call(job{do: (*owner).pin, slot: s, bytes: size}); err != nil {
		b.fail(err)
		return false
	}
	return true
}

// target returns the record of the allocation that an upload goes to.
func (b *Backend) target(addr uintptr) *target {
	for _, t := range b.targets {
		if t.lo <= addr && addr < t.hi {
			return t
		}
	}
	for lo, n := range b.blocks {
		if lo <= addr && addr < lo+uintptr(n) {
			t := &target{lo: lo, hi: lo + uintptr(n), used: b.seq} // it was not watched until now: any flush may have used it
			b.targets = append(b.targets, t)
			return t
		}
	}
	panic(fmt.Sprintf("gpu/cuda: upload to %#x, which is not allocated", addr))
}

// listed says whether a launch that is not flushed yet is given a pointer into an allocation.
func (b *Backend) listed(t *target) bool {
	for _, w := range b.list.words() {
		if uintptr(w)-t.lo < t.hi-t.lo {
			return true
		}
	}
	return false
}

// Download waits for queued work and widens float32.
func (b *Backend) Download(dst []float64, src gpu.Buffer) error {
	if !(len(dst) == src.Len() && (len(dst) == 0 || src.ElemBytes() == 4)) {
		refuse("download of %d elements of %d bytes to %d floats", src.Len(), src.ElemBytes(), len(dst))
	}
	b.stats.Downloads++
	b.stats.DownloadBytes += int64(4 * len(dst))
	b.flush()
	if len(dst) == 0 {
		return b.call(job{do: (*owner).wait})
	}
	for at := 0; at < len(dst); {
		part := min(len(dst)-at, stageBytes/4)
		if err := b.fetch(dst[at:at+part], src.Addr()+uintptr(4*at)); err != nil {
			return err
		}
		at += part
	}
	return nil
}

func (b *Backend) fetch(dst []float64, addr uintptr) error {
	if b.reserve(&b.down, 4*len(dst)) {
		b.work.Waits++
		if err := b.call(job{do: (*owner).download, slot: &b.down, addr: addr, bytes: 4 * len(dst)}); err != nil {
			return err
		}
		for i, v := range unsafe.Slice((*float32)(b.down.mem), len(dst)) {
			dst[i] = float64(v)
		}
		return nil
	}
	return b.call(job{do: (*owner).wait}) // the error
}
