//go:build cuda

package engine

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tapweight/gpu/cuda"
	"tapweight/gpu/gputest"
)

func needCUDA(t *testing.T) {
	t.Helper()
	gputest.Open(t, "cuda", func() (*cuda.Backend, error) { return cuda.Open(0) })
}

// needEmulator skips where faults cannot be injected.
func needEmulator(t *testing.T) {
	t.Helper()
	needCUDA(t)
	if !strings.Contains(os.Getenv("TAPWEIGHT_LIBCUDA"), "emu") {
		t.Skip("cuda: faults are injected through the stand-in driver")
	}
}

// runOn runs or resumes the folder on a device in a process of its own, which is killed once the log has so many lines if kill
// is not negative.
func runOn(t *testing.T, dir, device string, kill int, env ...string) (stderr string, ok bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(append(os.Environ(), "TAPWEIGHT_TEST_RUN="+dir, "TAPWEIGHT_TEST_CACHE="+cache, "TAPWEIGHT_TEST_DEVICE="+device), env...)
	var text bytes.Buffer
	cmd.Stderr = &text
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	deadline := time.After(5 * time.Minute)
	for {
		select {
		case err := <-done:
			return text.String(), err == nil
		case <-deadline:
			_ = cmd.Process.Kill()
			<-done
			t.Fatalf("%s on %s did not end", dir, device)
		case <-time.After(time.Millisecond):
			if kill >= 0 && lines(dir) >= kill {
				_ = cmd.Process.Kill()
				<-done
				return "killed", false
			}
		}
	}
}

// TestCUDAKillAndResume kills a run on the device and goes on: the same bits as without.
func TestCUDAKillAndResume(t *testing.T) {
	needCUDA(t)
	straight, killed := filepath.Join(t.TempDir(), "straight"), filepath.Join(t.TempDir(), "killed")
	if text, ok := runOn(t, straight, "cuda", -1); !ok {
		t.Fatal(text)
	}
	for _, at := range []int{2, 5, -1} {
		if text, ok := runOn(t, killed, "cuda", at); !ok && text != "killed" {
			t.Fatal(text)
		}
	}
	if trace(t, killed) != trace(t, straight) {
		t.Error("the run that was killed twice differs from the straight one")
	}
}

// TestCUDAHandOver begins a run on the CPU, goes on on the device and ends on the CPU.
func TestCUDAHandOver(t *testing.T) {
	needCUDA(t)
	dir := filepath.Join(t.TempDir(), "run")
	for _, part := range []struct {
		device string
		lines  int
	}{{"cpu", 2}, {"cuda", 5}, {"cpu", -1}} {
		if text, ok := runOn(t, dir, part.device, part.lines); !ok && text != "killed" {
			t.Fatal(text)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "log.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"device cpu", "device cuda:0", "going on at"} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("the log lacks %q:\n%s", want, raw)
		}
	}
}

// TestCUDASecond runs on the second of two devices as on an only one, and names the device that is not there.
func TestCUDASecond(t *testing.T) {
	needEmulator(t)
	only, second := filepath.Join(t.TempDir(), "only"), filepath.Join(t.TempDir(), "second")
	if text, ok := runOn(t, only, "cuda", -1); !ok {
		t.Fatal(text)
	}
	if text, ok := runOn(t, second, "cuda:1", -1, "TAPWEIGHT_EMU_DEVICES=2"); !ok {
		t.Fatal(text)
	}
	if strings.Replace(trace(t, second), `"device":"cuda:1"`, `"device":"cuda:0"`, 1) != trace(t, only) {
		t.Error("the run on the second device differs from that on an only one")
	}
	raw, err := os.ReadFile(filepath.Join(second, "log.txt"))
	if err != nil || !strings.Contains(string(raw), "device cuda:1") {
		t.Errorf("the log does not say that it ran on cuda:1 (%v):\n%s", err, raw)
	}
	text, ok := runOn(t, filepath.Join(t.TempDir(), "third"), "cuda:2", -1, "TAPWEIGHT_EMU_DEVICES=2")
	if ok || !strings.Contains(text, "there is no cuda:2") || !strings.Contains(text, "has 2") {
		t.Errorf("the third of two devices: %v: %s", ok, text)
	}
}

// TestCUDALost loses the device in the middle of a run: an error that says so, and a checkpoint from which the run goes on to the
// bits it would have had.
func TestCUDALost(t *testing.T) {
	needEmulator(t)
	straight, lost := filepath.Join(t.TempDir(), "straight"), filepath.Join(t.TempDir(), "lost")
	if text, ok := runOn(t, straight, "cuda", -1); !ok {
		t.Fatal(text)
	}
	text, ok := runOn(t, lost, "cuda", -1, "TAPWEIGHT_EMU_FAIL=cuMemcpyHtoDAsync:28", "TAPWEIGHT_EMU_FAIL_CODE=719")
	if ok || !strings.Contains(text, "CUDA_ERROR_LAUNCH_FAILED") || strings.Contains(text, "goroutine") {
		t.Fatalf("the run ended with %v: %s", ok, text)
	}
	if text, ok := runOn(t, lost, "cuda", -1); !ok {
		t.Fatal(text)
	}
	if trace(t, lost) != trace(t, straight) {
		t.Error("the run that lost the device differs from the straight one")
	}
}

// TestCUDAOutOfMemory is refused before it starts where the plan does not fit, and ends with an error where memory runs out later.
func TestCUDAOutOfMemory(t *testing.T) {
	needEmulator(t)
	text, ok := runOn(t, filepath.Join(t.TempDir(), "small"), "cuda", -1, fmt.Sprintf("TAPWEIGHT_EMU_MEMORY=%d", 16<<20), "TAPWEIGHT_TEST_WIDE=1")
	if ok || !strings.Contains(text, "16 MiB are available") {
		t.Errorf("with 16 MiB: %v: %s", ok, text)
	}
	text, ok = runOn(t, filepath.Join(t.TempDir(), "least"), "cuda", -1, fmt.Sprintf("TAPWEIGHT_EMU_MEMORY=%d", 1<<20))
	var need int
	if _, err := fmt.Sscanf(text, "this run needs %d MiB", &need); ok || err != nil || need == 0 {
		t.Fatalf("with 1 MiB: %v: %s", ok, text)
	}
	const unplanned = 2 // MiB: batches, the best parameters so far, predictions
	if text, ok := runOn(t, filepath.Join(t.TempDir(), "planned"), "cuda", -1, fmt.Sprintf("TAPWEIGHT_EMU_MEMORY=%d", (need+unplanned)<<20)); !ok {
		t.Errorf("with the %d MiB that the plan asks for and %d MiB: %s", need, unplanned, text)
	}
	text, ok = runOn(t, filepath.Join(t.TempDir(), "later"), "cuda", -1, "TAPWEIGHT_EMU_FAIL=cuMemAlloc:40", "TAPWEIGHT_EMU_FAIL_CODE=2")
	if ok || !strings.Contains(text, "CUDA_ERROR_OUT_OF_MEMORY") || !strings.Contains(text, "bytes asked for") || strings.Contains(text, "goroutine") {
		t.Errorf("without memory later: %v: %s", ok, text)
	}
}

// TestAutoFallsBack runs on the CPU where there is no device, and says why in one line.
func TestAutoFallsBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if text, ok := runOn(t, dir, "auto", -1, "TAPWEIGHT_LIBCUDA="+filepath.Join(dir, "absent.so")); !ok {
		t.Fatal(text)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "log.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(raw), "running on the CPU: no CUDA device: "); n != 1 {
		t.Errorf("said %d times why:\n%s", n, raw)
	}
}
