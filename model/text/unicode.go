package text

import (
	_ "embed"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// unicode.txt classifies code points as the library `tokenizers` does. Its parts follow three versions of Unicode and none
// of them is the one of Go's tables; testdata/make_unicode.py tells how the file is made.
//
//go:embed unicode.txt
var unicodeTxt string

// class is a set of properties of a code point.
type class uint16

const (
	removed    class = 1 << iota // dropped by BERT's clean_text: controls, formats, private use
	blank                        // turned into a space by clean_text
	white                        // separates words
	punct                        // BERT's punctuation
	cjk                          // an ideograph, which BERT puts between spaces
	nonspacing                   // an accent that BERT strips
	combining                    // a mark that the normaliser StripAccents strips
	letter                       // \p{L} of byte-level BPE
	number                       // \p{N} of byte-level BPE
	word                         // \w
	moved                        // decomposes or has a combining class
	upper                        // has another lower-case form
)

var classNames = []string{"removed", "blank", "white", "punct", "cjk", "nonspacing", "combining", "letter", "number", "word", "moved", "lower"}

const (
	pageBits = 7
	runes    = 0x110000
)

// lowerRun maps first, first+step, … last to themselves plus by.
type lowerRun struct{ first, last, step, by rune }

// classes is a two-level table of all code points: equal pages are stored once.
type classes struct {
	page  [runes >> pageBits]uint16
	class []class
	ascii [128]class
	runs  []lowerRun      // by first
	long  map[rune]string // lower-case forms of several code points
}

func (c *classes) of(r rune) class {
	return c.class[int(c.page[r>>pageBits])<<pageBits|int(r)&(1<<pageBits-1)]
}

// lower returns r's lower-case form: a code point, or, where that is several, a string.
func (c *classes) lower(r rune) (rune, string) {
	if c.of(r)&upper == 0 {
		return r, ""
	}
	if s, ok := c.long[r]; ok {
		return 0, s
	}
	run := c.runs[sort.Search(len(c.runs), func(i int) bool { return c.runs[i].first > r })-1]
	return r + run.by, ""
}

// unicodeClasses reads the embedded table once. It is a part of the program, and a test reads all of it: a malformed one
// is no error of a user's.
var unicodeClasses = sync.OnceValue(func() *classes {
	c := &classes{long: map[rune]string{}}
	flat := make([]class, runes)
	for line := range strings.Lines(unicodeTxt) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		for bit, n := range classNames {
			if n != name {
				continue
			}
			for item := range strings.FieldsSeq(rest) {
				first, last, step := c.item(item)
				for r := first; r <= last; r += step {
					flat[r] |= 1 << bit
				}
			}
		}
	}
	copy(c.ascii[:], flat)
	seen := map[string]uint16{}
	for p := range c.page {
		rows := flat[p<<pageBits : (p+1)<<pageBits]
		key := make([]byte, 0, 2<<pageBits)
		for _, v := range rows {
			key = append(key, byte(v), byte(v>>8))
		}
		n, ok := seen[string(key)]
		if !ok {
			n = uint16(len(seen))
			seen[string(key)] = n
			c.class = append(c.class, rows...)
		}
		c.page[p] = n
	}
	return c
})

// item reads one entry of unicode.txt, "41", "41-5a", "41-5a/1:32" or "130=69+307", and keeps what it says of lower case.
func (c *classes) item(s string) (first, last, step rune) {
	hex := func(s string) rune {
		v, err := strconv.ParseUint(s, 16, 21)
		if err != nil {
			panic("text: unicode.txt: " + err.Error())
		}
		return rune(v)
	}
	if from, to, ok := strings.Cut(s, "="); ok {
		var long []rune
		for r := range strings.SplitSeq(to, "+") {
			long = append(long, hex(r))
		}
		c.long[hex(from)] = string(long)
		return hex(from), hex(from), 1
	}
	s, rule, isLower := strings.Cut(s, "/")
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		to = from
	}
	first, last, step = hex(from), hex(to), 1
	if isLower {
		by, err := strconv.Atoi(rule[2:])
		if err != nil {
			panic("text: unicode.txt: " + err.Error())
		}
		step = rune(rule[0] - '0')
		c.runs = append(c.runs, lowerRun{first, last, step, rune(by)})
	}
	return first, last, step
}
