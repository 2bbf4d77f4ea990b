package runlog

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// file returns a file that is no terminal, and what was written to it.
func file(t *testing.T) (*os.File, func() string) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, func() string {
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
}

func TestConsoleLines(t *testing.T) {
	stamped := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d) split abc 3\n$`)
	for _, quiet := range []bool{false, true} {
		out, shown := file(t)
		var log bytes.Buffer
		con := NewConsole(out, nil, quiet)
		con.Printf("begin")
		con.WithLog(&log).Printf("split %s %d", "abc", 3)
		want := "begin\nsplit abc 3\n"
		if quiet {
			want = ""
		}
		if shown() != want {
			t.Errorf("quiet %v: shown %q, want %q", quiet, shown(), want)
		}
		if !stamped.MatchString(log.String()) {
			t.Errorf("quiet %v: log %q", quiet, log.String())
		}
	}
}

// TestProgressLines: without a terminal, lines appear at the given pace and no oftener.
func TestProgressLines(t *testing.T) {
	for _, c := range []struct {
		name  string
		quiet bool
		every time.Duration
		want  string
	}{
		{"each", false, 0, "^search 50/100\nsearch 51/100  \\d+s left, loss 1.5\nsearch 100/100  loss 1.4\n$"},
		{"none yet", false, time.Hour, "^$"},
		{"quiet", true, 0, "^$"},
	} {
		out, shown := file(t)
		con := NewConsole(out, nil, c.quiet)
		con.every = c.every
		p := con.Progress("search", 100)
		p.Set(50, "") // resumed: the rate is not that of 50 steps in no time
		time.Sleep(20 * time.Millisecond)
		p.Set(51, "loss 1.5")
		p.Set(100, "loss 1.4")
		p.Done()
		if !regexp.MustCompile(c.want).MatchString(shown()) {
			t.Errorf("%s: %q, want %s", c.name, shown(), c.want)
		}
	}
}

func TestTimeLeft(t *testing.T) {
	p := &Progress{total: 100, first: 50, done: 60, begun: time.Now().Add(-10 * time.Second), note: "n"}
	if got, want := p.status(), "40s left, n"; got != want {
		t.Errorf("10 steps in 10 s and 40 to go: %q, want %q", got, want)
	}
	p.note = ""
	if got, want := p.status(), "40s left"; got != want {
		t.Errorf("without a note: %q, want %q", got, want)
	}
}

// openTerminal returns the two ends of a pseudo-terminal.
func openTerminal(t *testing.T) (screen, tty *os.File) {
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("SKIPPED, no pseudo-terminal: ", err)
	}
	t.Cleanup(func() { screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Skip("SKIPPED, no pseudo-terminal: ", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Skip("SKIPPED, no pseudo-terminal: ", err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("SKIPPED, no pseudo-terminal: ", err)
	}
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 120}); err != nil {
		t.Fatal(err)
	}
	return screen, tty
}

// TestProgressBar: on a terminal there is a bar, lines go above it, several goroutines may report, and what follows is plain.
func TestProgressBar(t *testing.T) {
	screen, tty := openTerminal(t)
	if !term.IsTerminal(int(tty.Fd())) {
		t.Fatal("not a terminal")
	}
	shown := make(chan string)
	go func() {
		b, _ := io.ReadAll(screen) // ends with an error when the other end closes
		shown <- string(b)
	}()
	var log bytes.Buffer
	con := NewConsole(tty, &log, false)
	p := con.Progress("featurising", 50)
	inner := con.Progress("within", 2) // has no bar of its own
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 10 {
				p.Set(10*g+i+1, "rate 17")
				time.Sleep(20 * time.Millisecond)
			}
		}()
	}
	con.Printf("a line meanwhile")
	wg.Wait()
	p.Set(41, "rate 18")
	inner.Done()
	time.Sleep(300 * time.Millisecond)
	p.Done()
	con.Printf("a line after")
	tty.Close()
	got := <-shown
	for _, want := range []string{"featurising", "41/50", "rate 18", "a line meanwhile", "a line after"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q on the screen: %q", want, got)
		}
	}
	if strings.Count(got, "a line") != 2 || strings.Contains(got, "within") || !strings.HasSuffix(got, "a line after\r\n") {
		t.Errorf("screen: %q", got)
	}
	if strings.Count(log.String(), "\n") != 2 || strings.Contains(log.String(), "featurising") {
		t.Errorf("log: %q", log.String())
	}
}
