package text

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// settingsFile is what the small files of a Hugging Face folder say.
type settingsFile struct {
	names  special[string]
	added  []added
	config map[string]json.RawMessage // tokenizer_config.json as it is

	specials []added // the tokens of names and how they are found; without ids

	lower, chinese bool
	strip          *bool
	prefixSpace    bool
	trim           bool
}

// token is a special token: a string, or an object that also says how it is found.
type token struct{ added }

func (t *token) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		return json.Unmarshal(data, &t.added)
	}
	return json.Unmarshal(data, &t.Content)
}

// settingsJSON is tokenizer_config.json and special_tokens_map.json.
type settingsJSON struct {
	CLS     token `json:"cls_token"`
	SEP     token `json:"sep_token"`
	Mask    token `json:"mask_token"`
	Pad     token `json:"pad_token"`
	Unknown token `json:"unk_token"`

	Lower       *bool            `json:"do_lower_case"`
	Chinese     *bool            `json:"tokenize_chinese_chars"`
	Strip       *bool            `json:"strip_accents"`
	PrefixSpace *bool            `json:"add_prefix_space"`
	Trim        *bool            `json:"trim_offsets"`
	Added       map[string]added `json:"added_tokens_decoder"`
}

// readOptional decodes a JSON file that need not be there.
func readOptional(read func(string) ([]byte, error), path string, into any) error {
	data, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return in(path, decodeJSON(data, into))
}

func readSettings(dir string, read func(string) ([]byte, error)) (*settingsFile, error) {
	var c settingsJSON
	for _, name := range []string{"special_tokens_map.json", "tokenizer_config.json"} {
		if err := readOptional(read, filepath.Join(dir, name), &c); err != nil {
			return nil, err
		}
	}
	s := &settingsFile{
		names: special[string]{c.CLS.Content, c.SEP.Content, c.Mask.Content, c.Pad.Content, c.Unknown.Content},
		lower: or(c.Lower, true), chinese: or(c.Chinese, true), strip: c.Strip, prefixSpace: or(c.PrefixSpace, false), trim: or(c.Trim, true),
	}
	if err := readOptional(read, filepath.Join(dir, "tokenizer_config.json"), &s.config); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(c.Added)) {
		a := c.Added[key]
		if _, err := fmt.Sscanf(key, "%d", &a.ID); err != nil {
			return nil, fmt.Errorf("%s: added_tokens_decoder: %q is no id", filepath.Join(dir, "tokenizer_config.json"), key)
		}
		s.added = append(s.added, a)
	}
	for _, x := range []token{c.CLS, c.SEP, c.Mask, c.Pad, c.Unknown} {
		if x.Content != "" {
			x.Special = true
			s.specials = append(s.specials, x.added)
		}
	}
	var more map[string]int32
	if err := readOptional(read, filepath.Join(dir, "added_tokens.json"), &more); err != nil {
		return nil, err
	}
	for _, token := range slices.Sorted(maps.Keys(more)) {
		if !slices.ContainsFunc(s.added, func(a added) bool { return a.Content == token }) {
			s.added = append(s.added, added{ID: more[token], Content: token, Normalized: true})
		}
	}
	return s, nil
}

// class says which class of `transformers` builds the same tokenizer and with which arguments, unless the folder says it.
func (s *settingsFile) class(name string, arguments object) {
	if s.config == nil {
		s.config = map[string]json.RawMessage{}
	}
	arguments["tokenizer_class"] = name
	for key, value := range arguments {
		if s.config[key] == nil {
			s.config[key] = mustJSON(value)
		}
	}
}

// mustJSON encodes values that cannot fail to be encoded.
func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// object is a JSON object.
type object = map[string]any

// bertFile describes a WordPiece tokenizer as BERT's. vocab[i] has the id i.
func bertFile(vocab []string, s *settingsFile) (file, error) {
	s.class("BertTokenizer", object{"do_lower_case": s.lower, "tokenize_chinese_chars": s.chinese, "strip_accents": s.strip})
	n := &s.names
	for _, d := range []struct {
		name  *string
		usual string
	}{{&n.CLS, "[CLS]"}, {&n.SEP, "[SEP]"}, {&n.Mask, "[MASK]"}, {&n.Pad, "[PAD]"}, {&n.Unknown, "[UNK]"}} {
		if *d.name == "" {
			*d.name = d.usual
		}
	}
	ids := make(map[string]int32, len(vocab))
	for i, token := range vocab {
		ids[token] = int32(i)
	}
	f := file{Version: "1.0", names: *n}
	if err := f.addSpecials(s, ids, []string{n.Pad, n.Unknown, n.CLS, n.SEP, n.Mask}); err != nil {
		return f, err
	}
	cls, sep := object{"SpecialToken": object{"id": n.CLS, "type_id": 0}}, func(typ int) object {
		return object{"SpecialToken": object{"id": n.SEP, "type_id": typ}}
	}
	first, second := object{"Sequence": object{"id": "A", "type_id": 0}}, object{"Sequence": object{"id": "B", "type_id": 1}}
	token := func(name string) object {
		return object{"id": name, "ids": []int32{ids[name]}, "tokens": []string{name}}
	}
	f.Normalizer = mustJSON(object{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": s.chinese, "strip_accents": s.strip, "lowercase": s.lower})
	f.PreTokenizer = mustJSON(object{"type": "BertPreTokenizer"})
	f.PostProcessor = mustJSON(object{"type": "TemplateProcessing", "single": []object{cls, first, sep(0)}, "pair": []object{cls, first, sep(0), second, sep(1)},
		"special_tokens": object{n.CLS: token(n.CLS), n.SEP: token(n.SEP)}})
	f.Decoder = mustJSON(object{"type": "WordPiece", "prefix": "##", "cleanup": true})
	f.Model = mustJSON(object{"type": "WordPiece", "unk_token": n.Unknown, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": ids})
	return f, nil
}

// addSpecials makes the named tokens special added tokens, and adds those of the folder's settings.
func (f *file) addSpecials(s *settingsFile, ids map[string]int32, names []string) error {
	f.AddedTokens = slices.Clone(s.added)
	for _, name := range names {
		if slices.ContainsFunc(f.AddedTokens, func(a added) bool { return a.Content == name }) {
			continue
		}
		id, ok := ids[name]
		if !ok {
			return fmt.Errorf("the vocabulary has no special token %q", name)
		}
		a := added{Content: name, Special: true}
		for _, x := range s.specials {
			if x.Content == name {
				a = x
			}
		}
		a.ID = id
		f.AddedTokens = append(f.AddedTokens, a)
	}
	slices.SortStableFunc(f.AddedTokens, func(a, b added) int { return int(a.ID) - int(b.ID) })
	return nil
}

// robertaFile describes a byte-level BPE tokenizer: RoBERTa's if the vocabulary has <s> and </s>, else GPT-2's.
func robertaFile(ids map[string]int32, merges [][2]string, s *settingsFile) (file, error) {
	f := file{Version: "1.0"}
	s.class("RobertaTokenizer", object{"add_prefix_space": s.prefixSpace, "trim_offsets": s.trim})
	n := &s.names
	_, hasCLS := ids["<s>"]
	_, hasSEP := ids["</s>"]
	f.PostProcessor = mustJSON(object{"type": "ByteLevel", "add_prefix_space": s.prefixSpace, "trim_offsets": false, "use_regex": true})
	var names []string
	if hasCLS && hasSEP {
		for _, d := range []struct {
			name  *string
			usual string
		}{{&n.CLS, "<s>"}, {&n.Pad, "<pad>"}, {&n.SEP, "</s>"}, {&n.Unknown, "<unk>"}, {&n.Mask, "<mask>"}} {
			if *d.name == "" {
				*d.name = d.usual
			}
			names = append(names, *d.name)
		}
		f.PostProcessor = mustJSON(object{"type": "RobertaProcessing", "sep": []any{n.SEP, ids[n.SEP]}, "cls": []any{n.CLS, ids[n.CLS]}, "trim_offsets": s.trim, "add_prefix_space": s.prefixSpace})
	} else if _, ok := ids["<|endoftext|>"]; ok {
		names = []string{"<|endoftext|>"}
	}
	f.names = *n
	if err := f.addSpecials(s, ids, names); err != nil {
		return f, err
	}
	lines := make([]string, len(merges))
	for i, p := range merges {
		lines[i] = p[0] + " " + p[1]
	}
	f.PreTokenizer = mustJSON(object{"type": "ByteLevel", "add_prefix_space": s.prefixSpace, "trim_offsets": true, "use_regex": true})
	f.Decoder = mustJSON(object{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})
	f.Model = mustJSON(object{"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": false,
		"byte_fallback": false, "ignore_merges": false, "vocab": ids, "merges": lines})
	return f, nil
}

func readVocabTxt(path string, data []byte, s *settingsFile) (file, error) {
	if !utf8.Valid(data) {
		return file{}, fmt.Errorf("%s: line %d is not UTF-8", path, 1+strings.Count(firstValid(data), "\n"))
	}
	vocab := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	for i := range vocab {
		vocab[i] = strings.TrimSuffix(vocab[i], "\r")
	}
	f, err := bertFile(vocab, s)
	return f, in(path, err)
}

// firstValid returns data up to the first byte that is not UTF-8.
func firstValid(data []byte) string {
	for i, r := range string(data) {
		if r == utf8.RuneError && !strings.HasPrefix(string(data[i:min(len(data), i+3)]), "\uFFFD") {
			return string(data[:i])
		}
	}
	return string(data)
}

func readVocabJSON(path string, data []byte, name string, lines []byte, s *settingsFile) (file, error) {
	var ids map[string]int32
	if err := decodeJSON(data, &ids); err != nil {
		return file{}, in(path, err)
	}
	var merges [][2]string
	n := 0
	for line := range strings.Lines(string(lines)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || n == 1 && strings.HasPrefix(line, "#version") {
			continue
		}
		two := strings.Split(line, " ")
		if len(two) != 2 || two[0] == "" || two[1] == "" {
			return file{}, fmt.Errorf("%s: line %d: %.40q is no pair of tokens", name, n, line)
		}
		merges = append(merges, [2]string(two))
	}
	f, err := robertaFile(ids, merges, s)
	return f, in(path, err)
}
