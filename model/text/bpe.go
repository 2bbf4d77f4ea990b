package text

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// Byte-level BPE writes every byte as a printable character: those of ASCII and Latin-1 that are printable as themselves,
// the others as U+0100 and on. A space is Ġ.
var byteChars, charBytes = func() (chars [256]rune, bytes map[rune]byte) {
	bytes = map[rune]byte{}
	next := rune(0x100)
	for b := range 256 {
		chars[b] = rune(b)
		if !('!' <= b && b <= '~' || 0xa1 <= b && b <= 0xac || 0xae <= b) {
			chars[b] = next
			next++
		}
		bytes[chars[b]] = byte(b)
	}
	return chars, bytes
}()

// bytesOf returns the bytes that a token of a byte-level vocabulary stands for.
func bytesOf(token string) (string, bool) {
	var b strings.Builder
	for _, r := range token {
		v, ok := charBytes[r]
		if !ok {
			return "", false
		}
		b.WriteByte(v)
	}
	return b.String(), true
}

func charsOf(bytes string) string {
	var b strings.Builder
	for i := range len(bytes) {
		b.WriteRune(byteChars[bytes[i]])
	}
	return b.String()
}

// merge is what two neighbouring symbols become. The lower rank goes first.
type merge struct{ rank, id int32 }

// bpe joins the bytes of a word, always the pair of lowest rank and of those the first, as long as there is one.
type bpe struct {
	bytes   [256]int32 // token of each byte, -1 if it has none
	merges  map[uint64]merge
	unknown int32            // stands for bytes without a token; -1: they are left out
	fuse    bool             // one unknown for neighbouring ones
	whole   map[string]int32 // words that are tokens, looked up before merging; nil unless ignore_merges is set
	cache   cache
}

func pair(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

// symbol is a stretch of a word, in a list linked by place; id is -1 once it was joined to the one before it.
type symbol struct{ id, end, prev, next int32 }

// candidate is a pair of symbols that can be merged: the left one's place, and both ids, by which it is seen to be out of date.
type candidate struct {
	rank, at    int32
	left, right int32
	id          int32
}

func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.at < d.at
}

func (m *bpe) parts(sc *scratch, w string, out []part) []part {
	if id, ok := m.whole[w]; ok {
		return append(out, part{id, int32(len(w))})
	}
	hit, free := m.cache.find(w)
	if hit != nil {
		return append(out, hit.parts...)
	}
	n := len(out)
	out = m.join(sc, w, out)
	if free != nil { // another call may have taken it meanwhile
		free.CompareAndSwap(nil, &cached{strings.Clone(w), append([]part(nil), out[n:]...)})
	}
	return out
}

func (m *bpe) join(sc *scratch, w string, out []part) []part {
	sc.symbols, sc.heap = sc.symbols[:0], sc.heap[:0]
	for i := range len(w) {
		id := m.bytes[w[i]]
		if id < 0 {
			if id = m.unknown; id < 0 {
				continue
			}
			if n := len(sc.symbols); m.fuse && n > 0 && sc.symbols[n-1].id == id && int(sc.symbols[n-1].end) == i && m.bytes[w[i-1]] < 0 {
				sc.symbols[n-1].end++
				continue
			}
		}
		n := int32(len(sc.symbols))
		sc.symbols = append(sc.symbols, symbol{id, int32(i + 1), n - 1, n + 1})
	}
	s := sc.symbols
	for i := range len(s) - 1 {
		m.offer(sc, int32(i), int32(i+1))
	}
	for len(sc.heap) > 0 {
		c := sc.heap.pop()
		l := &s[c.at]
		if l.id != c.left || int(l.next) >= len(s) || s[l.next].id != c.right {
			continue
		}
		r := &s[l.next]
		l.id, l.end, l.next = c.id, r.end, r.next
		r.id = -1
		if int(l.next) < len(s) {
			s[l.next].prev = c.at
			m.offer(sc, c.at, l.next)
		}
		if l.prev >= 0 {
			m.offer(sc, l.prev, c.at)
		}
	}
	for _, x := range s {
		if x.id >= 0 {
			out = append(out, part{x.id, x.end})
		}
	}
	return out
}

// offer puts the pair of symbols at l and r on the heap if it can be merged.
func (m *bpe) offer(sc *scratch, l, r int32) {
	left, right := sc.symbols[l].id, sc.symbols[r].id
	if to, ok := m.merges[pair(left, right)]; ok {
		sc.heap.push(candidate{to.rank, l, left, right, to.id})
	}
}

// cached is a word and its tokens.
type cached struct {
	word  string
	parts []part
}

const (
	cacheBits  = 15
	cacheProbe = 4  // slots that a word may be in
	cacheWord  = 64 // bytes of the longest word that is kept
)

// cache remembers the tokens of words, the first that come, without locks; it never grows beyond its slots. Results do not
// depend on what is in it.
type cache struct {
	seed  maphash.Seed
	slots []atomic.Pointer[cached]
}

func newCache() cache {
	return cache{maphash.MakeSeed(), make([]atomic.Pointer[cached], 1<<cacheBits)}
}

// find returns what is remembered of w, or else a free slot for it, or neither.
func (c *cache) find(w string) (hit *cached, free *atomic.Pointer[cached]) {
	if len(w) > cacheWord {
		return nil, nil
	}
	h := maphash.String(c.seed, w)
	for i := range uint64(cacheProbe) {
		slot := &c.slots[(h+i)&(1<<cacheBits-1)]
		switch p := slot.Load(); {
		case p == nil:
			return nil, slot
		case p.word == w:
			return p, nil
		}
	}
	return nil, nil
}
