package drivertest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// expected is what the tests of calls say on stderr when it is not nothing.
var expected = map[string]string{
	"bounds": `^emu: cuMemcpyHtoD_v2 #1: 400 bytes at a device address .*
emu: cuMemcpyDtoH_v2 #1: 8 bytes at a device address .*
emu: cuMemsetD8_v2 #1: 401 bytes at a device address .*
emu: cuMemFree_v2 #1: frees an address that is .*
$`,
	"handles": `^emu: cuStreamSynchronize #1: the stream is destroyed
emu: cuEventRecord #1: the event is destroyed
emu: cuEventDestroy_v2 #2: the event is destroyed
emu: cuStreamQuery #1: not a stream
emu: cuStreamQuery #2: the stream belongs to another context
$`,
	"host_functions": `^emu: cuCtxSynchronize #2: host functions may not call the driver\n$|^emu: cuCtxSynchronize #1: host functions may not call the driver\n$`,
	"modules":        `^emu: cuLaunchKernel #2: the function's module is unloaded\n$`,
	"launches": `^emu: cuLaunchKernel #3: kernel by_value: a grid or block of nothing
emu: cuLaunchKernel #4: kernel by_value: 1025 threads in a block
emu: cuLaunchKernel #5: kernel by_value: no arguments
$`,
	"sticky": `^emu: .* scale at .*stream\.cu:\d+.*\(queued by cuLaunchKernel #1\)\n$`,
}

// The calls behave as the driver API manual says, whatever the schedule.
func TestCalls(t *testing.T) {
	path := program(t, "calls")
	for _, name := range strings.Fields(run(t, path, nil).stdout) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, s := range schedules {
				if name == "two_devices" {
					s = append([]string{"DEVICES=2"}, s...)
				}
				o := run(t, path, s, folder, name)
				want := expected[name]
				if want == "" {
					want = `^$`
				}
				if o.code != 0 || !regexp.MustCompile(want).MatchString(o.faults) {
					t.Errorf("%v: %v", s, o)
				}
			}
		})
	}
}

type report struct {
	Waits     int
	Calls     map[string]int
	Transfers map[string]struct{ Count, Bytes int }
	Kernels   map[string]map[string]int
	Faults    []string
	Leaks     []string
}

func readReport(t *testing.T, path string) report {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return r
}

// The report counts what a run did.
func TestReport(t *testing.T) {
	path := program(t, "calls")
	file := filepath.Join(t.TempDir(), "report.json")
	if o := run(t, path, []string{"REPORT=" + file}, folder, "everything"); o.code != 0 || o.faults != "" || o.stdout != "\n" {
		t.Fatal(o)
	}
	r := readReport(t, file)
	k := r.Kernels["scale"]
	got := fmt.Sprint(r.Calls["cuMemAlloc"], r.Calls["cuGraphLaunch"], r.Transfers["host-to-device"], r.Transfers["device-to-host"], r.Waits,
		k["launches"], k["threads"], k["global_load_bytes"], k["global_store_bytes"], len(r.Faults), len(r.Leaks))
	if want := "2 1 {1 400} {1 400} 4 1 128 400 400 0 0"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if o := run(t, program(t, "planted"), []string{"REPORT=" + file}, folder, "leak", "bad"); o.code != 0 {
		t.Fatal(o)
	}
	if r := readReport(t, file); len(r.Leaks) != 1 || !strings.Contains(r.Leaks[0], "400 device bytes made by cuMemAlloc_v2 #1") {
		t.Errorf("leaks %q", r.Leaks)
	}
}

// Each call of a run fails in turn: the run ends, the error is that call's, and nothing is left behind.
func TestEveryCallFails(t *testing.T) {
	path := program(t, "calls")
	file := filepath.Join(t.TempDir(), "report.json")
	run(t, path, []string{"REPORT=" + file}, folder, "everything")
	calls := readReport(t, file).Calls
	if len(calls) < 20 {
		t.Fatalf("only %v", calls)
	}
	for call, n := range calls {
		for k := 1; k <= n; k++ {
			t.Run(fmt.Sprintf("%s:%d", call, k), func(t *testing.T) {
				t.Parallel()
				o := run(t, path, []string{fmt.Sprintf("FAIL=%s:%d", call, k), "FAIL_CODE=304"}, folder, "everything")
				name, code, _ := strings.Cut(strings.TrimSpace(o.stdout), " ")
				if o.code != 0 || strings.TrimSuffix(name, "_v2") != call && name != call+"_v2" || code != "CUDA_ERROR_OPERATING_SYSTEM" {
					t.Error(o)
				}
				// What the failing call would have made is not there for the calls that follow, and that they may say.
				if strings.Contains(o.faults, "leak") {
					t.Error(o)
				}
			})
		}
	}
}

// A device that is lost stays lost: all that follows returns the error, and what is given back is gone all the same.
func TestDeviceLost(t *testing.T) {
	o := run(t, program(t, "calls"), []string{"FAIL=cuGraphLaunch:1", "FAIL_CODE=719"}, folder, "everything")
	if strings.TrimSpace(o.stdout) != "cuGraphLaunch CUDA_ERROR_LAUNCH_FAILED" || o.faults != "" {
		t.Error(o)
	}
}

// Less memory than a program wants.
func TestOutOfMemory(t *testing.T) {
	o := run(t, program(t, "calls"), []string{"MEMORY=700"}, folder, "everything")
	if strings.TrimSpace(o.stdout) != "cuMemAlloc_v2 CUDA_ERROR_OUT_OF_MEMORY" {
		t.Error(o)
	}
}

// Prototypes and layouts are those of a real cuda.h, when make cuda has fetched one.
func TestHeader(t *testing.T) {
	found, err := filepath.Glob(root + "/build/cuda/venv/lib/python*/site-packages/nvidia/cuda_runtime/include/cuda.h")
	if err != nil || len(found) == 0 {
		t.Skip("SKIPPED: make cuda was not run, so there is no cuda.h and the prototypes were not compared")
	}
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("SKIPPED: no g++")
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	source := "#include \"layout.h\"\n"
	for _, c := range calls(t) {
		// Calls that take nothing are those that only say that they are not supported.
		if c[1] != "" && regexp.MustCompile(`CUDAAPI `+c[0]+`\(`).Match(text) {
			source += fmt.Sprintf("CALL(%s, %s)\n", c[0], c[1])
		}
	}
	if n := strings.Count(source, "CALL("); n < 100 {
		t.Fatalf("only %d prototypes to compare", n)
	}
	file := filepath.Join(t.TempDir(), "layout.cc")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("g++", "-std=c++20", "-fsyntax-only", "-I", folder, "-I", sources, "-I", filepath.Dir(found[0]), file)
	if out, err := build.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
