package drivertest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	root    = "../../.."
	sources = root + "/kernels/emu"
	folder  = sources + "/testdata"
	library = root + "/build/emu"
)

var apiLine = regexp.MustCompile(`(?m)^API (cu\w+|tw_\w+)\(([^)]*)\)`)

// calls are the prototypes of what the library exports, as its sources spell them.
func calls(t testing.TB) [][2]string {
	t.Helper()
	files, err := filepath.Glob(sources + "/*.cc")
	if err != nil || len(files) == 0 {
		t.Fatal("no sources", err)
	}
	var out [][2]string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range apiLine.FindAllStringSubmatch(string(text), -1) {
			out = append(out, [2]string{m[1], strings.Join(strings.Fields(m[2]), " ")})
		}
	}
	if len(out) < 150 {
		t.Fatalf("only %d calls found", len(out))
	}
	return out
}

// programs builds the library and the test programs once.
var programs = sync.OnceValues(func() (string, error) {
	for _, tool := range []string{"g++", "make", "flock"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", nil
		}
	}
	if out, err := exec.Command("flock", sources+"/Makefile", "make", "-s", "-j2", "-C", sources).CombinedOutput(); err != nil {
		return "", fmt.Errorf("make: %v\n%s", err, out)
	}
	var err error
	made, err = os.MkdirTemp("", "drivertest")
	return made, err
})

var made string // the folder of the test programs

func TestMain(m *testing.M) {
	code := m.Run()
	if made != "" {
		os.RemoveAll(made)
	}
	os.Exit(code)
}

var mutex sync.Mutex

// program builds a test program and returns its path.
func program(t testing.TB, name string) string {
	t.Helper()
	mutex.Lock()
	defer mutex.Unlock()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	if dir == "" {
		t.Skip("SKIPPED: no g++ or no make here, so the stand-in driver was not tested")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	var header bytes.Buffer
	header.WriteString("#pragma once\n#include \"api.h\"\nusing namespace emu::api;\n")
	for _, c := range calls(t) {
		fmt.Fprintf(&header, "API %s(%s);\n", c[0], c[1])
	}
	if err := os.WriteFile(filepath.Join(dir, "cu.h"), header.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	absolute, err := filepath.Abs(library)
	if err != nil {
		t.Fatal(err)
	}
	build := exec.Command("g++", "-std=c++20", "-O1", "-Wall", "-Wextra", "-I", dir, "-I", sources, filepath.Join(folder, name+".cc"), "-o", path,
		filepath.Join(absolute, "libcuda.so.1"), "-Wl,-rpath,"+absolute, "-pthread")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("g++: %v\n%s", err, out)
	}
	return path
}

// outcome is how a run of a test program ended.
type outcome struct {
	code           int
	stdout, faults string // faults: the library's lines on stderr
}

func (o outcome) String() string { return fmt.Sprintf("exit %d\n%s%s", o.code, o.stdout, o.faults) }

// run runs a program with environment variables `TAPWEIGHT_EMU_...` given without their prefix.
func run(t testing.TB, path string, env []string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, path, args...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "TAPWEIGHT_EMU_") {
			c.Env = append(c.Env, e)
		}
	}
	for _, e := range env {
		c.Env = append(c.Env, "TAPWEIGHT_EMU_"+e)
	}
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return outcome{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// schedules are environments that all order work and warps in ways that the hardware may.
var schedules = [][]string{
	{"SCHEDULE=forward", "ASYNC=late"},
	{"SCHEDULE=forward", "ASYNC=early"},
	{"SCHEDULE=reverse", "ASYNC=late"},
	{"SCHEDULE=reverse", "ASYNC=early"},
	{"SCHEDULE=random", "ASYNC=late", "SEED=1"},
	{"SCHEDULE=random", "ASYNC=early", "SEED=2"},
	{"SCHEDULE=random", "ASYNC=late", "SEED=3"},
}
