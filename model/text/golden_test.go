package text

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// golden is what the Python package `tokenizers` says; testdata/make_golden.py writes it.
type golden struct {
	Tokenizers string   `json:"tokenizers"`
	Texts      []string `json:"texts"`
	Real       int      `json:"real"` // of the texts, the first ones
	Cases      []struct {
		Name       string                     `json:"name"`
		Base       string                     `json:"base"`
		Patch      map[string]json.RawMessage `json:"patch"`
		Tokens     string                     `json:"tokens"` // four hexadecimal digits for each text
		IDs        [][]int32                  `json:"ids"`
		Decoded    string                     `json:"decoded"`
		Normalized string                     `json:"normalized"` // hash of all code points, each normalised
		Pairs      []struct {
			A     string  `json:"a"`
			B     *string `json:"b"`
			Limit int     `json:"limit"`
			IDs   []int32 `json:"ids"`
			Types []int   `json:"types"`
		} `json:"pairs"`
	} `json:"cases"`
	MiniLM string `json:"minilm"`
}

func unzip(t testing.TB, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var readGolden = sync.OnceValues(func() (*golden, error) {
	f, err := os.Open("testdata/golden.json.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	g := new(golden)
	return g, json.NewDecoder(z).Decode(g)
})

func mustGolden(t testing.TB) *golden {
	t.Helper()
	g, err := readGolden()
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Texts) < 3000 {
		t.Fatalf("only %d texts", len(g.Texts))
	}
	return g
}

// patched is a tokenizer.json with some of its fields replaced, as the script does it.
func patched(t testing.TB, base string, patch map[string]json.RawMessage) []byte {
	t.Helper()
	var whole map[string]json.RawMessage
	decode := func(data []byte, into any) {
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatal(err)
		}
	}
	decode(unzip(t, "testdata/"+base+".json.gz"), &whole)
	for key, value := range patch {
		if key == "model" {
			var model, fields map[string]json.RawMessage
			decode(whole["model"], &model)
			decode(value, &fields)
			var drop []string
			if fields["drop"] != nil {
				decode(fields["drop"], &drop)
				delete(fields, "drop")
			}
			maps.Copy(model, fields)
			var vocab map[string]int32
			decode(model["vocab"], &vocab)
			for _, token := range drop {
				delete(vocab, token)
			}
			model["vocab"] = mustJSON(vocab)
			value = mustJSON(model)
		}
		whole[key] = value
	}
	return mustJSON(whole)
}

// folder writes files into a new folder.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustOpen(t testing.TB, dir string) *Tokenizer {
	t.Helper()
	tok, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// base opens one of the two tokenizers in testdata, with fields replaced.
func base(t testing.TB, name string, patch map[string]json.RawMessage) *Tokenizer {
	t.Helper()
	return mustOpen(t, folder(t, map[string]string{"tokenizer.json": string(patched(t, name, patch))}))
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:4]
}

// describe writes tokens as the script hashes them.
func describe(tokens []Token) string {
	var b strings.Builder
	for i, x := range tokens {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d:%d:%d", x.ID, x.Start, x.End)
	}
	return b.String()
}

// sameTokens compares ids and offsets of all texts, and Append with Encode.
func sameTokens(t *testing.T, tok *Tokenizer, texts []string, hashes string) {
	t.Helper()
	if len(hashes) != 4*len(texts) {
		t.Fatalf("%d hashes for %d texts", len(hashes)/4, len(texts))
	}
	bad := 0
	for i, text := range texts {
		tokens := tok.Encode(text)
		if got := describe(tokens); digest(got) != hashes[4*i:4*i+4] {
			bad++
			if bad <= 5 {
				t.Errorf("text %d %.200q: %.300s", i, text, got)
			}
		}
		ids := make([]int32, len(tokens))
		for k, x := range tokens {
			ids[k] = x.ID
		}
		if got := tok.Append(nil, text); !slices.Equal(got, ids) {
			t.Errorf("text %d %.200q: Append gives %v, Encode %v", i, text, got, ids)
		}
	}
	if bad > 0 {
		t.Errorf("%d of %d texts are wrong", bad, len(texts))
	}
}

func TestGolden(t *testing.T) {
	g := mustGolden(t)
	for _, c := range g.Cases {
		t.Run(c.Name, func(t *testing.T) {
			tok := base(t, c.Base, c.Patch)
			sameTokens(t, tok, g.Texts, c.Tokens)
			for i, want := range c.IDs {
				if got := tok.Append(nil, g.Texts[i]); !slices.Equal(got, want) {
					t.Errorf("text %d %.200q: %v, want %v", i, g.Texts[i], got, want)
				}
				if got := tok.Decode(want); digest(got) != c.Decoded[4*i:4*i+4] {
					t.Errorf("text %d %.200q is decoded to %.200q", i, g.Texts[i], got)
				}
			}
			for _, p := range c.Pairs {
				a, b := tok.Append(nil, p.A), []int32(nil)
				if p.B != nil {
					b = tok.Append([]int32{}, *p.B)
				}
				ids, types := tok.Wrap(nil, nil, a, b, p.Limit)
				same := len(types) == len(p.Types)
				for i, x := range types {
					same = same && int(x) == p.Types[i]
				}
				if !slices.Equal(ids, p.IDs) || !same {
					t.Errorf("%q and %v in %d: %v %v, want %v %v", p.A, p.B, p.Limit, ids, types, p.IDs, p.Types)
				}
			}
			if c.Normalized != "" {
				h, sc := sha256.New(), new(scratch)
				for r := rune(0); r <= utf8.MaxRune; r++ {
					if utf8.ValidRune(r) {
						io.WriteString(h, tok.normalise(sc, source{text: string(r)}, false).text+"\n")
					}
				}
				if got := hex.EncodeToString(h.Sum(nil)); got != c.Normalized {
					t.Errorf("some code point is normalised otherwise: hash %s, want %s", got, c.Normalized)
				}
			}
		})
	}
}

// TestVocabTxt opens a vocabulary alone, with the settings of a folder.
func TestVocabTxt(t *testing.T) {
	g := mustGolden(t)
	vocab := strings.Join(base(t, "wordpiece", nil).tokens, "\n") + "\n"
	settings := map[string]string{"bert": `{}`, "bert-cased": `{"do_lower_case":false}`, "bert-accents": `{"strip_accents":false}`}
	for _, c := range g.Cases {
		if config, ok := settings[c.Name]; ok {
			delete(settings, c.Name)
			sameTokens(t, mustOpen(t, folder(t, map[string]string{"vocab.txt": vocab, "tokenizer_config.json": config})), g.Texts, c.Tokens)
		}
	}
	if len(settings) > 0 {
		t.Errorf("there are no cases %v", settings)
	}
}

// TestFastNormalisation compares the way for texts that are mostly ASCII with the way for any text.
func TestFastNormalisation(t *testing.T) {
	g := mustGolden(t)
	for _, b := range []bert{{true, true, true, true}, {true, false, false, true}, {false, true, true, false}} {
		u, fast, slow := unicodeClasses(), new(scratch), new(scratch)
		for _, text := range append(slices.Clone(g.Texts), "a\u302e\x01\U0001d165b", "e\x00\u0301", "\u0323a\u0301") {
			got := b.fast(u, fast, source{text: text}, true)
			slow.buf, slow.at = slow.buf[:0], slow.at[:0]
			slow.chars.read(source{text: text})
			b.apply(u, &slow.chars)
			slow.write(slow.chars.now, true)
			if want := slow.source(true); got.text != want.text || !slices.Equal(got.at, want.at) {
				t.Fatalf("%+v: %q: %q, want %q", b, text, got.text, want.text)
			}
		}
	}
}

// minilm is where `make minilm` puts a real model.
const minilm = "../../build/minilm"

func openMiniLM(t testing.TB) *Tokenizer {
	t.Helper()
	if _, err := os.Stat(minilm + "/tokenizer.json"); err != nil {
		t.Skip("the real vocabulary of BERT is not here: make minilm downloads it")
	}
	return mustOpen(t, minilm)
}

func TestRealVocabulary(t *testing.T) {
	g := mustGolden(t)
	tok := openMiniLM(t)
	sameTokens(t, tok, g.Texts, g.MiniLM)
	vocab, err := os.ReadFile(minilm + "/vocab.txt")
	if err != nil {
		t.Fatal(err)
	}
	sameTokens(t, mustOpen(t, folder(t, map[string]string{"vocab.txt": string(vocab)})), g.Texts, g.MiniLM)
	if got, want := tok.Special(), (Special{CLS: 101, SEP: 102, Mask: 103, Pad: 0, Unknown: 100}); got != want || tok.Size() != 30522 {
		t.Errorf("special tokens %+v of %d, want %+v of 30522", got, tok.Size(), want)
	}
}
