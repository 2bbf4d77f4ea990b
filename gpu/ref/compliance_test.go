package ref_test

import (
	"testing"

	"tapweight/gpu/gputest"
	"tapweight/gpu/ref"
)

func TestCompliance(t *testing.T) { gputest.RunAll(t, ref.Open()) }
