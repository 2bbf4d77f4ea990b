// Package runlog writes what a run leaves behind: metrics.jsonl, a TensorBoard file, log.txt, the picture of the weights, and
// the lines or bars a person sees meanwhile.
package runlog

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// Field is one entry of a metrics line.
type Field struct {
	Key   string
	Value any
}

// Metrics appends JSON lines to a file. Every field that is wall-clock time begins with "time"; all others are reproducible.
type Metrics struct {
	f      *os.File
	offset int64
}

// OpenMetrics opens a metrics file and cuts it after keep bytes: what a checkpoint says was written.
func OpenMetrics(path string, keep int64) (*Metrics, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(keep); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := f.Seek(keep, io.SeekStart); err != nil {
		f.Close()
		return nil, err
	}
	return &Metrics{f, keep}, nil
}

// Write appends a line with its fields in order.
func (m *Metrics) Write(fields []Field) error {
	var b strings.Builder
	for i, f := range fields {
		sep := ","
		if i == 0 {
			sep = "{"
		}
		v, err := json.Marshal(f.Value)
		if err != nil {
			return fmt.Errorf("metrics: %s: %w", f.Key, err) // NaN and Inf have no JSON
		}
		fmt.Fprintf(&b, "%s%q:%s", sep, f.Key, v)
	}
	b.WriteString("}\n")
	n, err := m.f.WriteString(b.String())
	m.offset += int64(n)
	return err
}

// Offset returns the length of the file in bytes.
func (m *Metrics) Offset() int64 { return m.offset }

// Sync makes what was written durable.
func (m *Metrics) Sync() error { return m.f.Sync() }

// Close closes the file.
func (m *Metrics) Close() error { return m.f.Close() }

// Console talks to the person and to log.txt.
type Console struct {
	out   *os.File
	log   io.Writer
	quiet bool
}

// NewConsole writes to out unless quiet, and always to log, which may be nil.
func NewConsole(out *os.File, log io.Writer, quiet bool) *Console { return &Console{out, log, quiet} }

// WithLog returns a console that also writes to another log.
func (c *Console) WithLog(log io.Writer) *Console { return &Console{c.out, log, c.quiet} }

// Printf writes a line.
func (c *Console) Printf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if c.log != nil {
		fmt.Fprintf(c.log, "%s %s\n", time.Now().Format(time.RFC3339), line)
	}
	if !c.quiet {
		fmt.Fprintln(c.out, line)
	}
}

// Progress shows how far a piece of work is: a bar on a terminal, a line every few seconds elsewhere.
type Progress struct {
	c     *Console
	label string
	total int
	bars  *mpb.Progress
	bar   *mpb.Bar
	note  string
	last  time.Time
	start time.Time
}

// lineEvery is the least time between progress lines where there is no terminal.
const lineEvery = 10 * time.Second

// Progress begins a piece of work of total steps.
func (c *Console) Progress(label string, total int) *Progress {
	p := &Progress{c: c, label: label, total: total, last: time.Now(), start: time.Now()}
	if !c.quiet && term.IsTerminal(int(c.out.Fd())) {
		p.bars = mpb.New(mpb.WithOutput(c.out), mpb.WithWidth(32))
		p.bar = p.bars.AddBar(int64(total),
			mpb.PrependDecorators(decor.Name(label+" "), decor.CountersNoUnit("%d/%d")),
			mpb.AppendDecorators(decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO), "done"), decor.Any(func(decor.Statistics) string { return " " + p.note })))
	}
	return p
}

// Set reports that n steps are done.
func (p *Progress) Set(n int, note string) {
	if p.bar != nil {
		p.note = note
		p.bar.SetCurrent(int64(n))
		return
	}
	if p.c.quiet || time.Since(p.last) < lineEvery {
		return
	}
	p.last = time.Now()
	left := time.Duration(float64(time.Since(p.start)) / float64(max(n, 1)) * float64(p.total-n))
	fmt.Fprintf(p.c.out, "%s %d/%d, %s left, %s\n", p.label, n, p.total, left.Round(time.Second), note)
}

// Done ends the display.
func (p *Progress) Done() {
	if p.bar != nil {
		p.bar.Abort(false)
		p.bars.Wait()
	}
}

// Finite replaces what JSON cannot hold by nil.
func Finite(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v
}
