//go:build cuda

package cuda

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"tapweight/gpu"
	"tapweight/gpu/gputest"
)

// TestMain is the victim of the fault tests where the environment asks for it.
func TestMain(m *testing.M) {
	if name := os.Getenv("TAPWEIGHT_TEST_VICTIM"); name != "" {
		victim(name)
	}
	os.Exit(m.Run())
}

func open(t testing.TB) *Backend {
	t.Helper()
	return gputest.Open(t, "cuda", func() (*Backend, error) { return Open(0) })
}

func alloc(t testing.TB, b *Backend, n int) gpu.Buffer {
	t.Helper()
	buf, err := b.Alloc(n, 4)
	if err != nil {
		t.Fatal(err)
	}
	return buf
}

func download(t testing.TB, b *Backend, buf gpu.Buffer) []float64 {
	t.Helper()
	v := make([]float64, buf.Len())
	if err := b.Download(v, buf); err != nil {
		t.Fatal(err)
	}
	return v
}

func constant(n int, v float64) []float64 { return slices.Repeat([]float64{v}, n) }

// TestUploadsKeepOrder uploads to memory that earlier work reads, flushed and not, and that later work reads: each sees what
// program order says.
func TestUploadsKeepOrder(t *testing.T) {
	b := open(t)
	const n = 1 << 12
	x, sum := alloc(t, b, n), alloc(t, b, n)
	other := alloc(t, b, n)
	b.Fill(sum, 0)
	want := 0.0
	for i := range 40 {
		v := float64(i + 1)
		b.Upload(x, constant(n, v))
		b.Axpy(sum, 1, gpu.Buffer{}, x)
		want += v
		if i%3 == 0 {
			b.Mark(0) // flushes
		}
		if i%5 == 0 {
			b.Upload(other, constant(n, -v)) // has nothing to wait for
		}
	}
	for i, v := range download(t, b, sum) {
		if v != want {
			t.Fatalf("element %d is %v, want %v", i, v, want)
		}
	}
	if v := download(t, b, other); v[0] != -36 || v[n-1] != -36 {
		t.Errorf("the last upload left %v and %v", v[0], v[n-1])
	}
}

// TestUploadFlushesOnlyWhenItMust counts flushes.
func TestUploadFlushesOnlyWhenItMust(t *testing.T) {
	b := open(t)
	x, y := alloc(t, b, 100), alloc(t, b, 100)
	flushes := func() int64 {
		w := b.work
		return w.Flushes
	}
	b.Upload(x, constant(100, 1))
	b.Fill(y, 0)
	b.Upload(x, constant(100, 2))
	if n := flushes(); n != 0 {
		t.Errorf("%d flushes for uploads to memory that nothing in the list uses", n)
	}
	b.Axpy(y.Slice(0, 10), 1, gpu.Buffer{}, x.Slice(50, 60))
	b.Upload(x, constant(100, 3))
	if n := flushes(); n != 1 {
		t.Errorf("%d flushes for an upload to memory that the list reads, want 1", n)
	}
}

// TestLargeUpload goes through the staging memory in parts, integers and floats mixed.
func TestLargeUpload(t *testing.T) {
	b := open(t)
	const ints, floats = 3*stageBytes/4 + 17, stageBytes/4 + 5
	mem := alloc(t, b, ints+floats)
	i, f := make([]int32, ints), make([]float64, floats)
	for k := range f {
		f[k] = float64(k % 1000)
	}
	before := b.Stats()
	fl := gpu.MakeBuffer(mem.Addr()+4*ints, floats, 4)
	b.UploadBatch(mem.Slice(0, ints), i, fl, f)
	if s := b.Stats(); s.Uploads != before.Uploads+1 || s.UploadBytes != before.UploadBytes+4*(ints+floats) {
		t.Errorf("counts went from %+v to %+v", before, s)
	}
	if !slices.Equal(download(t, b, fl), f) {
		t.Error("the floats differ")
	}
	for k, v := range download(t, b, mem.Slice(0, ints)) {
		if v != 0 {
			t.Fatalf("integer %d is not what was uploaded", k)
		}
	}
}

// steps queues the same sequence of kernels with other numbers in every round.
func steps(b *Backend, x, y gpu.Buffer, rounds int) {
	for i := range rounds {
		for j := range 10 {
			b.Axpy(y, 1/float64(i+j+1), gpu.Buffer{}, x)
			b.Scale(y, 0.99, gpu.Buffer{})
		}
		b.Mark(i % 2)
	}
}

// TestGraphs holds replayed graphs to the bits of plain launches.
func TestGraphs(t *testing.T) {
	run := func(b *Backend) ([]float64, Work) {
		x, y := alloc(t, b, 1000), alloc(t, b, 1000)
		v := make([]float64, 1000)
		for i := range v {
			v[i] = float64(i) / 7
		}
		b.Upload(x, v)
		b.Fill(y, 0)
		b.Mark(0)
		steps(b, x, y, 6)
		out := download(t, b, y)
		w, err := b.Work()
		if err != nil {
			t.Fatal(err)
		}
		return out, w
	}
	t.Setenv("TAPWEIGHT_CUDA_GRAPHS", "0")
	plain, w := run(open(t))
	if w.Instantiated != 0 || w.Updated != 0 {
		t.Errorf("graphs although they are switched off: %v", w)
	}
	t.Setenv("TAPWEIGHT_CUDA_GRAPHS", "")
	graphs, w := run(open(t))
	if w.Instantiated != 1 || w.Updated != 4 {
		t.Errorf("six rounds of one sequence: %v, want 1 graph instantiated at the second and updated 4 times", w)
	}
	if !slices.Equal(plain, graphs) {
		t.Error("graphs and plain launches differ")
	}
}

// TestWarmLoopAllocatesNothing counts allocations of the host and of the device.
func TestWarmLoopAllocatesNothing(t *testing.T) {
	b := open(t)
	x, y := alloc(t, b, 1000), alloc(t, b, 1000)
	b.Fill(y, 0)
	src := constant(1000, 1)
	loop := func() {
		b.Upload(x, src)
		steps(b, x, y, 2)
	}
	for range 8 {
		loop()
	}
	blocks := len(b.blocks)
	if n := testing.AllocsPerRun(20, loop); n > 0 {
		t.Errorf("%v allocations per round", n)
	}
	if len(b.blocks) != blocks {
		t.Errorf("%d allocations of device memory became %d", blocks, len(b.blocks))
	}
}

// TestMarks times work on the device.
func TestMarks(t *testing.T) {
	b := open(t)
	x := alloc(t, b, 1<<16)
	b.Mark(0)
	b.Fill(x, 1)
	b.Mark(1)
	d, err := b.Elapsed(0, 1)
	if err != nil || d < 0 || d > time.Minute {
		t.Errorf("a kernel took %v: %v", d, err)
	}
}

// TestOutOfMemory says what was asked for and what is free, and leaves the device usable.
func TestOutOfMemory(t *testing.T) {
	b := open(t)
	_, err := b.Alloc(1<<45, 4)
	if !errors.Is(err, gpu.ErrOutOfMemory) || !regexp.MustCompile(`140737488355328 bytes asked for, \d+ of \d+ free`).MatchString(err.Error()) {
		t.Errorf("error: %v", err)
	}
	if err := b.Sync(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	x := alloc(t, b, 10)
	b.Fill(x, 3)
	if v := download(t, b, x); v[9] != 3 {
		t.Errorf("afterwards a kernel leaves %v", v)
	}
}

// TestUnknownKernel is an error of the next wait, not the end of the process.
func TestUnknownKernel(t *testing.T) {
	b := open(t)
	var args [8]byte
	(*queue)(b).Launch("tw_absent_f32", [3]uint32{1, 1, 1}, [3]uint32{32, 1, 1}, 0, unsafe.Pointer(&args), len(args), 0)
	if err := b.Sync(); err == nil || !strings.Contains(err.Error(), "tw_absent_f32") {
		t.Errorf("error: %v", err)
	}
}

// TestTooMuchSharedMemory names kernel, need and what the card has.
func TestTooMuchSharedMemory(t *testing.T) {
	b := open(t)
	x := alloc(t, b, 10)
	b.Fill(x, 0)
	var name string
	for name = range b.kernels {
	}
	var args [256]byte
	(*queue)(b).Launch(name, [3]uint32{1, 1, 1}, [3]uint32{32, 1, 1}, 1<<24, unsafe.Pointer(&args), len(args), 0)
	if err := b.Sync(); err == nil || !strings.Contains(err.Error(), name+" needs 16777216 bytes of shared memory") {
		t.Errorf("error: %v", err)
	}
}

// exercise uses every call of the driver that training makes.
func exercise() (err error) {
	b, err := Open(0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	x, err := b.Alloc(1000, 4)
	if err != nil {
		return err
	}
	y, err := b.Alloc(1000, 4)
	if err != nil {
		return err
	}
	for range 6 {
		b.Upload(x, constant(1000, 1))
	}
	b.Fill(y, 0)
	steps(b, x, y, 4)
	if addr := (*queue)(b).Scratch(3 << 20); addr == 0 {
		return b.Sync()
	}
	if err := b.Download(make([]float64, 1000), y); err != nil {
		return err
	}
	if _, err := b.Elapsed(0, 1); err != nil {
		return err
	}
	b.Free(x)
	return b.Sync()
}

// victim runs a program of the fault tests in place of the tests.
func victim(name string) {
	if err := map[string]func() error{"exercise": exercise, "two": two}[name](); err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	os.Exit(0)
}

// report is what the stand-in driver writes.
type report struct {
	Calls  map[string]int `json:"calls"`
	Leaks  []string       `json:"leaks"`
	Faults []string       `json:"faults"`
}

// attempt runs a victim with settings of the stand-in driver.
func attempt(t *testing.T, victim string, env ...string) (out string, code int, r report) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.json")
	c := exec.Command(os.Args[0])
	c.Env = append(append(os.Environ(), "TAPWEIGHT_TEST_VICTIM="+victim, "TAPWEIGHT_EMU_REPORT="+path), env...)
	var both bytes.Buffer
	c.Stdout, c.Stderr = &both, &both
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
	err := c.Wait()
	if !timer.Stop() {
		t.Errorf("%v: hung: %s", env, both.String())
	}
	if _, exit := err.(*exec.ExitError); err != nil && !exit {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	if err != nil && c.ProcessState.ExitCode() == 0 {
		t.Fatal(err)
	}
	return both.String(), c.ProcessState.ExitCode(), r
}

func needEmulator(t *testing.T) {
	t.Helper()
	if !strings.Contains(os.Getenv("TAPWEIGHT_LIBCUDA"), "emu") {
		t.Skip("cuda: faults are injected through the stand-in driver")
	}
}

// TestFaults lets every call to the driver fail once, in turn: the program ends with an error that names the call, without hanging,
// panicking or keeping anything.
func TestFaults(t *testing.T) {
	needEmulator(t)
	out, code, whole := attempt(t, "exercise")
	if code != 0 || len(whole.Leaks) > 0 || len(whole.Faults) > 0 {
		t.Fatalf("without faults: status %d, leaks %q, faults %q: %s", code, whole.Leaks, whole.Faults, out)
	}
	workers := make(chan struct{}, runtime.NumCPU())
	for call, n := range whole.Calls {
		if call == "cuGetErrorName" {
			continue // only asked for the name of an error
		}
		// Calls that are made again and again fail at the beginning, in the middle and at the end.
		at := []int{1, min(2, n), (n + 1) / 2, max(1, n-1), n}
		slices.Sort(at)
		for _, k := range slices.Compact(at) {
			t.Run(fmt.Sprintf("%s:%d", call, k), func(t *testing.T) {
				t.Parallel()
				workers <- struct{}{}
				defer func() { <-workers }()
				out, code, r := attempt(t, "exercise", fmt.Sprintf("TAPWEIGHT_EMU_FAIL=%s:%d", call, k))
				if code != 3 || !strings.Contains(out, call) || strings.Contains(out, "panic") {
					t.Errorf("status %d: %s", code, out)
				}
				if len(r.Leaks) > 0 {
					t.Errorf("kept: %q", r.Leaks)
				}
			})
		}
	}
}
