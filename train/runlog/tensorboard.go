package runlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"time"
)

// TensorBoard writes scalars to an event file that `tensorboard --logdir` reads.
//
// The file is a sequence of records: length u64, masked CRC-32C of the length, data, masked CRC-32C of the data. The data are
// protocol buffers of the messages Event{wall_time=1 double, step=2 int64, file_version=3 string, summary=5} and
// Summary{value=1 {tag=1 string, simple_value=2 float}}.
type TensorBoard struct{ f *os.File }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenTensorBoard begins a new event file in dir.
func OpenTensorBoard(dir string) (*TensorBoard, error) {
	now := time.Now()
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("events.out.tfevents.%d.%d.tapweight", now.Unix(), os.Getpid())))
	if err != nil {
		return nil, err
	}
	t := &TensorBoard{f}
	return t, t.record(appendBytes(wallTime(now), 3, []byte("brain.Event:2")))
}

func wallTime(t time.Time) []byte {
	b := []byte{1<<3 | 1}
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(t.UnixNano())/1e9))
}

func appendBytes(b []byte, field int, data []byte) []byte {
	b = append(b, byte(field<<3|2))
	b = binary.AppendUvarint(b, uint64(len(data)))
	return append(b, data...)
}

func masked(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

func (t *TensorBoard) record(data []byte) error {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, masked(b))
	b = append(b, data...)
	b = binary.LittleEndian.AppendUint32(b, masked(data))
	_, err := t.f.Write(b)
	return err
}

// Scalar is a tagged value.
type Scalar struct {
	Tag   string
	Value float64
}

// Write appends scalars at a step.
func (t *TensorBoard) Write(step int, scalars []Scalar) error {
	var summary []byte
	for _, s := range scalars {
		v := appendBytes(nil, 1, []byte(s.Tag))
		v = append(v, 2<<3|5)
		v = binary.LittleEndian.AppendUint32(v, math.Float32bits(float32(s.Value)))
		summary = appendBytes(summary, 1, v)
	}
	b := append(wallTime(time.Now()), 2<<3)
	b = binary.AppendUvarint(b, uint64(step))
	return t.record(appendBytes(b, 5, summary))
}

// Close closes the file.
func (t *TensorBoard) Close() error { return t.f.Close() }
