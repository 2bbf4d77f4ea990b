package text

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Training says how a vocabulary is made.
type Training struct {
	Size         int  // tokens, special ones included
	MinFrequency int  // a pair of tokens that is seen less often together is not joined; at least 1
	Cased        bool // WordPiece keeps capitals and accents; byte-level BPE always does
	// Progress, if set, is called with the number of tokens and Size as the vocabulary grows.
	Progress func(tokens, size int)
}

// maxAlphabet is how many characters a WordPiece vocabulary has at most, the most frequent ones, as `tokenizers` has it for
// BERT. The others are unknown.
const maxAlphabet = 1000

// TrainWordPiece makes a WordPiece tokenizer like BERT's from texts: it starts with the characters, and again and again joins
// the pair of tokens that is most frequent. The same texts, in any order, give the same vocabulary.
func TrainWordPiece(texts iter.Seq[string], o Training) (*Tokenizer, error) {
	specials := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	settings := &settingsFile{lower: !o.Cased, chinese: true}
	cutter, err := cutterOf(bertFile(specials, settings))
	if err != nil {
		return nil, err
	}
	words := cutter.count(texts)
	letters := map[rune]int{}
	for w, n := range words {
		for _, r := range w {
			letters[r] += n
		}
	}
	alphabet := slices.SortedFunc(maps.Keys(letters), func(a, b rune) int {
		return cmp.Or(cmp.Compare(letters[b], letters[a]), cmp.Compare(a, b))
	})
	alphabet = alphabet[:min(len(alphabet), maxAlphabet)]
	slices.Sort(alphabet)
	t := newTrainer("##", specials)
	for _, r := range alphabet {
		t.token(string(r))
	}
	continuing := map[rune]bool{}
	for w := range words {
		for i, r := range w {
			continuing[r] = continuing[r] || i > 0
		}
	}
	for _, r := range alphabet {
		if continuing[r] {
			t.token("##" + string(r))
		}
	}
	for w, n := range words {
		var ids []int32
		for i, r := range w {
			s := string(r)
			if i > 0 {
				s = "##" + s
			}
			if id, ok := t.ids[s]; ok {
				ids = append(ids, id)
			}
		}
		t.words = append(t.words, trained{ids, n, w})
	}
	if err := t.run(o); err != nil {
		return nil, err
	}
	f, err := bertFile(t.tokens, settings)
	return finish(f, settings, err)
}

// TrainBPE makes a byte-level BPE tokenizer like RoBERTa's from texts: it starts with the 256 bytes, and again and again
// joins the pair of tokens that is most frequent. The same texts, in any order, give the same vocabulary.
func TrainBPE(texts iter.Seq[string], o Training) (*Tokenizer, error) {
	specials := []string{"<s>", "<pad>", "</s>", "<unk>", "<mask>"}
	// "a <mask>" is a and <mask>: the space is the masked word's.
	settings := &settingsFile{trim: true, specials: []added{{Content: "<mask>", LStrip: true, Special: true}}}
	ids := map[string]int32{}
	for i, s := range specials {
		ids[s] = int32(i)
	}
	cutter, err := cutterOf(robertaFile(ids, nil, settings))
	if err != nil {
		return nil, err
	}
	t := newTrainer("", specials)
	for _, r := range slices.Sorted(slices.Values(byteChars[:])) {
		t.token(string(r))
	}
	for w, n := range cutter.count(texts) {
		word := make([]int32, len(w))
		for i := range len(w) {
			word[i] = t.ids[string(byteChars[w[i]])]
		}
		t.words = append(t.words, trained{word, n, w})
	}
	if err := t.run(o); err != nil {
		return nil, err
	}
	f, err := robertaFile(t.ids, t.merges, settings)
	return finish(f, settings, err)
}

func finish(f file, s *settingsFile, err error) (*Tokenizer, error) {
	if err != nil {
		return nil, err
	}
	f.config = s.config
	return build(f)
}

// cutterOf is a tokenizer without a vocabulary, for cutting texts into words.
func cutterOf(f file, err error) (*Tokenizer, error) { return finish(f, &settingsFile{}, err) }

// count returns how often each piece occurs in texts, special tokens in them left out.
func (t *Tokenizer) count(texts iter.Seq[string]) map[string]int {
	c := counter{}
	t.model = c
	sc, ids := new(scratch), []int32(nil)
	for text := range texts {
		ids = t.run(sc, ids[:0], text, false)
	}
	words := make(map[string]int, len(c))
	for w, n := range c {
		words[w] = *n
	}
	return words
}

// counter is a model that counts pieces. The counts are behind pointers since adding to one in the map itself would replace its
// key by the piece, which lies in scratch memory.
type counter map[string]*int

func (c counter) parts(_ *scratch, piece string, out []part) []part {
	if n, ok := c[piece]; ok {
		*n++
	} else {
		one := 1
		c[strings.Clone(piece)] = &one
	}
	return out
}

// trained is a word as tokens, and how often it occurs.
type trained struct {
	ids  []int32
	n    int
	text string
}

// joint is a pair of tokens side by side.
type joint struct {
	count int
	words []int32 // where it occurs, and perhaps no longer does
}

// ranked is a pair with the count that it had. The largest count goes first, then the smallest ids.
type ranked struct {
	count int
	pair  uint64
}

func (a ranked) before(b ranked) bool {
	return a.count > b.count || a.count == b.count && a.pair < b.pair
}

type trainer struct {
	prefix string
	tokens []string
	ids    map[string]int32
	words  []trained
	merges [][2]string
	pairs  map[uint64]*joint
	heap   heap[ranked]
}

func newTrainer(prefix string, specials []string) *trainer {
	t := &trainer{prefix: prefix, ids: map[string]int32{}, pairs: map[uint64]*joint{}}
	for _, s := range specials {
		t.token(s)
	}
	return t
}

// token returns the id of a token, which is added if it is new.
func (t *trainer) token(s string) int32 {
	id, ok := t.ids[s]
	if !ok {
		id = int32(len(t.tokens))
		t.tokens, t.ids[s] = append(t.tokens, s), id
	}
	return id
}

func (t *trainer) add(left, right int32, n int, word int32) {
	key := pair(left, right)
	j := t.pairs[key]
	if j == nil {
		j = new(joint)
		t.pairs[key] = j
	}
	j.count += n
	if k := len(j.words); n > 0 && (k == 0 || j.words[k-1] != word) {
		j.words = append(j.words, word)
	}
}

// run joins pairs until there are o.Size tokens or none is frequent enough.
func (t *trainer) run(o Training) error {
	if len(t.words) == 0 {
		return errors.New("there is no text to make a vocabulary of")
	}
	if o.Size < len(t.tokens) {
		return fmt.Errorf("a vocabulary of %d tokens is too small: the special tokens and single characters are %d", o.Size, len(t.tokens))
	}
	if o.Size > maxVocabulary {
		return fmt.Errorf("a vocabulary of %d tokens is too large: at most %d are supported", o.Size, maxVocabulary)
	}
	slices.SortFunc(t.words, func(a, b trained) int { return cmp.Or(cmp.Compare(b.n, a.n), strings.Compare(a.text, b.text)) })
	for w, word := range t.words {
		for i := 1; i < len(word.ids); i++ {
			t.add(word.ids[i-1], word.ids[i], word.n, int32(w))
		}
	}
	for key, j := range t.pairs {
		t.heap.push(ranked{j.count, key})
	}
	touched := map[uint64]bool{}
	for len(t.tokens) < o.Size && len(t.heap) > 0 {
		best := t.heap.pop()
		j := t.pairs[best.pair]
		if j == nil || j.count != best.count {
			continue // another entry has its present count
		}
		if best.count < max(1, o.MinFrequency) {
			break
		}
		left, right := int32(best.pair>>32), int32(uint32(best.pair))
		l, r := t.tokens[left], t.tokens[right]
		id := t.token(l + strings.TrimPrefix(r, t.prefix))
		t.merges = append(t.merges, [2]string{l, r})
		clear(touched)
		for _, w := range j.words {
			t.join(w, left, right, id, touched)
		}
		delete(t.pairs, best.pair)
		for key := range touched {
			if k := t.pairs[key]; k != nil && k.count > 0 {
				t.heap.push(ranked{k.count, key})
			}
		}
		if o.Progress != nil {
			o.Progress(len(t.tokens), o.Size)
		}
	}
	return nil
}

// join replaces the pair by id in a word, from the left, and keeps the counts of its neighbours' pairs.
func (t *trainer) join(w, left, right, id int32, touched map[uint64]bool) {
	word := &t.words[w]
	ids := word.ids
	change := func(a, b int32, n int) {
		t.add(a, b, n, w)
		touched[pair(a, b)] = true
	}
	out := ids[:0]
	for i := 0; i < len(ids); i++ {
		if ids[i] != left || i+1 == len(ids) || ids[i+1] != right {
			out = append(out, ids[i])
			continue
		}
		if k := len(out); k > 0 {
			change(out[k-1], left, -word.n)
			change(out[k-1], id, word.n)
		}
		if i+2 < len(ids) {
			change(right, ids[i+2], -word.n)
			change(id, ids[i+2], word.n)
		}
		out = append(out, id)
		i++
	}
	word.ids = out
}
