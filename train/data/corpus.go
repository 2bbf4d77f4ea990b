package data

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Corpus is text to pretrain on: segments in order, and the document each belongs to. No segment is blank.
type Corpus struct {
	Segments []string
	Doc      []int32 // of each segment, counted up from 0
}

// Len returns the number of segments.
func (c *Corpus) Len() int { return len(c.Segments) }

// Key identifies a corpus by its content.
func (c *Corpus) Key() string {
	h := sha256.New()
	for i, s := range c.Segments {
		fmt.Fprintln(h, c.Doc[i], s)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// add appends segments as a document, without the blank ones.
func (c *Corpus) add(segments ...string) {
	doc := int32(0)
	if n := c.Len(); n > 0 {
		doc = c.Doc[n-1] + 1
	}
	for _, s := range segments {
		if s = strings.TrimSpace(s); s != "" {
			c.Segments, c.Doc = append(c.Segments, s), append(c.Doc, doc)
		}
	}
}

// documents returns the segments of each document.
func (c *Corpus) documents() [][]string {
	var docs [][]string
	for i, s := range c.Segments {
		if i == 0 || c.Doc[i] != c.Doc[i-1] {
			docs = append(docs, nil)
		}
		docs[len(docs)-1] = append(docs[len(docs)-1], s)
	}
	return docs
}

// Join returns the documents of both.
func (c *Corpus) Join(other *Corpus) *Corpus {
	both := &Corpus{}
	for _, segments := range append(c.documents(), other.documents()...) {
		both.add(segments...)
	}
	return both
}

// Sentences returns the corpus with a segment for each sentence.
func (c *Corpus) Sentences() *Corpus {
	out := &Corpus{}
	for _, segments := range c.documents() {
		var sentences []string
		for _, s := range segments {
			sentences = append(sentences, Sentences(s)...)
		}
		out.add(sentences...)
	}
	return out
}

// Corpus returns the texts of some rows, each a document of its own, also the two of a pair.
func (t *Table) Corpus(rows []int) *Corpus {
	c := &Corpus{}
	for _, i := range rows {
		c.add(t.Text[i][0])
		c.add(t.Text[i][1])
	}
	return c
}

// ReadCorpus reads a table's text columns (see Table.Corpus), or a plain file, whose lines are the segments. There blank lines
// separate documents; in a file without blank lines between others every line is a document. With a limit, only so many
// segments at most (0 = all) are taken: whole documents, spread evenly over the file, and the beginning of one where none is
// short enough.
func ReadCorpus(path string, text []string, limit int) (*Corpus, error) {
	content, err := readAll(path)
	if err != nil {
		return nil, err
	}
	return parseCorpus(path, content, text, limit)
}

func parseCorpus(path string, content []byte, text []string, limit int) (*Corpus, error) {
	t, err := parseTexts(path, content, text)
	if err != nil {
		return nil, err
	}
	c := &Corpus{}
	if isTable(path) {
		c = t.Corpus(everyRow(len(t.Text)))
	} else {
		var docs [][]string
		gap := true
		for _, line := range t.Text {
			if strings.TrimSpace(line[0]) == "" {
				gap = true
				continue
			}
			if gap {
				docs = append(docs, nil)
			}
			docs[len(docs)-1], gap = append(docs[len(docs)-1], line[0]), false
		}
		if len(docs) == 1 {
			for _, line := range docs[0] {
				c.add(line)
			}
		} else {
			for _, lines := range docs {
				c.add(lines...)
			}
		}
	}
	if c.Len() == 0 {
		return nil, fmt.Errorf("%s: the pretraining pool is empty", path)
	}
	return c.spread(limit), nil
}

func everyRow(n int) []int {
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// spread returns at most limit segments (0 = all) of documents spread evenly.
func (c *Corpus) spread(limit int) *Corpus {
	if limit <= 0 || c.Len() <= limit {
		return c
	}
	docs := c.documents()
	n := max(1, len(docs)*limit/c.Len())
	out := &Corpus{}
	for i := range n {
		if segments := docs[i*len(docs)/n]; out.Len()+len(segments) <= limit {
			out.add(segments...)
		} else if out.Len() == 0 {
			out.add(segments[:limit]...)
		}
	}
	return out
}

// ReadTexts reads texts without labels, or with labels that are not looked at: the text columns of a table, or the lines of a
// plain file, blank ones too, so that row i is line i+1.
func ReadTexts(path string, text []string) (*Table, error) {
	content, err := readAll(path)
	if err != nil {
		return nil, err
	}
	return parseTexts(path, content, text)
}

func parseTexts(path string, content []byte, text []string) (*Table, error) {
	if isTable(path) {
		if len(text) == 0 {
			return nil, fmt.Errorf("%s: say which column holds the text with --text NAME", path)
		}
		return parseTable(path, content, Columns{Text: text})
	}
	if err := checkText(path, content); err != nil {
		return nil, err
	}
	t := &Table{ContentKey: keyOf(content), files: []file{{path, 0}}}
	blank := note{}
	lines, n := scanLines(content), 1
	for ; lines.Scan(); n++ {
		s := lines.Text()
		if strings.TrimSpace(s) == "" {
			blank.add(n)
		}
		t.Text, t.Line, t.Labels = append(t.Text, [2]string{s}), append(t.Line, n), append(t.Labels, nil)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", path, n, err)
	}
	if len(t.Text) == 0 {
		return nil, fmt.Errorf("%s: empty file", path)
	}
	t.Notes = blank.say(path, "empty texts")
	return t, nil
}

// Sentences cuts English text into sentences. One ends with . ! ? or … and the quotes and brackets that close behind it, where
// white space follows and then, past opening quotes and brackets, a capital letter or a digit. Not with a period after: a title
// or an abbreviation that does not end sentences (Dr., e.g.), one that goes with numbers (No. 5, Jan. 3), an initial, letters
// with periods between (U.S.), or the number of an item at the beginning.
func Sentences(text string) []string {
	var out []string
	text = strings.TrimSpace(text)
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		start := i
		i += size
		if !strings.ContainsRune(terminals, r) {
			continue
		}
		i += len(text[i:]) - len(strings.TrimLeft(text[i:], terminals))
		alone := r == '.' && i == start+1
		i += len(text[i:]) - len(strings.TrimLeft(text[i:], closing))
		rest := strings.TrimLeftFunc(text[i:], unicode.IsSpace)
		if rest == "" || len(rest) == len(text[i:]) {
			continue
		}
		next, _ := utf8.DecodeRuneInString(strings.TrimLeft(rest, opening))
		digit := unicode.IsDigit(next)
		if !unicode.IsUpper(next) && !digit || alone && abbreviated(text[:start], digit) {
			continue
		}
		out = append(out, text[:i])
		text, i = rest, 0
	}
	if text != "" {
		out = append(out, text)
	}
	return out
}

const (
	terminals = ".!?…"
	closing   = "\"')]}”’»"
	opening   = "\"'([{“‘«"
)

// abbreviated reports whether the period behind text, the sentence so far, belongs to its last word.
func abbreviated(text string, digitFollows bool) bool {
	word := text[strings.LastIndexFunc(text, unicode.IsSpace)+1:]
	number := word == text && word != "" && strings.Trim(word, "0123456789") == ""
	word = strings.TrimLeft(word, opening)
	initial := len(word) == 1 && word[0] >= 'A' && word[0] <= 'Z' && word != "I"
	lower := strings.ToLower(word)
	return number || initial || dotted(word) || titles[lower] || digitFollows && numbered[lower]
}

// dotted reports whether a word is one or two letters, a period, and so on: U.S, e.g, Ph.D.
func dotted(word string) bool {
	pieces := strings.Split(word, ".")
	return len(pieces) > 1 && !slices.ContainsFunc(pieces, func(s string) bool {
		return len(s) < 1 || len(s) > 2 || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
	})
}

var (
	titles   = words("mr mrs ms messrs dr prof rev hon gen col maj lt sgt capt cmdr sen rep gov pres st mt ft vs cf al ca approx dept univ viz")
	numbered = words("no nos p pp fig figs vol ch sec art eq jan feb mar apr jun jul aug sep sept oct nov dec")
)

func words(list string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(list) {
		set[w] = true
	}
	return set
}
