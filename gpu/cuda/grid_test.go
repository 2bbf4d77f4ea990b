//go:build cuda

package cuda

import (
	"strings"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/gputest"
)

// narrow is the device with grids of one block, whatever was asked for. It changes launches where they leave the list, and counts
// those that had more.
type narrow struct {
	*Backend
	changed *int
}

func (n narrow) shrink() {
	for i := range n.list.launches {
		grid := &n.list.launches[i].grid
		if grid[0] > 1 {
			*n.changed++
		}
		grid[0] = 1
		if !strings.HasPrefix(n.list.kernels[i].name, "tw_gemm_") { // whose y counts panels
			grid[1], grid[2] = 1, 1
		}
	}
}

func (n narrow) Sync() error {
	n.shrink()
	return n.Backend.Sync()
}

func (n narrow) Download(dst []float64, src gpu.Buffer) error {
	n.shrink()
	return n.Backend.Download(dst, src)
}

func (n narrow) Upload(dst gpu.Buffer, src []float64) {
	n.shrink()
	n.Backend.Upload(dst, src)
}

func (n narrow) UploadInts(dst gpu.Buffer, src []int32) {
	n.shrink()
	n.Backend.UploadInts(dst, src)
}

func (n narrow) Free(b gpu.Buffer) {
	n.shrink()
	n.Backend.Free(b)
}

// TestAnyGrid holds kernels to the same bits on one block as on the grid they are launched with: which element goes into which sum
// depends on shapes alone, and nothing past the end of a grid is left out.
func TestAnyGrid(t *testing.T) {
	b := open(t)
	(*queue)(b).Scratch(64 << 20) // growing, it would flush on its own
	changed := 0
	gputest.Same(t, b, narrow{b, &changed})
	if changed < 500 {
		t.Errorf("only %d launches had more than one block", changed)
	}
}
