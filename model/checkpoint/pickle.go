package checkpoint

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// A pickle is a program for a stack machine. unpickler runs the part of it that torch.save writes for a state dictionary and
// calls nothing: of the names a pickle may ask for it knows the few that tensors are made of, and refuses the others.

// Values of a pickle are nil, bool, int64, float64, string, tuple, *list, *dict, global, storage and pickled.
type (
	tuple []any
	list  struct{ items []any }
	// dict keeps the values under strings; nothing else is looked up.
	dict   struct{ values map[string]any }
	global struct{ name string }
	// storage is a run of elements outside the pickle.
	storage struct {
		key, dtype string
		n          int
	}
	// pickled is a tensor: a strided view of a storage.
	pickled struct {
		storage
		offset        int
		shape, stride []int
	}
)

// storageTypes are the names of torch's element types in a pickle.
var storageTypes = map[string]string{
	"torch.DoubleStorage": "F64", "torch.FloatStorage": "F32", "torch.HalfStorage": "F16", "torch.BFloat16Storage": "BF16",
	"torch.LongStorage": "I64", "torch.IntStorage": "I32", "torch.ShortStorage": "I16", "torch.CharStorage": "I8",
	"torch.ByteStorage": "U8", "torch.BoolStorage": "BOOL",
}

const (
	rebuildTensor    = "torch._utils._rebuild_tensor_v2"
	rebuildParameter = "torch._utils._rebuild_parameter"
	orderedDict      = "collections.OrderedDict"
)

// maxString bounds names and numbers of a pickle, in bytes.
const maxString = 1 << 20

type unpickler struct {
	r     *bufio.Reader
	n     int64 // bytes read
	stack []any
	marks []int // lengths of the stack at each mark
	memo  map[uint32]any
}

func newUnpickler(r io.Reader) *unpickler { return &unpickler{r: bufio.NewReader(r)} }

// load runs one pickle to its end and returns its value. The next one may follow in the same reader.
func (u *unpickler) load() (any, error) {
	u.stack, u.marks, u.memo = u.stack[:0], u.marks[:0], map[uint32]any{}
	for {
		op, err := u.uint(1)
		if err == nil && op == '.' {
			return u.pop()
		}
		if err == nil {
			err = u.step(byte(op))
		}
		if err != nil {
			return nil, fmt.Errorf("the pickle at byte %d: %w", u.n, err)
		}
	}
}

// step runs one opcode. The letters are those of Python's pickletools.
func (u *unpickler) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		v, err := u.uint(1)
		if err == nil && v > 5 {
			err = fmt.Errorf("protocol %d", v)
		}
		return err
	case 0x95: // FRAME
		_, err := u.uint(8)
		return err
	case '(': // MARK
		u.marks = append(u.marks, len(u.stack))
		return nil
	case 'N':
		return u.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		return u.push(op == 0x88)
	case 'K', 'M', 'J': // BININT1, BININT2, BININT
		v, err := u.uint(map[byte]int{'K': 1, 'M': 2, 'J': 4}[op])
		if op == 'J' {
			return u.pushIf(int64(int32(v)), err)
		}
		return u.pushIf(int64(v), err)
	case 0x8a: // LONG1
		return u.long()
	case 'G': // BINFLOAT
		b, err := u.bytes(8)
		if err != nil {
			return err
		}
		return u.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 'X', 0x8c, 0x8d, 'T', 'U': // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, BINSTRING, SHORT_BINSTRING
		n, err := u.uint(map[byte]int{'X': 4, 0x8c: 1, 0x8d: 8, 'T': 4, 'U': 1}[op])
		if err != nil {
			return err
		}
		b, err := u.bytes(n)
		return u.pushIf(string(b), err)
	case 'q', 'r', 0x94: // BINPUT, LONG_BINPUT, MEMOIZE
		at := uint64(len(u.memo))
		var err error
		if op != 0x94 {
			at, err = u.uint(map[byte]int{'q': 1, 'r': 4}[op])
		}
		if err == nil && len(u.stack) == 0 {
			err = errEmpty
		}
		if err == nil {
			u.memo[uint32(at)] = u.stack[len(u.stack)-1]
		}
		return err
	case 'h', 'j': // BINGET, LONG_BINGET
		at, err := u.uint(map[byte]int{'h': 1, 'j': 4}[op])
		v, ok := u.memo[uint32(at)]
		if err == nil && !ok {
			err = fmt.Errorf("nothing is remembered as %d", at)
		}
		return u.pushIf(v, err)
	case 'c': // GLOBAL
		module, err := u.line()
		if err != nil {
			return err
		}
		name, err := u.line()
		if err != nil {
			return err
		}
		return u.global(module, name)
	case 0x93: // STACK_GLOBAL
		two, err := u.popN(2)
		if err != nil {
			return err
		}
		module, ok := two[0].(string)
		name, ok2 := two[1].(string)
		if !ok || !ok2 {
			return errors.New("a name that is not a string")
		}
		return u.global(module, name)
	case 'Q': // BINPERSID
		return u.persistent()
	case 'R': // REDUCE
		return u.reduce()
	default:
		return u.collect(op)
	}
}

// collect runs the opcodes of tuples, lists and dictionaries.
func (u *unpickler) collect(op byte) error {
	switch op {
	case ')':
		return u.push(tuple{})
	case ']':
		return u.push(&list{})
	case '}':
		return u.push(&dict{map[string]any{}})
	case 0x85, 0x86, 0x87: // TUPLE1, TUPLE2, TUPLE3
		v, err := u.popN(int(op) - 0x84)
		return u.pushIf(tuple(v), err)
	case 't':
		v, err := u.popMark()
		return u.pushIf(tuple(v), err)
	case 'l':
		v, err := u.popMark()
		return u.pushIf(&list{v}, err)
	case 'a', 'e': // APPEND, APPENDS
		v, err := u.arguments(op == 'a', 1)
		if err != nil {
			return err
		}
		if l, ok := u.top().(*list); ok {
			l.items = append(l.items, v...)
			return nil
		}
		return errors.New("what is appended to is not a list")
	case 's', 'u': // SETITEM, SETITEMS
		v, err := u.arguments(op == 's', 2)
		if err != nil {
			return err
		}
		d, ok := u.top().(*dict)
		if !ok || len(v)%2 != 0 {
			return errors.New("what is set is not in a dictionary")
		}
		for i := 0; i < len(v); i += 2 {
			if key, ok := v[i].(string); ok {
				d.values[key] = v[i+1]
			}
		}
		return nil
	case 'b': // BUILD: attributes of a dictionary, such as PyTorch's version numbers of modules
		if _, err := u.pop(); err != nil {
			return err
		}
		if _, ok := u.top().(*dict); !ok {
			return errors.New("attributes of what is not a dictionary")
		}
		return nil
	}
	return fmt.Errorf("opcode %#x, which tensors do not need", op)
}

// global pushes a name, if it is one that tensors are made of.
func (u *unpickler) global(module, name string) error {
	g := global{module + "." + name}
	if storageTypes[g.name] == "" && g.name != rebuildTensor && g.name != rebuildParameter && g.name != orderedDict {
		return fmt.Errorf("it asks for %.80q, which no tensor is made of; nothing of it was run", g.name)
	}
	return u.push(g)
}

// persistent pushes the storage that ("storage", type, key, device, elements) names; older files add a sixth value.
func (u *unpickler) persistent() error {
	v, err := u.pop()
	if err != nil {
		return err
	}
	t, _ := v.(tuple)
	if len(t) == 5 || len(t) == 6 && t[5] == nil {
		kind, ok0 := t[0].(string)
		class, ok1 := t[1].(global)
		key, ok2 := t[2].(string)
		n, ok3 := t[4].(int64)
		dtype := storageTypes[class.name]
		if ok0 && ok1 && ok2 && ok3 && kind == "storage" && dtype != "" && n >= 0 && n <= math.MaxInt64/8 {
			return u.push(storage{key, dtype, int(n)})
		}
	}
	return errors.New("a storage it cannot mean")
}

// reduce is a call of a name; those that are known make tensors and empty dictionaries.
func (u *unpickler) reduce() error {
	v, err := u.popN(2)
	if err != nil {
		return err
	}
	f, _ := v[0].(global)
	args, _ := v[1].(tuple)
	switch {
	case f.name == orderedDict && len(args) == 0:
		return u.push(&dict{map[string]any{}})
	case f.name == rebuildParameter && len(args) == 3:
		if t, ok := args[0].(pickled); ok {
			return u.push(t)
		}
	case f.name == rebuildTensor && len(args) >= 6:
		s, ok := args[0].(storage)
		offset, ok1 := args[1].(int64)
		shape, ok2 := ints(args[2])
		stride, ok3 := ints(args[3])
		if ok && ok1 && ok2 && ok3 && len(shape) == len(stride) && offset >= 0 {
			t := pickled{s, int(offset), shape, stride}
			if _, err := t.span(); err != nil {
				return err
			}
			return u.push(t)
		}
	}
	return fmt.Errorf("arguments that %.80q does not take", f.name)
}

// span returns how many elements of the storage, from offset on, the tensor reaches over.
func (t *pickled) span() (int, error) {
	if _, err := byteSize(t.dtype, t.shape); err != nil {
		return 0, err
	}
	last := 0
	for i, d := range t.shape {
		if d == 0 {
			return 0, nil
		}
		if t.stride[i] < 0 || d > 1 && t.stride[i] > t.n/(d-1) {
			return 0, fmt.Errorf("shape %v with strides %v in a storage of %d", t.shape, t.stride, t.n)
		}
		last += (d - 1) * t.stride[i]
		if last >= t.n {
			return 0, fmt.Errorf("shape %v with strides %v in a storage of %d", t.shape, t.stride, t.n)
		}
	}
	if t.offset > t.n-last-1 {
		return 0, fmt.Errorf("shape %v from element %d in a storage of %d", t.shape, t.offset, t.n)
	}
	return last + 1, nil
}

// ints reads a tuple of numbers.
func ints(v any) ([]int, bool) {
	t, ok := v.(tuple)
	out := make([]int, len(t))
	for i := range t {
		n, isInt := t[i].(int64)
		ok = ok && isInt
		out[i] = int(n)
	}
	return out, ok
}

var errEmpty = errors.New("nothing is left on the stack")

func (u *unpickler) push(v any) error {
	u.stack = append(u.stack, v)
	return nil
}

func (u *unpickler) pushIf(v any, err error) error {
	if err != nil {
		return err
	}
	return u.push(v)
}

// floor is how far down the stack operations may reach: to the last mark.
func (u *unpickler) floor() int {
	if len(u.marks) == 0 {
		return 0
	}
	return u.marks[len(u.marks)-1]
}

func (u *unpickler) top() any {
	if len(u.stack) == u.floor() {
		return nil
	}
	return u.stack[len(u.stack)-1]
}

func (u *unpickler) pop() (any, error) {
	v, err := u.popN(1)
	if err != nil {
		return nil, err
	}
	return v[0], nil
}

func (u *unpickler) popN(n int) ([]any, error) {
	at := len(u.stack) - n
	if at < u.floor() {
		return nil, errEmpty
	}
	v := append([]any(nil), u.stack[at:]...)
	u.stack = u.stack[:at]
	return v, nil
}

func (u *unpickler) popMark() ([]any, error) {
	if len(u.marks) == 0 {
		return nil, errors.New("no mark on the stack")
	}
	v, err := u.popN(len(u.stack) - u.floor())
	u.marks = u.marks[:len(u.marks)-1]
	return v, err
}

// arguments pops n values, or all down to the mark.
func (u *unpickler) arguments(one bool, n int) ([]any, error) {
	if one {
		return u.popN(n)
	}
	return u.popMark()
}

// bytes reads n bytes.
func (u *unpickler) bytes(n uint64) ([]byte, error) {
	if n > maxString {
		return nil, fmt.Errorf("a string of %d bytes", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(u.r, b); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	u.n += int64(n)
	return b, nil
}

// uint reads a little-endian number of n bytes.
func (u *unpickler) uint(n int) (uint64, error) {
	var b [8]byte
	in, err := u.bytes(uint64(n))
	copy(b[:], in)
	return binary.LittleEndian.Uint64(b[:]), err
}

// long reads a two's complement number with its length; torch writes sizes beyond 2^31 so.
func (u *unpickler) long() error {
	n, err := u.uint(1)
	if err != nil {
		return err
	}
	if n > 8 {
		return fmt.Errorf("a number of %d bytes", n)
	}
	v, err := u.uint(int(n))
	shift := 64 - 8*n
	return u.pushIf(int64(v<<shift)>>shift, err)
}

// line reads up to the end of a line.
func (u *unpickler) line() (string, error) {
	var line []byte
	for {
		b, err := u.uint(1)
		if err != nil {
			return "", err
		}
		if b == '\n' {
			return string(line), nil
		}
		if line = append(line, byte(b)); len(line) > maxString {
			return "", errors.New("a name without an end")
		}
	}
}
