package runlog

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// line is what a run writes at an iteration: a number that needs all its digits, a map and a wall-clock field.
func line(i int) []Field {
	return []Field{{"iteration", i}, {"loss", math.Sqrt(float64(i))}, {"lambda", map[string]float64{"b": 0.75, "a<\"λ": 1 / (1 + float64(i))}}, {"time_step", 0.5}}
}

func write(t *testing.T, path string, keep int64, from, to int) int64 {
	t.Helper()
	m, err := OpenMetrics(path, keep)
	if err != nil {
		t.Fatal(err)
	}
	for i := from; i < to; i++ {
		if err := m.Write(line(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Sync(); err != nil {
		t.Fatal(err)
	}
	offset := m.Offset()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return offset
}

// TestMetricsResume: a run that wrote past its checkpoint and was killed in the middle of a line leaves, once resumed, the
// bytes of the run that was never stopped.
func TestMetricsResume(t *testing.T) {
	whole, killed := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	write(t, whole, 0, 1, 9)
	keep := write(t, killed, 0, 1, 5)
	f, err := os.OpenFile(killed, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "{\"iteration\":5,\"loss\":1.5}\n{\"iterat")
	f.Close()
	end := write(t, killed, keep, 5, 9)
	want, _ := os.ReadFile(whole)
	got, err := os.ReadFile(killed)
	if err != nil || !bytes.Equal(got, want) || end != int64(len(want)) {
		t.Errorf("resumed:\n%sfrom the start:\n%s%d bytes, %v", got, want, end, err)
	}
	if first := `{"iteration":1,"loss":1,"lambda":{"a\u003c\"λ":0.5,"b":0.75},"time_step":0.5}`; !strings.HasPrefix(string(want), first+"\n") {
		t.Errorf("%s\nwant %s", want, first)
	}
	write(t, killed, 0, 1, 2) // a new run cuts the file to nothing
	if got, _ := os.ReadFile(killed); !bytes.Equal(got, want[:len(got)]) || bytes.Count(got, []byte("\n")) != 1 {
		t.Errorf("begun anew: %s", got)
	}
}

func TestMetricsRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	keep := write(t, path, 0, 1, 3)
	for _, bad := range []int64{keep + 1, keep - 1, 1} {
		if _, err := OpenMetrics(path, bad); err == nil || !strings.HasPrefix(err.Error(), path+" has not got the ") {
			t.Errorf("cut after %d of %d bytes: %v", bad, keep, err)
		}
	}
	m, err := OpenMetrics(path, keep)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if info, err := os.Stat(path); err != nil || info.Size() != keep {
		t.Errorf("%d bytes, want %d: %v", info.Size(), keep, err)
	}
	for _, v := range []any{math.NaN(), math.Inf(1), map[string]float64{"a": math.Inf(-1)}, []float64{0, math.NaN()}} {
		if err := m.Write([]Field{{"iteration", 3}, {"loss", v}}); err == nil || !strings.Contains(err.Error(), "metrics: loss: ") {
			t.Errorf("%v: %v", v, err)
		}
	}
	if err := m.Write([]Field{{"auc", Finite(math.NaN())}, {"mean", Finite(math.Inf(1))}, {"rmse", Finite(0.5)}}); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(path)
	if want := `{"auc":null,"mean":null,"rmse":0.5}` + "\n"; string(data[keep:]) != want || m.Offset() != int64(len(data)) {
		t.Errorf("wrote %q after refused lines, want %q", data[keep:], want)
	}
}
