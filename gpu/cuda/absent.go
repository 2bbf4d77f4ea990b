//go:build !cuda

package cuda

import "tapweight/gpu"

// Built says whether this program can drive NVIDIA GPUs.
const Built = false

const absent = "this program was built without CUDA; make cuda builds it in"

// Open fails: this program was built without CUDA.
func Open(int) (gpu.Backend, error) { return nil, unavailable(absent) }

// Find says why there is no device.
func Find() Found { return Found{Library: absent} }
