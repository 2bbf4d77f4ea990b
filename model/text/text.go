// Package text turns text into token ids and back as Hugging Face's `tokenizers` does: WordPiece with BERT's normalisation
// and byte-level BPE. It reads the tokenizer of a Hugging Face folder, writes one, and trains one from text.
//
//	t, err := text.Open("bert-base-uncased")
//	ids := t.Append(nil, "a sentence")         // without special tokens
//	ids, types := t.Wrap(nil, nil, ids, nil, 128) // [CLS] a sentence [SEP]
//
// No input fails: a byte that is not UTF-8 is read as U+FFFD, and of a text of more than 128 MiB the rest is not read.
package text

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// Token is a token of a text and the part of the text it stands for.
type Token struct {
	ID int32
	// Start and End count bytes of the text and lie between characters. They are the offsets of `tokenizers`, which counts
	// characters: a token that is a part of a character has the whole character's.
	Start, End int32
}

// Special holds the ids of special tokens, -1 for one that the tokenizer does not have. RoBERTa calls CLS <s> and SEP </s>.
type Special struct{ CLS, SEP, Mask, Pad, Unknown int32 }

// model turns a piece of text into tokens.
type model interface {
	parts(sc *scratch, piece string, out []part) []part
}

// Tokenizer turns text into ids. It does not change after it was opened, and any number of goroutines may use it.
type Tokenizer struct {
	file    file // what it was made of, for Save
	special Special
	tokens  []string // by id; "" where there is none
	ids     map[string]int32
	added   map[int32]*added
	mark    []mark

	unicode   *classes
	raw       *finder // in the text as it stands
	cooked    *finder // in the normalised text
	norm      []normalizer
	bert      *bert // the only normaliser, if it is BERT's
	split     []splitter
	byteLevel bool // the last of which is byteLevel
	model     model
	trim      bool // offsets leave out the spaces of a token
	space     bool // and a space before the first token was put there by us
	single    []slot
	pair      []slot
	decode    func(tokens []string) string
	scratch   sync.Pool
}

// mark says what a token is.
type mark uint8

const (
	isSpecial mark = 1 << iota
	startsWord
)

// scratch is the working memory of one call.
type scratch struct {
	fixed   []byte // the text as valid UTF-8
	fixedAt []span
	buf     []byte // a normalised stretch
	at      []span
	chars   chars
	pieces  [2][]piece
	word    []byte // a piece after a space
	parts   []part
	symbols []symbol
	heap    heap[candidate]
	places  []place // of the ids, if they are asked for
}

// place is where a token is in the text; found says that it was found there as it stands and not made by the model.
type place struct {
	span
	found bool
}

// Append appends the ids of text to dst, without special tokens around them. Special tokens in the text are found.
func (t *Tokenizer) Append(dst []int32, text string) []int32 {
	sc := t.scratch.Get().(*scratch)
	defer t.scratch.Put(sc)
	return t.run(sc, dst, text, false)
}

// Encode returns the tokens of text, without special tokens around them.
func (t *Tokenizer) Encode(text string) []Token {
	sc := t.scratch.Get().(*scratch)
	defer t.scratch.Put(sc)
	sc.places = sc.places[:0]
	ids := t.run(sc, nil, text, true)
	out := make([]Token, len(ids))
	for i, id := range ids {
		s := sc.places[i]
		if t.trim {
			s = t.trimmed(text, id, s, i == 0)
		}
		out[i] = Token{id, s.from, s.to}
	}
	return out
}

// trimmed leaves the spaces at the ends of a token out of its span. A space that was put before the first token has no place
// in the text.
func (t *Tokenizer) trimmed(text string, id int32, s place, first bool) place {
	token := t.tokens[id]
	if s.found {
		token = text[s.from:s.to] // with the white space that it took along
	}
	isSpace := func(r rune) bool { return r == byteChars[' '] || t.unicode.of(r)&white != 0 }
	before := utf8.RuneCountInString(token) - utf8.RuneCountInString(strings.TrimLeftFunc(token, isSpace))
	after := utf8.RuneCountInString(token) - utf8.RuneCountInString(strings.TrimRightFunc(token, isSpace))
	if before == 1 && t.space && (first || s.from == 0) {
		before = 0 // several are the text's own
	}
	for ; before > 0 && s.from < s.to; before-- {
		_, n := utf8.DecodeRuneInString(text[s.from:])
		s.from += int32(n)
	}
	for ; after > 0 && s.to > s.from; after-- {
		_, n := utf8.DecodeLastRuneInString(text[:s.to])
		s.to -= int32(n)
	}
	return s
}

// maxText is the length up to which offsets are sure to fit: one code point of 3 bytes may become 18.
const maxText = 128 << 20

// run cuts the text at the tokens that are found in it as it stands; what is between goes on to stretch.
func (t *Tokenizer) run(sc *scratch, dst []int32, text string, track bool) []int32 {
	s := sc.valid(text[:min(len(text), maxText)], track)
	return t.cut(sc, dst, s, t.raw, track, (*Tokenizer).stretch)
}

// cut emits the tokens that f finds in s, and calls rest for the stretches between them.
func (t *Tokenizer) cut(sc *scratch, dst []int32, s source, f *finder, track bool, rest func(*Tokenizer, *scratch, []int32, source, bool) []int32) []int32 {
	kept := 0
	for from := 0; ; {
		id, lo, hi, next, ok := f.next(t.unicode, s.text, from, kept)
		if !ok {
			break
		}
		if kept < lo {
			dst = rest(t, sc, dst, s.slice(kept, lo), track)
		}
		dst = append(dst, id)
		if track {
			sc.places = append(sc.places, place{s.span(lo, hi), true})
		}
		kept, from = hi, next
	}
	if kept < len(s.text) {
		dst = rest(t, sc, dst, s.slice(kept, len(s.text)), track)
	}
	return dst
}

// stretch normalises a stretch of text and cuts it at the tokens that are found in normalised text.
func (t *Tokenizer) stretch(sc *scratch, dst []int32, s source, track bool) []int32 {
	return t.cut(sc, dst, t.normalise(sc, s, track), t.cooked, track, (*Tokenizer).words)
}

// words cuts a normalised stretch into pieces and those into tokens.
func (t *Tokenizer) words(sc *scratch, dst []int32, s source, track bool) []int32 {
	now, next := append(sc.pieces[0][:0], piece{0, int32(len(s.text)), false}), sc.pieces[1]
	for _, split := range t.split {
		next = next[:0]
		for _, p := range now {
			next = split(t.unicode, s.text, p, next)
		}
		now, next = next, now
	}
	sc.pieces = [2][]piece{now, next}
	for _, p := range now {
		w, shift := s.text[p.lo:p.hi], int(p.lo)
		if p.spaced {
			sc.word = append(append(sc.word[:0], ' '), w...)
			w = view(sc.word)
			shift--
		}
		sc.parts = t.model.parts(sc, w, sc.parts[:0])
		begin := 0
		for _, x := range sc.parts {
			dst = append(dst, x.id)
			if track {
				// The space before a piece stands for the character after it.
				lo := max(shift+begin, int(p.lo))
				sc.places = append(sc.places, place{s.span(lo, max(shift+int(x.end), lo+1)), false})
			}
			begin = int(x.end)
		}
	}
	return dst
}

// Size returns the size of the vocabulary: the largest id and one.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// ByteLevel reports whether the tokenizer is byte-level BPE, like RoBERTa's, and not WordPiece.
func (t *Tokenizer) ByteLevel() bool { return t.byteLevel }

// Special returns the ids of the special tokens.
func (t *Tokenizer) Special() Special { return t.special }

// ID returns the id of a token as it is written in the vocabulary.
func (t *Tokenizer) ID(token string) (int32, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// IsSpecial reports whether id is a special token. An id outside of the vocabulary is none.
func (t *Tokenizer) IsSpecial(id int32) bool { return t.is(id, isSpecial) }

// WordStart reports whether the token begins a word by itself: without ## in WordPiece, with a space before it (Ġ) in
// byte-level BPE. The first token of a text begins a word in any case: see Words.
func (t *Tokenizer) WordStart(id int32) bool { return t.is(id, startsWord) }

func (t *Tokenizer) is(id int32, m mark) bool {
	return id >= 0 && int(id) < len(t.mark) && t.mark[id]&m != 0
}

// Words appends to dst, for each id of a sequence, the number of its word in it, counted from 0, or -1 for a special token.
// A special token ends a word.
func (t *Tokenizer) Words(dst, ids []int32) []int32 {
	n, open := int32(-1), false
	for _, id := range ids {
		if t.IsSpecial(id) {
			dst, open = append(dst, -1), false
			continue
		}
		if !open || t.WordStart(id) {
			n++
		}
		dst, open = append(dst, n), true
	}
	return dst
}

// Text returns the token as it is written in the vocabulary, "" for an id outside of it.
func (t *Tokenizer) Text(id int32) string {
	if id < 0 || int(id) >= len(t.tokens) {
		return ""
	}
	return t.tokens[id]
}

// Decode returns the text of ids without special tokens. WordPiece has lost capitals, accents and spaces by then.
func (t *Tokenizer) Decode(ids []int32) string {
	tokens := make([]string, 0, len(ids))
	for _, id := range ids {
		if s := t.Text(id); s != "" && !t.IsSpecial(id) {
			tokens = append(tokens, s)
		}
	}
	return t.decode(tokens)
}

// decodeWordPiece joins tokens by spaces, except those that go on a word, and takes the spaces before punctuation away.
func decodeWordPiece(prefix string, cleanup bool) func([]string) string {
	tidy := []string{" .", ".", " ?", "?", " !", "!", " ,", ",", " ' ", "'", " n't", "n't", " 'm", "'m", " do not", " don't", " 's", "'s", " 've", "'ve", " 're", "'re"}
	return func(tokens []string) string {
		var b strings.Builder
		for i, s := range tokens {
			if i > 0 {
				if rest, ok := strings.CutPrefix(s, prefix); ok {
					s = rest
				} else {
					s = " " + s
				}
			}
			for k := 0; cleanup && k < len(tidy); k += 2 {
				s = strings.ReplaceAll(s, tidy[k], tidy[k+1])
			}
			b.WriteString(s)
		}
		return b.String()
	}
}

// decodeByteLevel puts the bytes together again. What is not UTF-8 then, as half a character, becomes U+FFFD.
func decodeByteLevel(tokens []string) string {
	var b strings.Builder
	for _, s := range tokens {
		if raw, ok := bytesOf(s); ok {
			s = raw
		}
		b.WriteString(s)
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}
