package text

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// file is a tokenizer.json. What is kept as raw JSON is read by build and written back as it was.
type file struct {
	Version       string          `json:"version"`
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []added         `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`

	names  special[string]            // from tokenizer_config.json and special_tokens_map.json; "" where they do not say
	config map[string]json.RawMessage // tokenizer_config.json
}

// special are the tokens that a folder's settings name.
type special[T any] struct{ CLS, SEP, Mask, Pad, Unknown T }

// modelFile is the model of a tokenizer.json.
type modelFile struct {
	Type     string           `json:"type"`
	Unknown  *string          `json:"unk_token"`
	Prefix   *string          `json:"continuing_subword_prefix"`
	Longest  *int             `json:"max_input_chars_per_word"`
	Suffix   *string          `json:"end_of_word_suffix"`
	Dropout  *float64         `json:"dropout"`
	Fuse     bool             `json:"fuse_unk"`
	Fallback bool             `json:"byte_fallback"`
	Ignore   bool             `json:"ignore_merges"`
	Vocab    map[string]int32 `json:"vocab"`
	Merges   json.RawMessage  `json:"merges"`
}

// step is a normalizer, pre-tokenizer, post-processor or decoder of a tokenizer.json: the fields of all kinds that are read.
type step struct {
	Type string `json:"type"`

	CleanText    *bool `json:"clean_text"`
	Chinese      *bool `json:"handle_chinese_chars"`
	StripAccents *bool `json:"strip_accents"`
	Lowercase    *bool `json:"lowercase"`

	PrefixSpace *bool `json:"add_prefix_space"`
	Regex       *bool `json:"use_regex"`
	TrimOffsets *bool `json:"trim_offsets"`

	Prefix  *string `json:"prefix"`
	Cleanup *bool   `json:"cleanup"`

	SEP     *named         `json:"sep"`
	CLS     *named         `json:"cls"`
	Single  []templatePart `json:"single"`
	Pair    []templatePart `json:"pair"`
	Special map[string]struct {
		IDs []int32 `json:"ids"`
	} `json:"special_tokens"`

	Normalizers   []json.RawMessage `json:"normalizers"`
	PreTokenizers []json.RawMessage `json:"pretokenizers"`
	Processors    []json.RawMessage `json:"processors"`
}

// named is a token and its id, written as a pair.
type named struct {
	token string
	id    int32
}

func (n *named) UnmarshalJSON(data []byte) error {
	var two []json.RawMessage
	if err := json.Unmarshal(data, &two); err != nil {
		return err
	}
	if len(two) != 2 {
		return fmt.Errorf("%.40s is no pair of a token and its id", data)
	}
	if err := json.Unmarshal(two[0], &n.token); err != nil {
		return err
	}
	return json.Unmarshal(two[1], &n.id)
}

type templatePart struct {
	Special *struct {
		ID   string `json:"id"`
		Type uint8  `json:"type_id"`
	} `json:"SpecialToken"`
	Sequence *struct {
		ID   string `json:"id"`
		Type uint8  `json:"type_id"`
	} `json:"Sequence"`
}

// maxVocabulary bounds the memory that a damaged file can ask for.
const maxVocabulary = 1 << 24

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// decodeJSON is json.Unmarshal with the line of a mistake in its message.
func decodeJSON(data []byte, into any) error {
	err := json.Unmarshal(data, into)
	line := func(offset int64) int {
		return 1 + bytes.Count(data[:min(max(offset, 0), int64(len(data)))], []byte("\n"))
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("line %d: %w", line(syntax.Offset), err)
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Errorf("line %d: field %s holds a %s", line(kind.Offset), kind.Field, kind.Value)
	}
	return err
}

func in(field string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", field, err)
}

// build makes the tokenizer that f describes.
func build(f file) (*Tokenizer, error) {
	t := &Tokenizer{file: f, unicode: unicodeClasses(), added: map[int32]*added{}, ids: map[string]int32{}}
	t.scratch.New = func() any { return new(scratch) }
	if absent(f.Model) {
		return nil, errors.New("there is no model")
	}
	var m modelFile
	if err := decodeModel(f.Model, &m); err != nil {
		return nil, in("model", err)
	}
	if err := t.setVocabulary(m.Vocab); err != nil {
		return nil, err
	}
	for _, do := range []func() error{
		func() error { return in("normalizer", t.addNormalizer(f.Normalizer)) },
		func() error { return in("pre_tokenizer", t.addSplit(f.PreTokenizer)) },
		func() error { return in("model", t.setModel(&m)) },
		t.setAdded,
		func() error { return in("post_processor", t.setTemplate(f.PostProcessor)) },
		func() error { return in("decoder", t.setDecoder(f.Decoder)) },
	} {
		if err := do(); err != nil {
			return nil, err
		}
	}
	t.setSpecial()
	t.setMarks(&m)
	return t, nil
}

// decodeModel reads the model's type before the rest, whose form depends on it.
func decodeModel(raw json.RawMessage, m *modelFile) error {
	var kind struct {
		Type   string          `json:"type"`
		Merges json.RawMessage `json:"merges"`
	}
	if err := decodeJSON(raw, &kind); err != nil {
		return err
	}
	if kind.Type == "" { // old files do not say
		kind.Type = "WordPiece"
		if kind.Merges != nil {
			kind.Type = "BPE"
		}
	}
	if kind.Type != "WordPiece" && kind.Type != "BPE" {
		return fmt.Errorf("type %q is not supported; WordPiece and byte-level BPE are", kind.Type)
	}
	err := decodeJSON(raw, m)
	m.Type = kind.Type
	return err
}

func (t *Tokenizer) setVocabulary(vocab map[string]int32) error {
	largest := int32(-1)
	check := func(token string, id int32) error {
		if id < 0 || id >= maxVocabulary {
			return fmt.Errorf("token %q has id %d; ids go from 0 to %d", token, id, maxVocabulary-1)
		}
		largest = max(largest, id)
		return nil
	}
	for _, token := range slices.Sorted(maps.Keys(vocab)) {
		if err := check(token, vocab[token]); err != nil {
			return in("model.vocab", err)
		}
	}
	for i, a := range t.file.AddedTokens {
		if err := check(a.Content, a.ID); err != nil {
			return in(fmt.Sprintf("added_tokens[%d]", i), err)
		}
	}
	t.tokens = make([]string, largest+1)
	for _, token := range slices.Sorted(maps.Keys(vocab)) {
		id := vocab[token]
		if other := t.tokens[id]; other != "" {
			return fmt.Errorf("model.vocab: %q and %q have the same id %d", other, token, id)
		}
		t.tokens[id], t.ids[token] = token, id
	}
	return nil
}

func (t *Tokenizer) addNormalizer(raw json.RawMessage) error {
	if absent(raw) {
		return nil
	}
	if err := t.eachNormalizer(raw, 0); err != nil {
		return err
	}
	if len(t.norm) != 1 {
		t.bert = nil
	}
	return nil
}

// maxNesting is how deep a sequence of steps may lie in others.
const maxNesting = 8

var errNesting = fmt.Errorf("sequences are nested more than %d deep", maxNesting)

func (t *Tokenizer) eachNormalizer(raw json.RawMessage, depth int) error {
	var s step
	if err := decodeJSON(raw, &s); err != nil {
		return err
	}
	if depth > maxNesting {
		return errNesting
	}
	var n normalizer
	switch s.Type {
	case "Sequence":
		for _, inner := range s.Normalizers {
			if err := t.eachNormalizer(inner, depth+1); err != nil {
				return err
			}
		}
		return nil
	case "BertNormalizer":
		lower := or(s.Lowercase, true)
		t.bert = &bert{or(s.CleanText, true), or(s.Chinese, true), or(s.StripAccents, lower), lower}
		n = t.bert.apply
	case "Lowercase":
		n = lowercase
	case "StripAccents":
		n = stripAccents
	case "NFD":
		n = func(u *classes, c *chars) { decompose(u, c, norm.NFD) }
	case "NFKD":
		n = func(u *classes, c *chars) { decompose(u, c, norm.NFKD) }
	case "NFC":
		n = func(u *classes, c *chars) { compose(u, c, norm.NFD) }
	case "NFKC":
		n = func(u *classes, c *chars) { compose(u, c, norm.NFKD) }
	default:
		return fmt.Errorf("%q is not supported; BertNormalizer, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents and Sequence are", s.Type)
	}
	t.norm = append(t.norm, n)
	return nil
}

func (t *Tokenizer) addSplit(raw json.RawMessage) error {
	if absent(raw) {
		return nil
	}
	return t.eachSplit(raw, 0)
}

func (t *Tokenizer) eachSplit(raw json.RawMessage, depth int) error {
	var s step
	if err := decodeJSON(raw, &s); err != nil {
		return err
	}
	if depth > maxNesting {
		return errNesting
	}
	if t.byteLevel && s.Type != "Sequence" {
		return fmt.Errorf("%q after ByteLevel is not supported; ByteLevel comes last", s.Type)
	}
	switch s.Type {
	case "Sequence":
		for _, inner := range s.PreTokenizers {
			if err := t.eachSplit(inner, depth+1); err != nil {
				return err
			}
		}
	case "BertPreTokenizer":
		t.split = append(t.split, splitBert)
	case "Whitespace":
		t.split = append(t.split, splitWords)
	case "WhitespaceSplit":
		t.split = append(t.split, splitWhite)
	case "ByteLevel":
		b := byteLevel{space: or(s.PrefixSpace, true), whole: !or(s.Regex, true)}
		t.split = append(t.split, b.split)
		t.byteLevel = true
	default:
		return fmt.Errorf("%q is not supported; BertPreTokenizer, ByteLevel, Whitespace, WhitespaceSplit and Sequence are", s.Type)
	}
	return nil
}

func (t *Tokenizer) setModel(m *modelFile) error {
	if t.byteLevel != (m.Type == "BPE") {
		return fmt.Errorf("%s is supported with the pre-tokenizer ByteLevel if it is BPE, and without if it is WordPiece", m.Type)
	}
	unknown := int32(-1)
	if m.Type == "WordPiece" {
		name := or(m.Unknown, "[UNK]")
		id, ok := m.Vocab[name]
		if !ok {
			return fmt.Errorf("the vocabulary has no token %q for unknown words", name)
		}
		t.model = newWordPiece(t.tokens, or(m.Prefix, "##"), id, or(m.Longest, 100))
		return nil
	}
	switch {
	case or(m.Dropout, 0) > 0:
		return errors.New("dropout is not supported: ids would not be the same each time")
	case or(m.Prefix, "") != "" || or(m.Suffix, "") != "" || m.Fallback:
		return errors.New("continuing_subword_prefix, end_of_word_suffix and byte_fallback are not supported: byte-level BPE has none")
	case m.Unknown != nil:
		id, ok := m.Vocab[*m.Unknown]
		if !ok {
			return fmt.Errorf("the vocabulary has no token %q for unknown bytes", *m.Unknown)
		}
		unknown = id
	}
	pairs, err := mergePairs(m.Merges)
	if err != nil {
		return in("merges", err)
	}
	b := &bpe{merges: make(map[uint64]merge, len(pairs)), unknown: unknown, fuse: m.Fuse, cache: newCache()}
	for i := range b.bytes {
		id, ok := m.Vocab[string(byteChars[i])]
		if !ok {
			id = -1
		}
		b.bytes[i] = id
	}
	for rank, p := range pairs {
		var id [3]int32
		for i, token := range []string{p[0], p[1], p[0] + p[1]} {
			v, ok := m.Vocab[token]
			if !ok {
				return fmt.Errorf("merges: merge %d (%q %q): %q is not in the vocabulary", rank+1, p[0], p[1], token)
			}
			id[i] = v
		}
		b.merges[pair(id[0], id[1])] = merge{int32(rank), id[2]}
	}
	if m.Ignore {
		b.whole = map[string]int32{}
		for token, id := range m.Vocab {
			if raw, ok := bytesOf(token); ok {
				b.whole[raw] = id
			}
		}
	}
	t.model = b
	return nil
}

// mergePairs reads merges in the form ["a b", …] or, since tokenizers 0.20, [["a","b"], …].
func mergePairs(raw json.RawMessage) ([][2]string, error) {
	if absent(raw) {
		return nil, nil
	}
	var items []json.RawMessage
	if err := decodeJSON(raw, &items); err != nil {
		return nil, err
	}
	out := make([][2]string, len(items))
	for i, item := range items {
		var two []string
		if item[0] == '"' {
			var line string
			if err := json.Unmarshal(item, &line); err != nil {
				return nil, err
			}
			two = strings.Split(line, " ")
		} else if err := json.Unmarshal(item, &two); err != nil {
			return nil, fmt.Errorf("merge %d is %.40s, which is neither a string nor a pair", i+1, item)
		}
		if len(two) != 2 || two[0] == "" || two[1] == "" {
			return nil, fmt.Errorf("merge %d is %.40s, which is no pair of tokens", i+1, item)
		}
		out[i] = [2]string(two)
	}
	return out, nil
}

func (t *Tokenizer) setAdded() error {
	var raw, cooked []found
	for i := range t.file.AddedTokens {
		a := &t.file.AddedTokens[i]
		if a.Content == "" {
			continue
		}
		if id, ok := t.ids[a.Content]; ok && id != a.ID {
			return fmt.Errorf("added_tokens: %q has id %d, and %d in the vocabulary", a.Content, a.ID, id)
		}
		if other := t.tokens[a.ID]; other != "" && other != a.Content {
			return fmt.Errorf("added_tokens: %q has id %d, which is %q in the vocabulary", a.Content, a.ID, other)
		}
		t.tokens[a.ID], t.ids[a.Content] = a.Content, a.ID
		if t.added[a.ID] == nil {
			t.added[a.ID] = a
		}
		if !a.Normalized {
			raw = append(raw, found{a.Content, a})
			continue
		}
		s := t.normalise(new(scratch), source{text: a.Content}, false)
		cooked = append(cooked, found{strings.Clone(s.text), a})
	}
	t.raw, t.cooked = newFinder(raw), newFinder(cooked)
	return nil
}

func (t *Tokenizer) setTemplate(raw json.RawMessage) error {
	t.single = []slot{{text: 0}}
	t.pair = []slot{{text: 0}, {text: 1, typ: 1}}
	if absent(raw) {
		return nil
	}
	return t.eachProcessor(raw, 0)
}

func (t *Tokenizer) eachProcessor(raw json.RawMessage, depth int) error {
	var s step
	if err := decodeJSON(raw, &s); err != nil {
		return err
	}
	if depth > maxNesting {
		return errNesting
	}
	switch s.Type {
	case "Sequence":
		for _, inner := range s.Processors {
			if err := t.eachProcessor(inner, depth+1); err != nil {
				return err
			}
		}
	case "ByteLevel":
		t.trim, t.space = or(s.TrimOffsets, true), or(s.PrefixSpace, true)
	case "BertProcessing", "RobertaProcessing":
		if s.CLS == nil || s.SEP == nil {
			return fmt.Errorf("%s has no cls or no sep", s.Type)
		}
		cls, sep := slot{text: -1, id: s.CLS.id}, slot{text: -1, id: s.SEP.id}
		t.single = []slot{cls, {text: 0}, sep}
		if s.Type == "BertProcessing" {
			t.pair = []slot{cls, {text: 0}, sep, {text: 1, typ: 1}, {text: -1, typ: 1, id: s.SEP.id}}
		} else {
			t.pair = []slot{cls, {text: 0}, sep, sep, {text: 1}, sep}
			t.trim, t.space = or(s.TrimOffsets, true), or(s.PrefixSpace, true)
		}
	case "TemplateProcessing":
		var err error
		if t.single, err = s.template(s.Single); err != nil {
			return in("single", err)
		}
		if t.pair, err = s.template(s.Pair); err != nil {
			return in("pair", err)
		}
	default:
		return fmt.Errorf("%q is not supported; BertProcessing, RobertaProcessing, TemplateProcessing, ByteLevel and Sequence are", s.Type)
	}
	for _, x := range append(slices.Clone(t.single), t.pair...) {
		if x.text < 0 && (x.id < 0 || int(x.id) >= len(t.tokens)) {
			return fmt.Errorf("special token %d is not in the vocabulary", x.id)
		}
	}
	return nil
}

func (s *step) template(parts []templatePart) ([]slot, error) {
	var out []slot
	for i, p := range parts {
		switch {
		case p.Sequence != nil && (p.Sequence.ID == "A" || p.Sequence.ID == "B"):
			out = append(out, slot{text: int8(p.Sequence.ID[0] - 'A'), typ: p.Sequence.Type})
		case p.Special != nil:
			token, ok := s.Special[p.Special.ID]
			if !ok {
				return nil, fmt.Errorf("part %d: %q is not among the special_tokens", i+1, p.Special.ID)
			}
			for _, id := range token.IDs {
				out = append(out, slot{text: -1, typ: p.Special.Type, id: id})
			}
		default:
			return nil, fmt.Errorf("part %d is neither a Sequence A or B nor a SpecialToken", i+1)
		}
	}
	return out, nil
}

func (t *Tokenizer) setDecoder(raw json.RawMessage) error {
	var s step
	if !absent(raw) {
		if err := decodeJSON(raw, &s); err != nil {
			return err
		}
	}
	switch s.Type {
	case "":
		t.decode = func(tokens []string) string { return strings.Join(tokens, " ") }
	case "WordPiece":
		t.decode = decodeWordPiece(or(s.Prefix, "##"), or(s.Cleanup, true))
	case "ByteLevel":
		t.decode = decodeByteLevel
	default:
		return fmt.Errorf("%q is not supported; WordPiece and ByteLevel are", s.Type)
	}
	return nil
}

// setSpecial finds the special tokens: by the names that the folder gives them, or else those of BERT and RoBERTa.
func (t *Tokenizer) setSpecial() {
	n := t.file.names
	for _, s := range []struct {
		id    *int32
		name  string
		usual []string
	}{
		{&t.special.CLS, n.CLS, []string{"[CLS]", "<s>"}},
		{&t.special.SEP, n.SEP, []string{"[SEP]", "</s>"}},
		{&t.special.Mask, n.Mask, []string{"[MASK]", "<mask>"}},
		{&t.special.Pad, n.Pad, []string{"[PAD]", "<pad>"}},
		{&t.special.Unknown, n.Unknown, []string{"[UNK]", "<unk>"}},
	} {
		*s.id = -1
		names := s.usual
		if s.name != "" {
			names = []string{s.name}
		}
		for _, name := range names {
			if id, ok := t.ids[name]; ok {
				*s.id = id
				break
			}
		}
	}
	// Where the names are others, the tokens around a text say what they are.
	if n := len(t.single); n == 3 && t.single[0].text < 0 && t.single[2].text < 0 {
		if t.special.CLS < 0 {
			t.special.CLS = t.single[0].id
		}
		if t.special.SEP < 0 {
			t.special.SEP = t.single[2].id
		}
	}
}

func (t *Tokenizer) setMarks(m *modelFile) {
	t.mark = make([]mark, len(t.tokens))
	prefix := or(m.Prefix, "##")
	for id, token := range t.tokens {
		a := t.added[int32(id)]
		switch {
		case a != nil:
			t.mark[id] = startsWord
			if a.Special {
				t.mark[id] |= isSpecial
			}
		case t.byteLevel && strings.HasPrefix(token, string(byteChars[' '])), !t.byteLevel && !strings.HasPrefix(token, prefix):
			t.mark[id] = startsWord
		}
	}
	s := t.special
	for _, id := range []int32{s.CLS, s.SEP, s.Mask, s.Pad, s.Unknown} {
		if id >= 0 {
			t.mark[id] |= isSpecial | startsWord
		}
	}
}

// Open opens the tokenizer of a Hugging Face folder: tokenizer.json, or vocab.txt (WordPiece), or vocab.json with merges.txt
// (byte-level BPE), and what tokenizer_config.json, special_tokens_map.json and added_tokens.json say about them. The
// truncation and padding of a tokenizer.json are kept but not applied.
func Open(dir string) (*Tokenizer, error) { return open(dir, os.ReadFile) }

// open is Open with a way to read the files, whose error is fs.ErrNotExist for one that is not there.
func open(dir string, read func(path string) ([]byte, error)) (*Tokenizer, error) {
	settings, err := readSettings(dir, read)
	if err != nil {
		return nil, err
	}
	for _, way := range []struct {
		name   string
		decode func(path string, data []byte, s *settingsFile) (file, error)
	}{
		{"tokenizer.json", readTokenizerJSON},
		{"vocab.txt", readVocabTxt},
		{"vocab.json", func(path string, data []byte, s *settingsFile) (file, error) {
			name := filepath.Join(dir, "merges.txt")
			merges, err := read(name)
			if err != nil {
				return file{}, fmt.Errorf("%s needs the file merges.txt beside it: %w", path, err)
			}
			return readVocabJSON(path, data, name, merges, s)
		}},
	} {
		path := filepath.Join(dir, way.name)
		data, err := read(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		f, err := way.decode(path, data, settings)
		if err != nil {
			return nil, err
		}
		f.names, f.config = settings.names, settings.config
		t, err := build(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return t, nil
	}
	return nil, fmt.Errorf("%s has no tokenizer: neither tokenizer.json nor vocab.txt nor vocab.json with merges.txt", dir)
}

func readTokenizerJSON(path string, data []byte, s *settingsFile) (file, error) {
	var f file
	if err := decodeJSON(data, &f); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	for _, a := range s.added {
		if !slices.ContainsFunc(f.AddedTokens, func(b added) bool { return b.Content == a.Content }) {
			f.AddedTokens = append(f.AddedTokens, a)
		}
	}
	return f, nil
}
