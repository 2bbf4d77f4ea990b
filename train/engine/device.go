package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tapweight/gpu"
	"tapweight/gpu/cpu"
	"tapweight/gpu/cuda"
	"tapweight/gpu/ref"
	"tapweight/train/data"
	"tapweight/train/runlog"
)

// DeviceUsage is the help of a flag whose value is given to OpenDevice.
const DeviceUsage = "auto (cuda where there is a device, otherwise cpu), cpu, cuda, cuda:N (the N-th of several) or ref (float64, slow)"

// checkDevice refuses names that OpenDevice does not know.
func checkDevice(name string) error {
	known := []string{"cuda", "cpu", "auto", "ref"}
	if slices.Contains(known, name) {
		return nil
	}
	number, ok := strings.CutPrefix(name, "cuda:")
	if _, err := strconv.ParseUint(number, 10, 16); ok && err == nil {
		return nil
	}
	nearest := data.Nearest(name, append(known, "gpu"))
	if nearest == "gpu" {
		nearest = "cuda"
	}
	return fmt.Errorf("device %q is not one of auto, cpu, cuda, cuda:N, ref; the nearest is %q", name, nearest)
}

// OpenDevice opens a backend by name. Where auto finds no CUDA device it tells con, unless that is nil, why.
func OpenDevice(name string, threads int, con *runlog.Console) (gpu.Backend, error) {
	if err := checkDevice(name); err != nil {
		return nil, err
	}
	ordinal := 0
	if number, ok := strings.CutPrefix(name, "cuda:"); ok {
		var err error
		if ordinal, err = strconv.Atoi(number); err != nil {
			return nil, err
		}
		name = "cuda"
	}
	switch name {
	case "ref":
		return ref.Open(), nil
	case "cuda":
		return cuda.Open(ordinal)
	case "auto":
		if !cuda.Built {
			break
		}
		b, err := cuda.Open(0)
		if err == nil {
			return b, nil
		}
		if con != nil {
			con.Printf("running on the CPU: %v", err)
		}
	}
	return cpu.Open(threads)
}
