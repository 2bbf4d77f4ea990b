package gputest

import (
	"errors"
	"testing"

	"tapweight/gpu"
)

// testMemory covers residency: allocation, views, transfers, counts and the error of an allocation that is too large.
func testMemory(t *testing.T, b gpu.Backend) {
	elem := b.Info().FloatBytes
	for _, n := range []int{0, 1, 17, 100_003} {
		buf, err := b.Alloc(n, elem)
		if err != nil {
			t.Fatalf("%d elements: %v", n, err)
		}
		if buf.Addr()%64 != 0 || buf.Len() != n || buf.ElemBytes() != elem {
			t.Errorf("%d elements: address %#x, %d elements of %d bytes", n, buf.Addr(), buf.Len(), buf.ElemBytes())
		}
		src, got := make([]float64, n), make([]float64, n)
		for i := range src {
			src[i] = float64(i)
		}
		before := b.Stats()
		b.Upload(buf, src)
		if err := b.Download(got, buf); err != nil {
			t.Fatal(err)
		}
		if err := sameBits(got, src); err != nil {
			t.Errorf("%d elements: round trip: %v", n, err)
		}
		after := b.Stats()
		if after.Uploads != before.Uploads+1 || after.Downloads != before.Downloads+1 ||
			after.UploadBytes != before.UploadBytes+int64(n*elem) || after.DownloadBytes != before.DownloadBytes+int64(n*elem) {
			t.Errorf("%d elements: counts went from %+v to %+v", n, before, after)
		}
		view := buf.Slice(n/3, n/2)
		b.Fill(view, -1)
		if s := b.Stats(); s.Launches != after.Launches+1 {
			t.Errorf("one operation was counted as %d", s.Launches-after.Launches)
		}
		for i := n / 3; i < n/2; i++ {
			src[i] = -1
		}
		if err := b.Download(got, buf); err != nil {
			t.Fatal(err)
		}
		if err := sameBits(got, src); err != nil {
			t.Errorf("%d elements: after filling a view: %v", n, err)
		}
		b.Free(buf)
	}
	a, err1 := b.Alloc(1000, elem)
	c, err2 := b.Alloc(1000, 4)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if lo, hi := min(a.Addr(), c.Addr()), max(a.Addr(), c.Addr()); hi-lo < 4000 {
		t.Errorf("buffers at %#x and %#x overlap", a.Addr(), c.Addr())
	}
	b.Free(a)
	b.Free(c)
	if _, err := b.Alloc(1<<50, elem); !errors.Is(err, gpu.ErrOutOfMemory) {
		t.Errorf("an allocation of 2^50 elements gave %v, want gpu.ErrOutOfMemory", err)
	}
	syncs := b.Stats().Syncs
	if err := b.Sync(); err != nil || b.Stats().Syncs != syncs+1 {
		t.Errorf("sync: error %v, %d counted", err, b.Stats().Syncs-syncs)
	}
}
