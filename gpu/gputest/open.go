package gputest

import (
	"os"
	"testing"

	"tapweight/gpu"
)

// Open opens a device for a test, which closes it at its end. Where there is none the test is skipped, or fails if the environment
// says TAPWEIGHT_REQUIRE=kind, so that a run on a machine with the device cannot pass on nothing.
//
//	b := gputest.Open(t, "cuda", func() (*cuda.Backend, error) { return cuda.Open(0) })
func Open[B gpu.Backend](t testing.TB, kind string, open func() (B, error)) B {
	t.Helper()
	b, err := open()
	if err != nil {
		if os.Getenv("TAPWEIGHT_REQUIRE") == kind {
			t.Fatal(err)
		}
		t.Skipf("%s: %v", kind, err)
	}
	t.Cleanup(func() {
		for _, time := range []string{"first", "second"} {
			if err := b.Close(); err != nil {
				t.Errorf("closed for the %s time: %v", time, err)
			}
		}
	})
	return b
}
