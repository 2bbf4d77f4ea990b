package drivertest

import (
	"regexp"
	"strings"
	"testing"
)

// planted says how each mistake shows: a line of the library's, or "wrong" results.
var planted = map[string]string{
	"off_by_one":             `off_by_one_bad at .*memory\.cu:\d+`,
	"unaligned_load":         `unaligned_load_bad at .*memory\.cu:\d+`,
	"vector_tail":            `vector_tail_bad at .*memory\.cu:\d+`,
	"unsigned_wrap":          `unsigned_wrap_bad at .*memory\.cu:\d+`,
	"uninitialised_global":   `uninitialised_global_bad at .*memory\.cu:\d+`,
	"grid_stride":            "wrong",
	"in_place_shift":         "wrong",
	"row_end":                `row_end_bad at .*memory\.cu:\d+`,
	"missing_barrier":        `missing_barrier_bad at .*block\.cu:\d+`,
	"missing_second_barrier": `missing_second_barrier_bad at .*block\.cu:\d+`,
	"shared_race":            `shared_race_bad at .*block\.cu:\d+`,
	"divergent_barrier":      `divergent_barrier_bad at .*block\.cu:\d+`,
	"missing_syncwarp":       `missing_syncwarp_bad at .*block\.cu:\d+`,
	"tree_sum":               `tree_sum_bad at .*block\.cu:\d+`,
	"uninitialised_shared":   `uninitialised_shared_bad at .*block\.cu:\d+`,
	"inactive_lane":          `inactive_lane_bad at .*block\.cu:\d+`,
	"dynamic_shared":         `dynamic_shared_bad at .*block\.cu:\d+`,
	"last_block":             `last_block_bad at .*block\.cu:\d+`,
	"swapped_fragment":       "wrong",
	"transposed_operand":     "wrong",
	"wrong_wait":             `wrong_wait_bad at .*tensor\.cu:\d+`,
	"stale_buffer":           `stale_buffer_bad at .*tensor\.cu:\d+`,
	"pinned_reuse":           "wrong",
	"missing_wait":           "wrong",
	"early_record":           "wrong",
	"non_blocking":           "wrong",
	"overwritten_input":      "wrong",
	"read_too_early":         "wrong",
	"leak":                   `leak: 400 device bytes made by cuMemAlloc_v2 #\d`,
	"leaked_event":           `leak: event made by cuEventCreate #1`,
	"use_after_free":         `kernel scale|scale at .*stream\.cu:\d+`,
	"double_free":            `cuMemFree_v2 #2: frees an address that is`,
	"free_in_use":            `cuMemFree_v2 #1 frees memory that queued work uses: kernel scale`,
	"no_opt_in":              `kernel through_shared: 60000 bytes of dynamic shared memory, allowed 49152`,
	"too_many_threads":       `kernel iota: 256 threads in a block, made for at most 128`,
	"destroyed_stream":       `cuLaunchKernel #1: the stream is destroyed`,
	"stale_graph":            `scale at .*stream\.cu:\d+`,
}

// Every planted mistake is found in some schedule, and its correct twin is silent in all.
func TestPlanted(t *testing.T) {
	path := program(t, "planted")
	listed := strings.Fields(run(t, path, nil, "list").stdout)
	if len(listed) != len(planted) {
		t.Fatalf("%d cases in the program, %d here", len(listed), len(planted))
	}
	for _, name := range listed {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sign, ok := planted[name]
			if !ok {
				t.Fatal("not listed here")
			}
			found := 0
			for _, s := range schedules {
				if o := run(t, path, s, folder, name, "good"); o.code != 0 || o.faults != "" {
					t.Errorf("%v: the correct twin: %v", s, o)
				}
				o := run(t, path, s, folder, name, "bad")
				if sign == "wrong" && o.code == 1 || sign != "wrong" && regexp.MustCompile(sign).MatchString(o.faults) {
					found++
				} else if o.code != 0 || o.faults != "" {
					t.Errorf("%v: found, but not as it should be: %v", s, o)
				}
			}
			if found == 0 {
				t.Error("not found in any schedule")
			}
			t.Logf("found in %d of %d schedules", found, len(schedules))
		})
	}
}
