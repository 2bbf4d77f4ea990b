package gputest_test

import (
	"testing"

	"tapweight/gpu/cpu"
	"tapweight/gpu/gputest"
)

func TestCPU(t *testing.T) {
	b, err := cpu.Open(0)
	if err != nil {
		t.Skip("cpu: " + err.Error())
	}
	defer b.Close()
	gputest.RunAll(t, b)
}
