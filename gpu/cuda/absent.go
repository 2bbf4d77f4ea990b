//go:build !cuda

// Package cuda is the NVIDIA device; see the files with build tag cuda. This build has none.
package cuda

import (
	"fmt"

	"tapweight/gpu"
)

// Built says whether this program can drive NVIDIA GPUs.
const Built = false

// Open fails: this program was built without CUDA.
func Open(int) (gpu.Backend, error) {
	return nil, fmt.Errorf("gpu/cuda: this program was built without CUDA; build it with: make cuda: %w", gpu.ErrUnsupported)
}

// Describe says why there is no device.
func Describe() []string { return []string{"built without CUDA (make cuda builds with it)"} }
