package cuda

import (
	"fmt"
	"strings"

	"tapweight/gpu"
	kernels "tapweight/kernels/cuda"
)

// Found is what there is to run on.
type Found struct {
	Library string // the driver's file, or why there is none
	Driver  int    // CUDA version that it supports, 12090 for 12.9; 0 without a driver
	Cards   []Card
	Err     error  // of asking the driver
	BLAS    string // cuBLAS: its file and version, or why there is none
}

// Card is what the driver says about a device.
type Card struct {
	Name         string
	Major, Minor int   // compute capability
	Processors   int   // streaming multiprocessors
	Memory       int64 // bytes in all
	Shared       int   // most bytes of shared memory per block
}

// Kernels says which of the embedded kernels the card runs.
func (c Card) Kernels() string {
	arch := kernels.Images(c.Major, c.Minor)[0].Arch
	if strings.HasPrefix(arch, "compute") {
		arch += " (compiled by the driver)"
	}
	return arch
}

func (c Card) String() string {
	return fmt.Sprintf("%s, capability %d.%d, %d multiprocessors, %.1f GiB, kernels %s", c.Name, c.Major, c.Minor, c.Processors, float64(c.Memory)/(1<<30), c.Kernels())
}

// unavailable is why there is no device to open. errors.Is finds gpu.ErrUnsupported in it.
type unavailable string

func (u unavailable) Error() string { return "no CUDA device: " + string(u) }

func (u unavailable) Unwrap() error { return gpu.ErrUnsupported }
