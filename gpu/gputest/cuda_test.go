//go:build cuda

package gputest_test

import (
	"os"
	"testing"

	"tapweight/gpu/cuda"
	"tapweight/gpu/gputest"
)

// TestCUDA needs a driver with a device, or a stand-in for one in TAPWEIGHT_LIBCUDA. With TAPWEIGHT_REQUIRE=cuda it fails without.
func TestCUDA(t *testing.T) {
	b, err := cuda.Open(0)
	if err != nil {
		if os.Getenv("TAPWEIGHT_REQUIRE") == "cuda" {
			t.Fatal(err)
		}
		t.Skip("cuda: " + err.Error())
	}
	gputest.RunAll(t, b)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
