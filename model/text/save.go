package text

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tapweight/model/checkpoint"
)

// Save writes the tokenizer into a folder, which is made if need be: tokenizer.json, vocab.txt or vocab.json with merges.txt,
// tokenizer_config.json and special_tokens_map.json. `transformers` opens it and Open does. Each file is replaced at once or
// not at all.
func (t *Tokenizer) Save(dir string) error {
	files, err := t.folder()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err := checkpoint.AtomicWrite(filepath.Join(dir, name), func(w io.Writer) error {
			_, err := w.Write(files[name])
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// folder returns the files that Save writes.
func (t *Tokenizer) folder() (map[string][]byte, error) {
	whole, err := encodeJSON(t.file)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"tokenizer.json": whole}
	var m modelFile
	if err := decodeModel(t.file.Model, &m); err != nil {
		return nil, err
	}
	if m.Type == "WordPiece" {
		if lines, ok := t.vocabTxt(m.Vocab); ok {
			files["vocab.txt"] = lines
		}
	} else {
		if files["vocab.json"], err = encodeJSON(m.Vocab); err != nil {
			return nil, err
		}
		pairs, err := mergePairs(m.Merges)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		b.WriteString("#version: 0.2\n")
		for _, p := range pairs {
			b.WriteString(p[0] + " " + p[1] + "\n")
		}
		files["merges.txt"] = b.Bytes()
	}
	named := object{}
	config := t.config()
	for _, n := range []struct {
		key string
		id  int32
	}{{"cls_token", t.special.CLS}, {"sep_token", t.special.SEP}, {"mask_token", t.special.Mask}, {"pad_token", t.special.Pad}, {"unk_token", t.special.Unknown}} {
		if n.id < 0 {
			continue
		}
		named[n.key], config[n.key] = t.tokens[n.id], t.tokens[n.id]
		if a := t.added[n.id]; a != nil && (a.SingleWord || a.LStrip || a.RStrip || a.Normalized) {
			flags := object{"content": a.Content, "single_word": a.SingleWord, "lstrip": a.LStrip, "rstrip": a.RStrip, "normalized": a.Normalized}
			named[n.key] = maps.Clone(flags)
			flags["__type"], flags["special"] = "AddedToken", a.Special
			config[n.key] = flags
		}
	}
	if files["special_tokens_map.json"], err = encodeJSON(named); err != nil {
		return nil, err
	}
	if files["tokenizer_config.json"], err = encodeJSON(config); err != nil {
		return nil, err
	}
	return files, nil
}

// encodeJSON writes <s> as <s>, not as \u003cs\u003e.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(v)
	return b.Bytes(), err
}

// config returns the fields of tokenizer_config.json, except special tokens: those of the folder that was opened, or what
// makes `transformers` read tokenizer.json as it is.
func (t *Tokenizer) config() object {
	config := object{"tokenizer_class": "PreTrainedTokenizerFast"}
	for key, value := range t.file.config {
		config[key] = value
	}
	return config
}

// vocabTxt is the vocabulary by id, one token a line. A vocabulary that is not like that has no vocab.txt.
func (t *Tokenizer) vocabTxt(vocab map[string]int32) ([]byte, bool) {
	lines := make([]string, len(vocab))
	for token, id := range vocab {
		if int(id) >= len(lines) || strings.ContainsAny(token, "\r\n") {
			return nil, false
		}
		lines[id] = token
	}
	return []byte(strings.Join(lines, "\n") + "\n"), true
}
