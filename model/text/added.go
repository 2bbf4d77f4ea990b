package text

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// added is a token that is found in the text as it stands, before words are cut: a special one like [MASK], or one that a
// user added. The fields are those of tokenizer.json.
type added struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only between characters that are no part of a word
	LStrip     bool   `json:"lstrip"`      // takes the white space before it along
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"` // is looked for in the normalised text
	Special    bool   `json:"special"`
}

// finder looks for added tokens: the first in the text, and of those that begin there the longest.
type finder struct {
	first  [256]bool
	tokens []found // longer ones first
}

type found struct {
	text string
	*added
}

func newFinder(tokens []found) *finder {
	f := &finder{}
	for _, t := range tokens {
		if t.text != "" {
			f.first[t.text[0]] = true
			f.tokens = append(f.tokens, t)
		}
	}
	slices.SortStableFunc(f.tokens, func(a, b found) int { return len(b.text) - len(a.text) })
	return f
}

func (f *finder) at(s string) *found {
	for i := range f.tokens {
		if strings.HasPrefix(s, f.tokens[i].text) {
			return &f.tokens[i]
		}
	}
	return nil
}

// next finds the next token at or after from, where text before kept is already taken. It returns the stretch that the token
// takes, and where to go on.
func (f *finder) next(u *classes, s string, from, kept int) (id int32, lo, hi, rest int, ok bool) {
	if len(f.tokens) == 0 {
		return 0, 0, 0, 0, false
	}
	for i := from; i < len(s); i++ {
		if !f.first[s[i]] {
			continue
		}
		t := f.at(s[i:])
		if t == nil {
			continue
		}
		lo, hi := i, i+len(t.text)
		if t.SingleWord && (wordBefore(u, s[:lo]) || wordAfter(u, s[hi:])) {
			i = hi - 1
			continue
		}
		rest := hi
		if t.LStrip {
			lo = max(kept, len(trimWhite(u, s[:lo])))
		}
		if t.RStrip {
			hi = u.run(s, hi, len(s), white, white)
		}
		return t.ID, lo, hi, rest, true
	}
	return 0, 0, 0, 0, false
}

func wordBefore(u *classes, s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && u.of(r)&word != 0
}

func wordAfter(u *classes, s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && u.of(r)&word != 0
}

func trimWhite(u *classes, s string) string {
	for s != "" {
		r, n := utf8.DecodeLastRuneInString(s)
		if u.of(r)&white == 0 {
			break
		}
		s = s[:len(s)-n]
	}
	return s
}
