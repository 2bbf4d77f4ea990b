//go:build cuda

package gates

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/cuda"
	"tapweight/gpu/dry"
	kernels "tapweight/kernels/cuda"
)

// cache is what the kernels of a measurement may keep, in bytes: the weights of a layer and a few rows, and less than half an operand.
const cache = 2 << 20

// slack is traffic beyond the limit that an operation may have, in bytes: the ends of operands fill no sectors.
const slack = 2048

// TestMain is the program that runs one operation where the environment asks for it.
func TestMain(m *testing.M) {
	if name := os.Getenv("TAPWEIGHT_TEST_MEASURE"); name != "" {
		if err := perform(strings.CutSuffix(name, "/odd")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// perform runs an operation on the device and prints the bytes that kernels/op counts for it.
func perform(name string, odd bool) error {
	b, err := cuda.Open(0)
	if err != nil {
		return err
	}
	all := cases()
	c := all[slices.IndexFunc(all, func(c measured) bool { return c.name == name })]
	run := c.prepare(&memory{b, odd, rand.New(rand.NewPCG(1, 2))})
	run(b)
	cost := dry.Open(4)
	run(cost)
	fmt.Println(cost.Cost().Bytes)
	if err := b.Sync(); err != nil {
		return err
	}
	return b.Close()
}

// counters are what the stand-in driver counts for a kernel, by its names for them.
type counters map[string]float64

func (c counters) sum(names ...string) (s float64) {
	for _, n := range names {
		s += c[n]
	}
	return s
}

// measurement is what the kernels of an operation did.
type measurement struct {
	name    string
	bytes   float64 // by kernels/op
	kernels map[string]counters
}

// measure runs all operations, each in a process of its own.
var measure = sync.OnceValues(func() ([]measurement, error) {
	var names []string
	for _, c := range cases() {
		names = append(names, c.name, c.name+"/odd")
	}
	dir, err := os.MkdirTemp("", "gates")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	all, errs := make([]measurement, len(names)), make([]error, len(names))
	var wait sync.WaitGroup
	workers := make(chan struct{}, runtime.NumCPU())
	for i, name := range names {
		wait.Go(func() {
			workers <- struct{}{}
			defer func() { <-workers }()
			all[i], errs[i] = run(name, filepath.Join(dir, strconv.Itoa(i)))
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return all, nil
})

func run(name, report string) (measurement, error) {
	var r struct {
		Kernels map[string]counters `json:"kernels"`
	}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "TAPWEIGHT_TEST_MEASURE="+name, "TAPWEIGHT_EMU_REPORT="+report, "TAPWEIGHT_EMU_CACHE="+strconv.Itoa(cache), "TAPWEIGHT_EMU_CHECK=0")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return measurement{}, fmt.Errorf("%s: %w: %s", name, err, stderr.Bytes())
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		return measurement{}, err
	}
	text, err := os.ReadFile(report)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return measurement{name, n, r.Kernels}, err
}

// limit is a line of rules.txt: a word, what it is about, at most how much.
type limit struct {
	line int
	what *regexp.Regexp
	most float64
	used bool
}

// limits reads the lines of rules.txt that begin with a word. Of those that match the last counts.
type limits []*limit

func read(t *testing.T, word string) (l limits) {
	text, err := os.ReadFile("../../../kernels/cuda/gates/rules.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != word {
			continue
		}
		if len(f) != 3 {
			t.Fatalf("rules.txt:%d: want %s, a regular expression and a number", i+1, word)
		}
		most, err := strconv.ParseFloat(f[2], 64)
		if err != nil {
			t.Fatalf("rules.txt:%d: %v", i+1, err)
		}
		l = append(l, &limit{line: i + 1, what: regexp.MustCompile("^(?:" + f[1] + ")$"), most: most})
	}
	return l
}

func (l limits) of(name string) *limit {
	for i := len(l) - 1; i >= 0; i-- {
		if l[i].what.MatchString(name) {
			l[i].used = true
			return l[i]
		}
	}
	return &limit{}
}

func (l limits) unused(t *testing.T) {
	for _, r := range l {
		if !r.used {
			t.Errorf("rules.txt:%d matches nothing", r.line)
		}
	}
}

func measurements(t *testing.T) []measurement {
	if !strings.Contains(os.Getenv("TAPWEIGHT_LIBCUDA"), "emu") {
		t.Skip("cuda: traffic is counted by the stand-in driver")
	}
	all, err := measure()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestTraffic holds what an operation moves between the device and its memory to what kernels/op says it has to.
func TestTraffic(t *testing.T) {
	rules := read(t, "traffic")
	for _, m := range measurements(t) {
		moved := 0.0
		for _, k := range m.kernels {
			moved += k.sum("memory_read_bytes", "memory_write_bytes")
		}
		r := rules.of(m.name)
		t.Logf("%-32s %8.2f MB of %8.2f: %.2f", m.name, moved/1e6, m.bytes/1e6, moved/m.bytes)
		if !(moved <= r.most*m.bytes+slack) {
			t.Errorf("%s moves %.0f bytes, %.2f times the %.0f of kernels/op; rules.txt:%d allows %v", m.name, moved, moved/m.bytes, m.bytes, r.line, r.most)
		}
	}
	rules.unused(t)
}

// perKernel adds up by kernel, over all operations.
func perKernel(t *testing.T) map[string]counters {
	sums := map[string]counters{}
	for _, m := range measurements(t) {
		for name, k := range m.kernels {
			if sums[name] == nil {
				sums[name] = counters{}
			}
			for c, v := range k {
				sums[name][c] += v
			}
		}
	}
	return sums
}

// atMost holds a share of two sums of counters to the rules, for every kernel that was launched.
func atMost(t *testing.T, word string, share func(counters) (part, whole float64)) {
	rules := read(t, word)
	sums := perKernel(t)
	for _, name := range sorted(sums) {
		part, whole := share(sums[name])
		r := rules.of(strings.TrimSuffix(strings.TrimPrefix(name, "tw_"), "_f32"))
		t.Logf("%-40s %12.0f of %12.0f: %.3f", name, part, whole, part/max(1, whole))
		if !(part <= r.most*whole) {
			t.Errorf("%s: %s %.3f, rules.txt:%d allows %v", name, word, part/whole, r.line, r.most)
		}
	}
	rules.unused(t)
}

// TestConflicts: wavefronts of shared memory beyond those that its bytes need, for each request.
func TestConflicts(t *testing.T) {
	atMost(t, "conflicts", func(c counters) (float64, float64) {
		return c.sum("shared_load_conflicts", "shared_store_conflicts"), c.sum("shared_loads", "shared_stores")
	})
}

// TestSectors: bytes of the sectors that requests touch, for each byte that they ask for.
func TestSectors(t *testing.T) {
	atMost(t, "sectors", func(c counters) (float64, float64) {
		return 32 * c.sum("global_load_sectors", "global_store_sectors"), c.sum("global_load_bytes", "global_store_bytes")
	})
}

// unused are kernels that no operation launches so far: products in less than float32, whose code but for the instruction is that of
// tf32x3, and attention in bfloat16.
var unused = regexp.MustCompile(`^tw_(gemm_(tf32|bf16)|attention_(grad_\w+_)?bf16)_`)

// TestComplete: every operation of a device and every kernel was measured.
func TestComplete(t *testing.T) {
	launched := perKernel(t)
	for _, m := range kernels.PTX() {
		for _, e := range regexp.MustCompile(`\.entry (\w+)\(`).FindAllStringSubmatch(string(m.Data), -1) {
			if launched[e[1]] == nil && !unused.MatchString(e[1]) {
				t.Errorf("nothing measures the kernel %s", e[1])
			}
		}
	}
	measured := map[string]bool{}
	for _, c := range cases() {
		op, _, _ := strings.Cut(c.name, "/")
		measured[op] = true
	}
	for _, family := range []reflect.Type{reflect.TypeFor[gpu.DenseOps](), reflect.TypeFor[gpu.SparseOps](), reflect.TypeFor[gpu.AttentionOps](), reflect.TypeFor[gpu.NormOps](),
		reflect.TypeFor[gpu.ElementOps](), reflect.TypeFor[gpu.LossOps](), reflect.TypeFor[gpu.VectorOps](),
		reflect.TypeFor[gpu.EncoderOps]()} {
		for i := range family.NumMethod() {
			if name := family.Method(i).Name; !measured[name] {
				t.Errorf("nothing measures the operation %s", name)
			}
		}
	}
}

func sorted(m map[string]counters) []string {
	var names []string
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
