package runlog

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// Console talks to the person and to log.txt. It may be used by several goroutines.
type Console struct {
	*screen
	log   io.Writer
	quiet bool
}

// screen is where lines and bars appear. Consoles made by WithLog share it.
type screen struct {
	mu    sync.Mutex
	out   *os.File
	bars  *mpb.Progress // the bars on display, or nil: lines must then go above them
	every time.Duration // least time between progress lines where there is no terminal
}

// NewConsole writes to out unless quiet, and always to log, which may be nil.
func NewConsole(out *os.File, log io.Writer, quiet bool) *Console {
	return &Console{&screen{out: out, every: 10 * time.Second}, log, quiet}
}

// WithLog returns a console on the same screen that writes to another log.
func (c *Console) WithLog(log io.Writer) *Console { return &Console{c.screen, log, c.quiet} }

// Printf writes a line; the log's begins with the time. A line that cannot be written is lost: what a run must not lose
// goes into its metrics and checkpoints, whose errors stop it.
func (c *Console) Printf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.log != nil {
		_, _ = fmt.Fprintf(c.log, "%s %s\n", time.Now().Format(time.RFC3339), line)
	}
	if !c.quiet {
		c.show(line)
	}
}

func (s *screen) show(line string) {
	if s.bars != nil {
		if _, err := fmt.Fprintln(s.bars, line); err == nil {
			return
		}
	}
	_, _ = fmt.Fprintln(s.out, line)
}

// Progress shows how far a piece of work is: a bar on a terminal, a line every ten seconds elsewhere, nothing when quiet. It may
// be used by several goroutines.
type Progress struct {
	c     *Console
	label string
	total int
	bar   *mpb.Bar // nil where there is no terminal

	mu    sync.Mutex
	begun time.Time // of the first report
	first int       // what the first report said was done: a resumed run does not begin at 0
	done  int
	note  string
	shown time.Time // of the last line
}

// Progress begins a piece of work of total steps. One piece at a time has a bar.
func (c *Console) Progress(label string, total int) *Progress {
	p := &Progress{c: c, label: label, total: total, shown: time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.quiet && c.bars == nil && term.IsTerminal(int(c.out.Fd())) {
		c.bars = mpb.New(mpb.WithOutput(c.out), mpb.WithWidth(100))
		p.bar = c.bars.AddBar(int64(total),
			mpb.BarWidth(30),
			mpb.PrependDecorators(decor.Name(label+" "), decor.CountersNoUnit("%d/%d ")),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
				p.mu.Lock()
				defer p.mu.Unlock()
				return p.status()
			})))
	}
	return p
}

// Set reports that n steps are done, with a note on how it goes, which may be empty.
func (p *Progress) Set(n int, note string) {
	now := time.Now()
	p.mu.Lock()
	if p.begun.IsZero() {
		p.begun, p.first = now, n
	}
	p.done, p.note = n, note
	line := p.bar == nil && !p.c.quiet && now.Sub(p.shown) >= p.c.every
	status := ""
	if line {
		p.shown = now
		status = p.status()
	}
	p.mu.Unlock()
	if p.bar != nil {
		p.bar.SetCurrent(int64(n))
	}
	if line {
		p.c.mu.Lock()
		defer p.c.mu.Unlock()
		p.c.show(strings.TrimSpace(fmt.Sprintf("%s %d/%d  %s", p.label, n, p.total, status)))
	}
}

// status says how long the rest will take, at the rate so far, and the note.
func (p *Progress) status() string {
	did := p.done - p.first
	if did <= 0 || p.done >= p.total {
		return p.note
	}
	left := time.Duration(float64(time.Since(p.begun)) / float64(did) * float64(p.total-p.done))
	return strings.TrimSuffix(fmt.Sprintf("%s left, %s", left.Round(time.Second), p.note), ", ")
}

// Done ends the display. The bar stays as it is.
func (p *Progress) Done() {
	if p.bar == nil {
		return
	}
	p.bar.Abort(false)
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.c.bars != nil {
		p.c.bars.Wait()
		p.c.bars = nil
	}
}
