package emutest

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// runnerPath builds the runner once; empty when there is no compiler.
var runnerPath = sync.OnceValues(func() (string, error) {
	for _, tool := range []string{"g++", "make", "flock"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", nil
		}
	}
	if out, err := exec.Command("flock", "../Makefile", "make", "-s", "-j2", "-C", "..", "../../build/emu/runner").CombinedOutput(); err != nil {
		return "", fmt.Errorf("make: %v\n%s", err, out)
	}
	return filepath.Abs("../../../build/emu/runner")
})

// runner is a process that executes PTX, see runner/runner.cc.
type runner struct {
	t   testing.TB
	in  io.WriteCloser
	out *bufio.Reader
}

func start(t testing.TB, options ...string) *runner {
	t.Helper()
	path, err := runnerPath()
	if err != nil {
		t.Fatal(err)
	}
	if path == "" {
		t.Skip("emu: g++, make and flock are needed")
	}
	cmd := exec.Command(path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("runner: %v", err)
		}
	})
	r := &runner{t, in, bufio.NewReaderSize(out, 1<<20)}
	for _, o := range options {
		r.ok("option %s", o)
	}
	return r
}

// ask sends a command and returns the answer.
func (r *runner) ask(format string, args ...any) string {
	r.t.Helper()
	if _, err := fmt.Fprintf(r.in, format+"\n", args...); err != nil {
		r.t.Fatal(err)
	}
	s, err := r.out.ReadString('\n')
	if err != nil {
		r.t.Fatalf("runner died: %v", err)
	}
	return strings.TrimSuffix(s, "\n")
}

// ok sends a command that must succeed.
func (r *runner) ok(format string, args ...any) {
	r.t.Helper()
	if s := r.ask(format, args...); !strings.HasPrefix(s, "ok") {
		r.t.Fatalf("%.200s: %s", fmt.Sprintf(format, args...), s)
	}
}

func (r *runner) load(ptx string) string {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), "module.ptx")
	if err := os.WriteFile(path, []byte(ptx), 0o644); err != nil {
		r.t.Fatal(err)
	}
	return r.ask("module %s", path)
}

func (r *runner) mustLoad(ptx string) {
	r.t.Helper()
	if s := r.load(ptx); s != "ok" {
		r.t.Fatalf("%s\n%s", s, ptx)
	}
}

func (r *runner) buffer(name string, size int, data []byte) {
	r.t.Helper()
	r.ok("buffer %s %d %s", name, size, hex.EncodeToString(data))
}

func (r *runner) read(name string) []byte {
	r.t.Helper()
	b, err := hex.DecodeString(r.ask("read %s", name))
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// counters are those since the last call.
func (r *runner) counters() map[string]int {
	r.t.Helper()
	out := map[string]int{}
	for _, f := range strings.Fields(r.ask("counters")) {
		name, value, _ := strings.Cut(f, "=")
		n, err := strconv.Atoi(value)
		if err != nil {
			r.t.Fatal(err)
		}
		out[name] = n
	}
	return out
}

const header = ".version 8.8\n.target sm_80\n.address_size 64\n"

func u32(v uint32) string {
	return fmt.Sprintf("%02x%02x%02x%02x", byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
}
