package text

import "unicode/utf8"

// piece is a stretch of a text that the model turns into tokens on its own: text[lo:hi], after a space that is not in the
// text where spaced is set.
type piece struct {
	lo, hi int32
	spaced bool
}

// splitter cuts text[p.lo:p.hi] into pieces and appends them.
type splitter func(u *classes, text string, p piece, out []piece) []piece

// next returns the class and the size of the character at text[i:].
func (c *classes) next(text string, i int) (class, int) {
	if b := text[i]; b < utf8.RuneSelf {
		return c.ascii[b], 1
	}
	r, n := utf8.DecodeRuneInString(text[i:])
	return c.of(r), n
}

// run returns the end of the characters from i on, at most to hi, whose class masked by mask is want.
func (c *classes) run(text string, i, hi int, mask, want class) int {
	for i < hi {
		k, n := c.next(text, i)
		if k&mask != want {
			break
		}
		i += n
	}
	return i
}

// splitBert cuts at white space, which is dropped, and around punctuation.
func splitBert(u *classes, text string, p piece, out []piece) []piece {
	for i, hi := int(p.lo), int(p.hi); i < hi; {
		k, n := u.next(text, i)
		end := i + n
		if k&(white|punct) == 0 {
			end = u.run(text, end, hi, white|punct, 0)
		}
		if k&white == 0 {
			out = append(out, piece{int32(i), int32(end), false})
		}
		i = end
	}
	return out
}

// splitWhite cuts at white space, which is dropped.
func splitWhite(u *classes, text string, p piece, out []piece) []piece {
	for i, hi := int(p.lo), int(p.hi); i < hi; {
		i = u.run(text, i, hi, white, white)
		end := u.run(text, i, hi, white, 0)
		if i < end {
			out = append(out, piece{int32(i), int32(end), false})
		}
		i = end
	}
	return out
}

// splitWords cuts into \w+ and [^\w\s]+.
func splitWords(u *classes, text string, p piece, out []piece) []piece {
	for i, hi := int(p.lo), int(p.hi); i < hi; {
		k, n := u.next(text, i)
		end := u.run(text, i+n, hi, word|white, k&(word|white))
		if k&white == 0 {
			out = append(out, piece{int32(i), int32(end), false})
		}
		i = end
	}
	return out
}

// byteLevel is GPT-2's way to cut, by the regular expression
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// after a space was put before a text that has none, if space is set; and whole is set if the text is not cut at all.
type byteLevel struct{ space, whole bool }

func (b byteLevel) split(u *classes, text string, p piece, out []piece) []piece {
	i, hi := int(p.lo), int(p.hi)
	if i == hi {
		return out
	}
	spaced := b.space && text[i] != ' ' // the space before the text belongs to the next piece
	if b.whole {
		return append(out, piece{p.lo, p.hi, spaced})
	}
	if spaced {
		// Before other white space it is the first of a run of it, of which only the last is left for the next piece.
		if k, _ := u.next(text, i); k&white != 0 {
			end, _ := u.blanks(text, i, hi)
			out = append(out, piece{int32(i), int32(end), true})
			i, spaced = end, false
		}
	}
	for i < hi {
		start := i
		if n := contraction(text[i:hi]); n > 0 && !spaced {
			i += n
		} else {
			if text[i] == ' ' && !spaced && i+1 < hi {
				i++
			}
			switch k, n := u.next(text, i); k & (white | letter | number) {
			case white:
				i = start
				end, single := u.blanks(text, i, hi)
				if end == i {
					end = i + single
				}
				i = end
			default:
				i = u.run(text, i+n, hi, white|letter|number, k&(white|letter|number))
			}
		}
		out = append(out, piece{int32(start), int32(i), spaced})
		spaced = false
	}
	return out
}

// blanks returns the end of the white space at i without its last character, which is kept unless the text ends there, and
// the size of that last character.
func (c *classes) blanks(text string, i, hi int) (end, last int) {
	for i < hi {
		k, n := c.next(text, i)
		if k&white == 0 {
			return i - last, last
		}
		i, last = i+n, n
	}
	return hi, last
}

// contraction returns the length of 's, 't, 're, 've, 'm, 'll or 'd at the start of s.
func contraction(s string) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	switch s[1] {
	case 's', 't', 'm', 'd':
		return 2
	}
	if len(s) > 2 && (s[1:3] == "re" || s[1:3] == "ve" || s[1:3] == "ll") {
		return 3
	}
	return 0
}
