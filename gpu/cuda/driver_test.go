//go:build cuda

package cuda

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tapweight/gpu"
	kernels "tapweight/kernels/cuda"
)

// TestUnusable opens devices that cannot be used: an error in one line that says what is wrong, nothing kept.
func TestUnusable(t *testing.T) {
	needEmulator(t)
	for name, c := range map[string]struct{ env, want []string }{
		"driver too old":      {[]string{"TAPWEIGHT_EMU_VERSION=11040"}, []string{"no CUDA device", "supports CUDA 11.4", "12.0 or newer is needed"}},
		"no device":           {[]string{"TAPWEIGHT_EMU_DEVICES=0"}, []string{"no CUDA device", "cuInit: CUDA_ERROR_NO_DEVICE"}},
		"a module is refused": {[]string{"TAPWEIGHT_EMU_FAIL=cuModuleLoadDataEx:1", "TAPWEIGHT_EMU_FAIL_CODE=218"}, []string{"cuda:0", "the module of attention kernels", "CUDA_ERROR_INVALID_PTX (218)"}},
		"no memory":           {[]string{"TAPWEIGHT_EMU_MEMORY=1000"}, []string{"cuda:0", "CUDA_ERROR_OUT_OF_MEMORY", "bytes asked for"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, code, r := attempt(t, "exercise", c.env...)
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("lacks %q: %s", want, out)
				}
			}
			if code != 3 || strings.Contains(out, "panic") || strings.Count(strings.TrimSpace(out), "\n") > 0 {
				t.Errorf("status %d: %s", code, out)
			}
			if len(r.Leaks) > 0 {
				t.Errorf("kept: %q", r.Leaks)
			}
		})
	}
}

// TestImages takes PTX where the driver refuses machine code, and says so; an image that is damaged is an error with what the driver
// says of it, after which the device goes on.
func TestImages(t *testing.T) {
	needEmulator(t) // which refuses machine code
	b := open(t)
	if want := "sm_90 (kernels compiled by the driver)"; b.Info().ISA != want {
		t.Errorf("the device is %q, want %q", b.Info().ISA, want)
	}
	whole := kernels.PTX()[0].Data
	for name, image := range map[string][]byte{
		"cut off":     whole[:len(whole)/2],
		"empty":       {},
		"an opcode":   bytes.Replace(whole, []byte("fma.rn.f32"), []byte("fmb.rn.f32"), 1),
		"zeros":       make([]byte, 1000),
		"not a cubin": append([]byte("\x7fELF"), make([]byte, 1000)...),
	} {
		err := b.call(job{do: func(*owner, *job) error {
			_, err := load(image)
			return err
		}})
		if !errors.Is(err, gpu.ErrDevice) || !strings.Contains(err.Error(), "cuModuleLoadDataEx") {
			t.Errorf("%s: %v", name, err)
		}
	}
	x := alloc(t, b, 100)
	b.Fill(x, 2)
	if v := download(t, b, x); v[99] != 2 {
		t.Errorf("afterwards a kernel leaves %v", v[99])
	}
}

// TestTwo works on two devices at a time; what belongs to one is nothing to the other.
func TestTwo(t *testing.T) {
	needEmulator(t)
	out, code, r := attempt(t, "two", "TAPWEIGHT_EMU_DEVICES=2")
	if code != 0 || len(r.Leaks) > 0 || len(r.Faults) != 1 || !strings.Contains(r.Faults[0], "tw_scale") {
		t.Errorf("status %d, kept %q, faults %q: %s", code, r.Leaks, r.Faults, out)
	}
}

// two drives two devices in turns, and at the end gives one the memory of the other.
func two() (err error) {
	var devices [2]*Backend
	var memory [2]gpu.Buffer
	for i := range devices {
		b, err := Open(i)
		if err != nil {
			return err
		}
		defer b.Close()
		if want := fmt.Sprintf("cuda:%d", i); b.Info().Name != want {
			return fmt.Errorf("device %d is %q", i, b.Info().Name)
		}
		if memory[i], err = b.Alloc(1000, 4); err != nil {
			return err
		}
		devices[i] = b
	}
	for i, b := range devices {
		b.Upload(memory[i], constant(1000, float64(i+1)))
	}
	for round := range 5 {
		for i, b := range devices {
			b.Scale(memory[i], 2, gpu.Buffer{})
			b.Mark(round % 2)
		}
	}
	for i, b := range devices {
		v := make([]float64, 1000)
		if err := b.Download(v, memory[i]); err != nil {
			return err
		}
		if want := float64(32 * (i + 1)); !slices.Equal(v, constant(1000, want)) {
			return fmt.Errorf("%s has %v and %v, want %v", b.Info().Name, v[0], v[999], want)
		}
	}
	devices[1].Scale(memory[0], 2, gpu.Buffer{})
	if err := devices[1].Sync(); !errors.Is(err, gpu.ErrDevice) {
		return fmt.Errorf("cuda:1 took memory of cuda:0: %v", err)
	}
	return devices[0].Sync()
}
