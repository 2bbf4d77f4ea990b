package runlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// TensorBoard writes scalars to an event file that `tensorboard --logdir` reads.
//
// The file is a sequence of records: length u64, masked CRC-32C of the length, data, masked CRC-32C of the data, all
// little-endian. The data are protocol buffers of TensorFlow's event.proto and summary.proto: Event{wall_time=1 double,
// step=2 int64, file_version=3 string, summary=5, session_log=7}, Summary{value=1 {tag=1 string, simple_value=2 float}},
// SessionLog{status=1 enum, START=1}.
type TensorBoard struct {
	f     *os.File
	begun bool
}

// eventFiles numbers the files of this process, so that two begun within a second have different names.
var eventFiles atomic.Int64

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenTensorBoard begins a new event file in dir. A resumed run begins another one: from its first step on, it stands in
// place of whatever the earlier files hold.
func OpenTensorBoard(dir string) (*TensorBoard, error) {
	now := time.Now()
	name := fmt.Sprintf("events.out.tfevents.%010d.tapweight.%d.%d", now.Unix(), os.Getpid(), eventFiles.Add(1))
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	t := &TensorBoard{f: f}
	if err := t.record(appendBytes(event(now, 0), 3, []byte("brain.Event:2"))); err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

// event returns the fields that every event begins with.
func event(now time.Time, step int) []byte {
	b := binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, math.Float64bits(float64(now.UnixNano())/1e9))
	return binary.AppendUvarint(append(b, 2<<3), uint64(step))
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
	now := time.Now()
	if !t.begun {
		// The start of a session makes TensorBoard drop what other files say about this step and later ones: a killed run may have
		// written further than its last checkpoint.
		if err := t.record(appendBytes(event(now, step), 7, []byte{1 << 3, 1})); err != nil {
			return err
		}
		t.begun = true
	}
	var summary []byte
	for _, s := range scalars {
		v := append(appendBytes(nil, 1, []byte(s.Tag)), 2<<3|5)
		v = binary.LittleEndian.AppendUint32(v, math.Float32bits(float32(s.Value)))
		summary = appendBytes(summary, 1, v)
	}
	return t.record(appendBytes(event(now, step), 5, summary))
}

// Close closes the file.
func (t *TensorBoard) Close() error { return t.f.Close() }
