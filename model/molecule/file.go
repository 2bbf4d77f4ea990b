package molecule

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"tapweight/model/checkpoint"
)

// A cache file is a header of fixed size, a JSON description of its sections, and the sections, each 64-byte aligned:
//
//	"twcache1" | u32 length of the JSON | u32 CRC-32C of JSON and sections | JSON | sections
//
// It is written atomically, so that it is either whole or absent; the checksum tells damage.
const cacheMagic = "twcache1"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged says that a cache file is to be rebuilt.
var errDamaged = errors.New("damaged cache")

type section struct {
	Name  string `json:"name"`
	Start int64  `json:"start"` // from the end of the JSON, aligned
	Bytes int64  `json:"bytes"`
}

type cacheHeader struct {
	Key      string          `json:"key"`
	Meta     json.RawMessage `json:"meta"`
	Sections []section       `json:"sections"`
}

const (
	prefixBytes = len(cacheMagic) + 8
	alignment   = 64
)

func aligned(n int64) int64 { return (n + alignment - 1) / alignment * alignment }

// named is a section to be written.
type named struct {
	name string
	data []byte
}

// bytesOf views a slice of fixed-size values as bytes.
func bytesOf[T any](v []T) []byte {
	if len(v) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), len(v)*int(unsafe.Sizeof(v[0])))
}

// viewAs is the inverse of bytesOf. It fails on a length that is not a whole number of values.
func viewAs[T any](b []byte) ([]T, error) {
	var t T
	size := int(unsafe.Sizeof(t))
	if len(b)%size != 0 {
		return nil, errDamaged
	}
	if len(b) == 0 {
		return nil, nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), len(b)/size), nil
}

// writeCache writes a cache file atomically.
func writeCache(path, key string, meta any, sections []named) error {
	m, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	h := cacheHeader{Key: key, Meta: m}
	at := int64(0)
	for _, s := range sections {
		h.Sections = append(h.Sections, section{s.name, at, int64(len(s.data))})
		at = aligned(at + int64(len(s.data)))
	}
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	for (prefixBytes+len(head))%alignment != 0 { // so that sections are aligned in the mapping
		head = append(head, ' ')
	}
	sum := crc32.Update(0, castagnoli, head)
	pad := make([]byte, alignment)
	parts := [][]byte{head}
	for _, s := range sections {
		gap := pad[:aligned(int64(len(s.data)))-int64(len(s.data))]
		parts = append(parts, s.data, gap)
		sum = crc32.Update(crc32.Update(sum, castagnoli, s.data), castagnoli, gap)
	}
	prefix := []byte(cacheMagic)
	prefix = binary.LittleEndian.AppendUint32(prefix, uint32(len(head)))
	prefix = binary.LittleEndian.AppendUint32(prefix, sum)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return checkpoint.AtomicWrite(path, func(w io.Writer) error {
		for _, p := range append([][]byte{prefix}, parts...) {
			if _, err := w.Write(p); err != nil {
				return err
			}
		}
		return nil
	})
}

// mapping is a cache file in memory.
type mapping struct {
	data     []byte
	header   cacheHeader
	sections map[string][]byte
}

// openCache maps a cache file and checks it whole. It returns errDamaged for anything but the file that was written.
func openCache(path, key string) (*mapping, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 { // cannot be mapped
		return nil, errDamaged
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	m := &mapping{data: data, sections: map[string][]byte{}}
	if err := m.check(key); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (m *mapping) check(key string) error {
	d := m.data
	if len(d) < prefixBytes {
		return errDamaged
	}
	if string(d[:len(cacheMagic)]) != cacheMagic {
		return errDamaged
	}
	n := int64(binary.LittleEndian.Uint32(d[len(cacheMagic):]))
	sum := binary.LittleEndian.Uint32(d[len(cacheMagic)+4:])
	body := d[prefixBytes:]
	if n > int64(len(body)) || (int64(prefixBytes)+n)%alignment != 0 || crc32.Checksum(body, castagnoli) != sum {
		return errDamaged
	}
	if err := json.Unmarshal(body[:n], &m.header); err != nil || m.header.Key != key {
		return errDamaged
	}
	body = body[n:]
	for _, s := range m.header.Sections {
		if s.Start < 0 || s.Bytes < 0 || s.Start%alignment != 0 || s.Start > int64(len(body)) || s.Bytes > int64(len(body))-s.Start {
			return errDamaged
		}
		m.sections[s.Name] = body[s.Start : s.Start+s.Bytes]
	}
	return nil
}

func (m *mapping) close() error {
	if m.data == nil {
		return nil
	}
	err := unix.Munmap(m.data)
	m.data = nil
	return err
}

// cached returns the mapping of a cache file that valid accepts, building the file when it is absent or damaged.
func cached(path, key string, valid func(*mapping) error, build func() (meta any, sections []named, err error)) (*mapping, error) {
	open := func() (*mapping, error) {
		m, err := openCache(path, key)
		if err != nil {
			return nil, err
		}
		if err := valid(m); err != nil {
			m.close()
			return nil, err
		}
		return m, nil
	}
	m, err := open()
	if err == nil {
		return m, nil
	}
	if !errors.Is(err, errDamaged) && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	meta, sections, err := build()
	if err != nil {
		return nil, err
	}
	if err := writeCache(path, key, meta, sections); err != nil {
		return nil, err
	}
	return open()
}
