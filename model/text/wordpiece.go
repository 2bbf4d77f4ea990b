package text

import (
	"strings"
	"unicode/utf8"
)

// part is a token of a piece: it ends at byte end of the piece and begins where the one before ends.
type part struct{ id, end int32 }

// wordPiece takes the longest token that begins a word, then the longest that goes on, and so on. A word for which that
// fails, or which is longer than longest characters, is unknown as a whole.
type wordPiece struct {
	starts  map[string]int32
	goes    map[string]int32 // without the prefix
	prefix  string
	unknown int32
	longest int // characters
	size    int // bytes of the longest token
}

func newWordPiece(tokens []string, prefix string, unknown int32, longest int) *wordPiece {
	m := &wordPiece{map[string]int32{}, map[string]int32{}, prefix, unknown, longest, 0}
	for i, t := range tokens {
		if t == "" {
			continue
		}
		m.starts[t] = int32(i)
		if rest, ok := strings.CutPrefix(t, prefix); ok && rest != "" {
			m.goes[rest] = int32(i)
		}
		m.size = max(m.size, len(t))
	}
	return m
}

func (m *wordPiece) parts(_ *scratch, w string, out []part) []part {
	if len(w) <= m.size && len(w) <= m.longest { // bytes are at least as many as characters
		if id, ok := m.starts[w]; ok {
			return append(out, part{id, int32(len(w))})
		}
	}
	n, from := len(out), m.starts
	for at := 0; at < len(w); from = m.goes {
		end := min(len(w), at+m.size)
		for ; end > at; end-- {
			if end < len(w) && !utf8.RuneStart(w[end]) {
				continue
			}
			if id, ok := from[w[at:end]]; ok {
				out = append(out, part{id, int32(end)})
				break
			}
		}
		if end == at {
			return append(out[:n], part{m.unknown, int32(len(w))})
		}
		at = end
	}
	if len(w) > m.longest && utf8.RuneCountInString(w) > m.longest {
		return append(out[:n], part{m.unknown, int32(len(w))})
	}
	return out
}
