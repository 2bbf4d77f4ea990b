//go:build cuda

package gputest_test

import (
	"testing"

	"tapweight/gpu/cuda"
	"tapweight/gpu/gputest"
)

// TestCUDA needs a driver with a device, or a stand-in for one in TAPWEIGHT_LIBCUDA.
func TestCUDA(t *testing.T) {
	gputest.RunAll(t, gputest.Open(t, "cuda", func() (*cuda.Backend, error) { return cuda.Open(0) }))
}
