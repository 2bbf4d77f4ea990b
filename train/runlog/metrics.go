// Package runlog writes what a run leaves behind: metrics.jsonl, a TensorBoard file, log.txt, the picture of the weights, and
// the lines or bars a person sees meanwhile.
package runlog

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
)

// Field is one entry of a metrics line.
type Field struct {
	Key   string
	Value any
}

// Metrics appends JSON lines to a file. The key of every field that is wall-clock time, in seconds, begins with "time"; all
// other fields are reproducible to the bit.
type Metrics struct {
	f      *os.File
	offset int64
}

// OpenMetrics opens a metrics file and cuts it after keep bytes: what a checkpoint says was written before it, 0 for a new
// run. A resumed run's file is thereby the file of the run that was never stopped. A file that has not got keep bytes of whole
// lines is an error.
func OpenMetrics(path string, keep int64) (*Metrics, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := cut(f, keep); err != nil {
		f.Close()
		return nil, err
	}
	return &Metrics{f, keep}, nil
}

func cut(f *os.File, keep int64) error {
	if keep > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, keep-1); err == io.EOF || err == nil && last[0] != '\n' {
			return fmt.Errorf("%s has not got the %d bytes of lines that were there at the checkpoint: bring it back, or start anew in another folder", f.Name(), keep)
		} else if err != nil {
			return err
		}
	}
	if err := f.Truncate(keep); err != nil {
		return err
	}
	_, err := f.Seek(keep, io.SeekStart)
	return err
}

// Write appends a line with its fields in order. A number that JSON cannot hold (NaN, infinite) is an error that names the
// field, and nothing is written.
func (m *Metrics) Write(fields []Field) error {
	line := []byte{'{'}
	for i, f := range fields {
		key, err := json.Marshal(f.Key)
		if err != nil {
			return fmt.Errorf("metrics: %s: %w", f.Key, err)
		}
		value, err := json.Marshal(f.Value)
		if err != nil {
			return fmt.Errorf("metrics: %s: %w", f.Key, err)
		}
		if i > 0 {
			line = append(line, ',')
		}
		line = append(append(append(line, key...), ':'), value...)
	}
	n, err := m.f.Write(append(line, '}', '\n'))
	m.offset += int64(n)
	return err
}

// Offset returns the length of the file in bytes, for the checkpoint.
func (m *Metrics) Offset() int64 { return m.offset }

// Sync makes what was written durable.
func (m *Metrics) Sync() error { return m.f.Sync() }

// Close closes the file.
func (m *Metrics) Close() error { return m.f.Close() }

// Finite is the value of a field that may be undefined: v, or null where v is NaN or infinite.
func Finite(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v
}
