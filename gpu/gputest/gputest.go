// Package gputest is the compliance suite of devices: what package gpu promises, a backend shows by passing [RunAll].
//
// Every operation runs on the device under test, on the float64 oracle (gpu/ref) and on the oracle's loops in float32. The
// device must be at most twice as far from the oracle as the float32 loops are, plus a small floor (see [Compare]). Inputs
// are random numbers that float32 represents; their seed is made of the case's name and printed on failure.
//
// On the device each case runs three times: twice with rows on cache lines, the unset memory (outputs, padding of rows, guards
// around every buffer) filled with NaN the first time and with a number the second, and once with odd leading dimensions and
// addresses. The first two must agree to the bit, so a read of unset memory shows even where a NaN would be swallowed; after
// each run padding, guards and inputs must be what they were.
//
//	func TestCompliance(t *testing.T) {
//		b, err := cpu.Open(0)
//		if err != nil {
//			t.Skip("cpu: " + err.Error())
//		}
//		gputest.RunAll(t, b)
//	}
package gputest

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/ref"
)

// testCase queues one operation, or a few, on the buffers that it takes from the machine.
type testCase struct {
	name string
	run  func(m *machine)
}

// RunAll tests every operation of a device.
func RunAll(t *testing.T, b gpu.Backend) {
	t.Run("Memory", func(t *testing.T) { testMemory(t, b) })
	t.Run("Shapes", func(t *testing.T) { testShapes(t, b) })
	for _, f := range families(b) {
		t.Run(f.name, func(t *testing.T) {
			for _, c := range f.cases {
				t.Run(c.name, func(t *testing.T) { runCase(t, b, c) })
			}
		})
	}
}

type family struct {
	name  string
	cases []testCase
}

// families returns the cases of all operations that a device has.
func families(b gpu.Backend) []family {
	return []family{
		{"Dense", denseCases()},
		{"Sparse", sparseCases()},
		{"Attention", attentionCases()},
		{"Sequences", sequencesCases()},
		{"Norm", normCases()},
		{"Element", elementCases()},
		{"Loss", lossCases()},
		{"Vector", vectorCases()},
		{"Encoder", encoderCases()},
	}
}

// runCase reports what check finds.
func runCase(t *testing.T, b gpu.Backend, c testCase) {
	seed, errs := check(b, c)
	for _, err := range errs {
		t.Error(err)
	}
	if len(errs) > 0 {
		t.Logf("seed %#x", seed)
	}
}

func seedOf(c testCase) uint64 {
	h := fnv.New64a()
	h.Write([]byte(c.name))
	return h.Sum64()
}

// check compares one case on the device with the oracle.
func check(b gpu.Backend, c testCase) (seed uint64, errs []error) {
	seed = seedOf(c)
	var runs [5][]result
	for i, device := range []struct {
		name   string
		b      gpu.Backend
		layout layout
	}{
		{"oracle", ref.Open(), layout{fill: math.NaN()}},
		{"naive", ref.OpenNaive(), layout{fill: math.NaN()}},
		{"aligned", b, layout{fill: math.NaN(), guard: 16, pad: gpu.PadCols}},
		{"again", b, layout{fill: -3.0e30, guard: 16, pad: gpu.PadCols}},
		{"odd", b, layout{fill: math.NaN(), guard: 19, pad: func(n int) int { return n + 3 }}},
	} {
		out, faults := execute(device.b, c, seed, device.layout)
		for _, err := range faults {
			errs = append(errs, fmt.Errorf("%s: %w", device.name, err))
		}
		runs[i] = out
	}
	if len(errs) > 0 {
		return seed, errs
	}
	for i, want := range runs[0] {
		if want.scratch {
			continue
		}
		naive, first, again, odd := runs[1][i], runs[2][i], runs[3][i], runs[4][i]
		if err := Compare(first.value, want.value, naive.value, want.terms); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", want.name, err))
		}
		if err := Compare(odd.value, want.value, naive.value, want.terms); err != nil {
			errs = append(errs, fmt.Errorf("%s with odd leading dimensions: %w", want.name, err))
		}
		if err := sameBits(first.value, again.value); err != nil {
			errs = append(errs, fmt.Errorf("%s: two runs differ, over unset memory of NaN and of numbers: %w", want.name, err))
		}
	}
	return seed, errs
}

// layout says where a run puts its data.
type layout struct {
	fill  float64            // what unset memory, padding and guards hold
	guard int                // elements before and after every buffer
	pad   func(cols int) int // leading dimension; nil means tight
}

// perOperation is how many cases Same takes of each operation.
const perOperation = 8

// Same holds two devices to the same bits in cases of every operation that lie evenly among those of RunAll, from small to large:
// for what must make no difference, like the number of threads or the size of a grid.
func Same(t *testing.T, a, b gpu.Backend) {
	for _, f := range families(b) {
		byOp := map[string][]testCase{}
		for _, c := range f.cases {
			op, _, _ := strings.Cut(c.name, "/")
			byOp[op] = append(byOp[op], c)
		}
		for _, cases := range byOp {
			for i := range min(perOperation, len(cases)) {
				c := cases[len(cases)-1-i*len(cases)/perOperation]
				t.Run(f.name+"/"+c.name, func(t *testing.T) { same(t, a, b, c) })
			}
		}
	}
}

func same(t *testing.T, a, b gpu.Backend, c testCase) {
	for _, l := range []layout{{fill: math.NaN(), guard: 16, pad: gpu.PadCols}, {fill: math.NaN(), guard: 19, pad: func(n int) int { return n + 3 }}} {
		first, faults1 := execute(a, c, seedOf(c), l)
		second, faults2 := execute(b, c, seedOf(c), l)
		for _, err := range append(faults1, faults2...) {
			t.Fatal(err)
		}
		for i, r := range first {
			if err := sameBits(r.value, second[i].value); err != nil {
				t.Errorf("%s with %d guards: %v", r.name, l.guard, err)
			}
		}
	}
}

// result is what an output held after a run, without padding.
type result struct {
	name    string
	value   []float64
	terms   float64
	scratch bool
}

// execute runs a case on one device and returns its outputs, and what went wrong besides: a panic, a device error, memory
// changed that should not be.
func execute(b gpu.Backend, c testCase, seed uint64, l layout) (out []result, faults []error) {
	m := &machine{Backend: b, rng: rand.New(rand.NewPCG(seed, 0)), layout: l}
	defer func() {
		if p := recover(); p != nil {
			faults = append(m.faults, fmt.Errorf("panic: %v", p))
		}
		for _, r := range m.records {
			b.Free(r.whole)
		}
	}()
	c.run(m)
	if err := b.Sync(); err != nil {
		return nil, []error{err}
	}
	for _, r := range m.records {
		if r.ints != nil {
			m.checkInts(r)
			continue
		}
		whole := m.download(r.whole)
		if r.role == input {
			if err := sameBits(whole, r.before); err != nil {
				m.fault("%s: the input or the memory around it was changed: %w", r.name, err)
			}
			continue
		}
		value := make([]float64, 0, r.rows*r.cols)
		for i := range r.rows {
			at := l.guard + i*r.ld
			value = append(value, whole[at:at+r.cols]...)
			// With the elements put back, what differs from before lies outside them.
			copy(whole[at:at+r.cols], r.before[at:])
		}
		if err := sameBits(whole, r.before); err != nil {
			m.fault("%s: written outside its elements (%d guards, %d×%d with leading dimension %d): %w", r.name, l.guard, r.rows, r.cols, r.ld, err)
		}
		out = append(out, result{r.name, value, r.terms, r.role == scratch})
	}
	return out, m.faults
}

// role says what a case does with a buffer.
type role uint8

const (
	input   role = iota // must not change
	output              // compared with the oracle
	scratch             // may hold anything afterwards
)

type record struct {
	name           string
	whole          gpu.Buffer // with guards
	before         []float64
	ints           []int32 // with guards, for buffers of integers
	role           role
	rows, cols, ld int
	terms          float64 // see Compare
}

// machine is a device with memory under watch.
type machine struct {
	gpu.Backend
	rng     *rand.Rand
	layout  layout
	records []record
	faults  []error
}

func (m *machine) fault(format string, args ...any) {
	m.faults = append(m.faults, fmt.Errorf(format, args...))
}

// alloc and download panic where the device fails; execute reports it.
func (m *machine) alloc(n, elem int) gpu.Buffer {
	b, err := m.Alloc(n, elem)
	if err != nil {
		panic(err)
	}
	return b
}

func (m *machine) download(b gpu.Buffer) []float64 {
	v := make([]float64, b.Len())
	if err := m.Download(v, b); err != nil {
		panic(err)
	}
	return v
}

// dense is a matrix on the host, without padding.
type dense struct {
	rows, cols int
	v          []float64
}

func (d dense) row(i int) []float64 { return d.v[i*d.cols : (i+1)*d.cols] }

// normal returns n numbers of mean and spread, as float32 represents them.
func (m *machine) normal(n int, mean, spread float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = mean + spread*m.rng.NormFloat64()
	}
	return rounded(v)
}

// positive returns n numbers in (0.1, 2.1).
func (m *machine) positive(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = 0.1 + 2*m.rng.Float64()
	}
	return rounded(v)
}

// matrix returns standard normal numbers.
func (m *machine) matrix(rows, cols int) dense { return dense{rows, cols, m.normal(rows*cols, 0, 1)} }

// index returns n integers in [lo, hi).
func (m *machine) index(n, lo, hi int) []int32 {
	v := make([]int32, n)
	for i := range v {
		v[i] = int32(lo + m.rng.IntN(hi-lo))
	}
	return v
}

// rounded rounds to float32 in place.
func rounded(v []float64) []float64 {
	for i := range v {
		v[i] = float64(float32(v[i]))
	}
	return v
}

func (m *machine) place(name string, r role, d dense, unset bool, ld int) gpu.Buffer {
	n, g := 0, m.layout.guard
	if d.rows > 0 && d.cols > 0 {
		n = (d.rows-1)*ld + d.cols
	}
	whole := m.alloc(n+2*g, m.Info().FloatBytes)
	before := make([]float64, n+2*g)
	for i := range before {
		before[i] = float64(float32(m.layout.fill))
	}
	if !unset {
		for i := range d.rows {
			copy(before[g+i*ld:], d.row(i))
		}
	}
	m.Upload(whole, before)
	rows := d.rows
	if d.cols == 0 {
		rows = 0
	}
	m.records = append(m.records, record{name: name, whole: whole, before: before, role: r, rows: rows, cols: d.cols, ld: ld})
	return whole.Slice(g, g+n)
}

func (m *machine) vector(name string, r role, v []float64, unset bool) gpu.Buffer {
	return m.place(name, r, dense{1, len(v), v}, unset, len(v))
}

func (m *machine) mat(name string, r role, d dense, unset bool) gpu.Mat {
	ld := d.cols
	if m.layout.pad != nil {
		ld = m.layout.pad(d.cols)
	}
	return gpu.MatOf(m.place(name, r, d, unset, ld), d.rows, d.cols, ld)
}

// terms says that the elements of the output taken last are sums of numbers of this size that may cancel.
func (m *machine) terms(size float64) { m.records[len(m.records)-1].terms = size }

// size returns the largest magnitude.
func size(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s = max(s, math.Abs(x))
	}
	return s
}

// in uploads an input; nil is an absent one.
func (m *machine) in(name string, v []float64) gpu.Buffer {
	if v == nil {
		return gpu.Buffer{}
	}
	return m.vector(name, input, v, false)
}

// out reserves an output that holds poison.
func (m *machine) out(name string, n int) gpu.Buffer {
	return m.vector(name, output, make([]float64, n), true)
}

// inout uploads a value that the operation updates.
func (m *machine) inout(name string, v []float64) gpu.Buffer {
	return m.vector(name, output, v, false)
}

func (m *machine) inMat(name string, d dense) gpu.Mat { return m.mat(name, input, d, false) }

func (m *machine) outMat(name string, rows, cols int) gpu.Mat {
	return m.mat(name, output, dense{rows, cols, make([]float64, rows*cols)}, true)
}

func (m *machine) inoutMat(name string, d dense) gpu.Mat { return m.mat(name, output, d, false) }

func (m *machine) scratchMat(name string, rows, cols int) gpu.Mat {
	return m.mat(name, scratch, dense{rows, cols, make([]float64, rows*cols)}, true)
}

// destMat is an output that is added to or overwritten.
func (m *machine) destMat(name string, rows, cols int, accumulate bool) gpu.Mat {
	return m.mat(name, output, m.matrix(rows, cols), !accumulate)
}

// dest is an output that is added to or overwritten.
func (m *machine) dest(name string, n int, accumulate bool) gpu.Buffer {
	return m.vector(name, output, m.normal(n, 0, 1), !accumulate)
}

// guardInt surrounds integers.
const guardInt = 7

// ints uploads integers.
func (m *machine) ints(name string, r role, v []int32) gpu.Buffer {
	g := m.layout.guard
	all := make([]int32, len(v)+2*g)
	for i := range all {
		all[i] = guardInt
	}
	copy(all[g:], v)
	whole := m.alloc(len(all), 4)
	m.UploadInts(whole, all)
	m.records = append(m.records, record{name: name, whole: whole, ints: all, role: r, cols: len(v)})
	return whole.Slice(g, g+len(v))
}

// checkInts checks that integers are what they were, the values only of inputs. Devices do not download integers: they are
// read as the sum of one row of a table that holds 0, 1, 2, ... Buffers with negative values are checked at their guards.
func (m *machine) checkInts(r record) {
	lo, hi, top := 0, len(r.ints), int32(guardInt)
	for _, v := range r.ints {
		top = max(top, v)
		if v < 0 {
			r.role = output
		}
	}
	spans := [][2]int{{lo, hi}}
	if r.role != input {
		g := m.layout.guard
		spans = [][2]int{{lo, g}, {hi - g, hi}}
	}
	table := make([]float64, top+1)
	for i := range table {
		table[i] = float64(i)
	}
	in, out := m.alloc(len(table), m.Info().FloatBytes), m.alloc(hi, m.Info().FloatBytes)
	defer m.Free(in)
	defer m.Free(out)
	m.Upload(in, table)
	for _, s := range spans {
		n := s[1] - s[0]
		m.EmbeddingSum(gpu.MatOf(out.Slice(0, n), n, 1, 1), gpu.MatOf(in, len(table), 1, 1), r.whole.Slice(s[0], s[1]), 1)
		for i, v := range m.download(out.Slice(0, n)) {
			if want := r.ints[s[0]+i]; int32(v) != want {
				m.fault("%s: integer %d (of %d with %d guards on either side) was changed from %d to %v", r.name, s[0]+i, hi, m.layout.guard, want, v)
				return
			}
		}
	}
}

// sizes formats dimensions for the name of a case.
func sizes(n ...int) string {
	s := ""
	for i, v := range n {
		if i > 0 {
			s += "x"
		}
		s += fmt.Sprint(v)
	}
	return s
}

// option names a case by what is switched on.
func option(on bool, name string) string {
	if on {
		return "/" + name
	}
	return ""
}

var both = []bool{false, true}
