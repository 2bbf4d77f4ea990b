package text

import (
	"slices"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/text/unicode/norm"
)

// span is a stretch of the input in bytes.
type span struct{ from, to int32 }

// source is a stretch of text on its way through the tokenizer, and where in the input it comes from: byte i of text comes
// from at[i], or, where at is nil, from byte base+i.
type source struct {
	text string
	at   []span
	base int32
}

func (s source) slice(lo, hi int) source {
	if s.at != nil {
		return source{s.text[lo:hi], s.at[lo:hi], 0}
	}
	return source{s.text[lo:hi], nil, s.base + int32(lo)}
}

// span returns the whole characters of the input from which text[lo:hi] comes. lo < hi.
func (s source) span(lo, hi int) span {
	if s.at != nil {
		return span{s.at[lo].from, s.at[hi-1].to}
	}
	for lo > 0 && !utf8.RuneStart(s.text[lo]) {
		lo--
	}
	for hi < len(s.text) && !utf8.RuneStart(s.text[hi]) {
		hi++
	}
	return span{s.base + int32(lo), s.base + int32(hi)}
}

// view is a string that shares b's bytes. It is for text in scratch memory, which does not change while it is looked at.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// char is a code point of a text that is being normalised and the part of the input it stands for.
type char struct {
	r rune
	span
}

// change is a code point of a normalised text: it stands for the next code point of the text before and for -by more; with
// by = 1 it was inserted and stands for what the code point before it stands for. This is how `tokenizers` keeps offsets.
type change struct {
	r   rune
	by  int32
	ccc uint8
}

// chars is scratch memory for one text between two normalisers.
type chars struct {
	now, next []char
	changes   []change
}

func (c *chars) read(s source) {
	c.now = c.now[:0]
	for i, r := range s.text {
		c.now = append(c.now, char{r, s.span(i, i+1)})
	}
}

// apply makes now the text that the changes describe.
func (c *chars) apply() {
	c.next = c.next[:0]
	taken := 0
	for _, ch := range c.changes {
		var at span
		switch {
		case ch.by <= 0:
			at = c.now[taken].span
			taken += 1 - int(ch.by)
		case taken > 0:
			at = c.now[taken-1].span
		}
		c.next = append(c.next, char{ch.r, at})
	}
	c.now, c.next = c.next, c.now
}

func (c *chars) drop(u *classes, what class) {
	c.now = slices.DeleteFunc(c.now, func(ch char) bool { return u.of(ch.r)&what != 0 })
}

// normalizer is one step of normalisation.
type normalizer func(u *classes, c *chars)

// bert is BERT's normalisation: control characters dropped and white space made spaces, ideographs between spaces, accents
// stripped, lower case.
type bert struct{ clean, cjk, strip, lower bool }

func (b bert) apply(u *classes, c *chars) {
	if b.clean {
		c.drop(u, removed)
		for i := range c.now {
			if u.of(c.now[i].r)&blank != 0 {
				c.now[i].r = ' '
			}
		}
	}
	if b.cjk {
		spaceIdeographs(u, c)
	}
	if b.strip {
		decompose(u, c, norm.NFD)
		c.drop(u, nonspacing)
	}
	if b.lower {
		lowercase(u, c)
	}
}

func spaceIdeographs(u *classes, c *chars) {
	c.next = c.next[:0]
	for _, ch := range c.now {
		if u.of(ch.r)&cjk != 0 {
			c.next = append(c.next, char{' ', ch.span}, ch, char{' ', ch.span})
		} else {
			c.next = append(c.next, ch)
		}
	}
	c.now, c.next = c.next, c.now
}

func lowercase(u *classes, c *chars) {
	c.next = c.next[:0]
	for _, ch := range c.now {
		r, long := u.lower(ch.r)
		if long == "" {
			c.next = append(c.next, char{r, ch.span})
		}
		for _, r := range long {
			c.next = append(c.next, char{r, ch.span})
		}
	}
	c.now, c.next = c.next, c.now
}

func stripAccents(u *classes, c *chars) { c.drop(u, combining) }

// Hangul syllables decompose by arithmetic (Unicode 3.12).
const (
	hangulBase, hangulLast      = 0xac00, 0xd7a3
	jamoL, jamoV, jamoT         = 0x1100, 0x1161, 0x11a7
	jamoVCount, jamoTCount      = 21, 28
	hangulLVCount          rune = jamoVCount * jamoTCount
)

// decompose replaces characters by their full decomposition of the given form, NFD or NFKD, in canonical order.
func decompose(u *classes, c *chars, form norm.Form) {
	c.decompositions(u, form)
	c.apply()
}

func (c *chars) decompositions(u *classes, form norm.Form) {
	c.changes = c.changes[:0]
	marks := 0 // first of the marks at the end that are still to be ordered
	put := func(r rune, by int32, ccc uint8) {
		c.changes = append(c.changes, change{r, by, ccc})
		if ccc == 0 {
			order(c.changes[marks : len(c.changes)-1])
			marks = len(c.changes)
		}
	}
	for _, ch := range c.now {
		switch {
		case u.of(ch.r)&moved == 0:
			put(ch.r, 0, 0)
		case hangulBase <= ch.r && ch.r <= hangulLast:
			s := ch.r - hangulBase
			put(jamoL+s/hangulLVCount, 0, 0)
			put(jamoV+s%hangulLVCount/jamoTCount, 1, 0)
			if t := s % jamoTCount; t != 0 {
				put(jamoT+t, 1, 0)
			}
		default:
			var buf [utf8.UTFMax]byte
			p := form.Properties(buf[:utf8.EncodeRune(buf[:], ch.r)])
			if d := p.Decomposition(); d != nil {
				by := int32(0)
				for len(d) > 0 {
					r, n := utf8.DecodeRune(d)
					put(r, by, combiningClass(u, d[:n]))
					d, by = d[n:], 1
				}
			} else {
				put(ch.r, 0, p.CCC())
			}
		}
	}
	order(c.changes[marks:])
}

func combiningClass(u *classes, b []byte) uint8 {
	if r, _ := utf8.DecodeRune(b); u.of(r)&moved == 0 {
		return 0
	}
	return norm.NFD.Properties(b).CCC()
}

// order sorts marks by combining class and keeps equal ones as they are.
func order(marks []change) {
	if len(marks) > 1 {
		slices.SortStableFunc(marks, func(a, b change) int { return int(a.ccc) - int(b.ccc) })
	}
}

// compose decomposes and then joins characters again where Unicode's canonical composition does.
func compose(u *classes, c *chars, form norm.Form) {
	c.decompositions(u, form)
	out := c.changes[:0]
	starter := -1 // the last character of class 0 in out, to which marks may be joined
	last := -1    // class of the last mark after it that was not joined
	for _, ch := range c.changes {
		if starter >= 0 && (last < 0 || last < int(ch.ccc)) {
			if r, ok := composite(u, out[starter].r, ch.r); ok {
				out[starter].r = r
				out[starter].by += ch.by - 1
				continue
			}
		}
		if ch.ccc == 0 {
			starter, last = len(out), -1
		} else if starter >= 0 {
			last = int(ch.ccc)
		}
		out = append(out, ch)
	}
	c.changes = out
	c.apply()
}

// composite returns the character that a and b compose to.
func composite(u *classes, a, b rune) (rune, bool) {
	var in, out [2 * utf8.UTFMax]byte
	n := utf8.EncodeRune(in[:], a)
	n += utf8.EncodeRune(in[n:], b)
	s := norm.NFC.Append(out[:0], in[:n]...)
	r, size := utf8.DecodeRune(s)
	return r, size == len(s) && u.of(r)&moved != 0
}

// normalise applies the tokenizer's normalisation. The result lies in the scratch memory until the next call.
func (t *Tokenizer) normalise(sc *scratch, s source, track bool) source {
	switch {
	case t.bert != nil:
		return t.bert.fast(t.unicode, sc, s, track)
	case len(t.norm) == 0 || s.text == "":
		return s
	}
	c := &sc.chars
	c.read(s)
	for _, step := range t.norm {
		step(t.unicode, c)
	}
	sc.buf, sc.at = sc.buf[:0], sc.at[:0]
	sc.write(c.now, track)
	return sc.source(track)
}

func (sc *scratch) source(track bool) source {
	if !track {
		return source{text: view(sc.buf)}
	}
	return source{text: view(sc.buf), at: sc.at}
}

func (sc *scratch) write(chars []char, track bool) {
	for _, ch := range chars {
		n := len(sc.buf)
		sc.buf = utf8.AppendRune(sc.buf, ch.r)
		for ; track && n < len(sc.buf); n++ {
			sc.at = append(sc.at, ch.span)
		}
	}
}

// fast is apply for whole texts: ASCII, which no other character changes, is mapped byte by byte, and only what is between
// goes through apply.
func (b *bert) fast(u *classes, sc *scratch, s source, track bool) source {
	sc.buf, sc.at = sc.buf[:0], sc.at[:0]
	for i := 0; i < len(s.text); {
		if v := s.text[i]; v < utf8.RuneSelf {
			k := u.ascii[v]
			switch {
			case b.clean && k&removed != 0:
				i++
				continue
			case b.clean && k&blank != 0:
				v = ' '
			case b.lower && 'A' <= v && v <= 'Z':
				v += 'a' - 'A'
			}
			sc.buf = append(sc.buf, v)
			if track {
				sc.at = append(sc.at, s.span(i, i+1))
			}
			i++
			continue
		}
		// A dropped control character does not keep marks apart that are to be ordered.
		j := i + 1
		for j < len(s.text) && (s.text[j] >= utf8.RuneSelf || b.clean && u.ascii[s.text[j]]&removed != 0) {
			j++
		}
		sc.chars.read(s.slice(i, j))
		b.apply(u, &sc.chars)
		sc.write(sc.chars.now, track)
		i = j
	}
	return sc.source(track)
}

// valid returns s, or, where it is not valid UTF-8, a copy in which each bad byte is U+FFFD.
func (sc *scratch) valid(text string, track bool) source {
	if utf8.ValidString(text) {
		return source{text: text}
	}
	sc.fixed, sc.fixedAt = sc.fixed[:0], sc.fixedAt[:0]
	for i, r := range text {
		size := 1
		if r != utf8.RuneError || len(text) >= i+3 && text[i:i+3] == "\uFFFD" {
			size = utf8.RuneLen(r)
		}
		n := len(sc.fixed)
		sc.fixed = utf8.AppendRune(sc.fixed, r)
		for ; track && n < len(sc.fixed); n++ {
			sc.fixedAt = append(sc.fixedAt, span{int32(i), int32(i + size)})
		}
	}
	if !track {
		return source{text: view(sc.fixed)}
	}
	return source{text: view(sc.fixed), at: sc.fixedAt}
}
