package text

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// small is a tokenizer.json with some of its fields replaced, on one line each.
func small(patch map[string]string) string {
	fields := map[string]string{
		"added_tokens":   `[{"id":0,"content":"[UNK]","special":true}]`,
		"normalizer":     `{"type":"BertNormalizer"}`,
		"pre_tokenizer":  `{"type":"BertPreTokenizer"}`,
		"post_processor": `null`,
		"decoder":        `{"type":"WordPiece"}`,
		"model":          `{"type":"WordPiece","unk_token":"[UNK]","vocab":{"[UNK]":0,"a":1,"##b":2}}`,
	}
	maps.Copy(fields, patch)
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		lines = append(lines, fmt.Sprintf("%q: %s", key, fields[key]))
	}
	return "{" + strings.Join(lines, ",\n") + "}"
}

func TestBadFiles(t *testing.T) {
	bpe := func(fields string) map[string]string {
		return map[string]string{"tokenizer.json": small(map[string]string{"added_tokens": "[]", "pre_tokenizer": `{"type":"ByteLevel"}`,
			"model": `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2}` + fields + `}`})}
	}
	part := func(key, value string) map[string]string {
		return map[string]string{"tokenizer.json": small(map[string]string{key: value})}
	}
	const bert = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n"
	for name, c := range map[string]struct {
		files map[string]string
		says  []string // beside the file's name
	}{
		"nothing":             {nil, []string{"neither tokenizer.json nor vocab.txt nor vocab.json"}},
		"truncated":           {map[string]string{"tokenizer.json": "{\n\"model\": {\"type\":"}, []string{"tokenizer.json", "line 2"}},
		"wrong kind":          {part("added_tokens", `[{"id":"0"}]`), []string{"line 1", "id", "string"}},
		"no model":            {part("model", "null"), []string{"no model"}},
		"unigram":             {part("model", `{"type":"Unigram","vocab":[["a",0.5]]}`), []string{"model", "Unigram", "WordPiece and byte-level BPE"}},
		"huge id":             {part("model", `{"type":"WordPiece","vocab":{"[UNK]":2000000000}}`), []string{"[UNK]", "2000000000"}},
		"negative id":         {part("model", `{"type":"WordPiece","vocab":{"[UNK]":-1}}`), []string{"[UNK]", "-1"}},
		"id twice":            {part("model", `{"type":"WordPiece","vocab":{"[UNK]":0,"a":0}}`), []string{"vocab", `"[UNK]" and "a"`, "same id 0"}},
		"no unknown":          {part("model", `{"type":"WordPiece","vocab":{"a":1}}`), []string{"model", `"[UNK]"`}},
		"added elsewhere":     {part("added_tokens", `[{"id":2,"content":"a"}]`), []string{"added_tokens", `"a"`, "2"}},
		"added in place":      {part("added_tokens", `[{"id":1,"content":"x"}]`), []string{"added_tokens", `"x"`, `"a"`}},
		"normalizer":          {part("normalizer", `{"type":"Replace"}`), []string{"normalizer", `"Replace"`, "BertNormalizer, NFC"}},
		"nested":              {part("normalizer", strings.Repeat(`{"type":"Sequence","normalizers":[`, 20)+strings.Repeat("]}", 20)), []string{"normalizer", "nested"}},
		"pre-tokenizer":       {part("pre_tokenizer", `{"type":"Metaspace"}`), []string{"pre_tokenizer", `"Metaspace"`, "BertPreTokenizer, ByteLevel"}},
		"after byte level":    {part("pre_tokenizer", `{"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Whitespace"}]}`), []string{`"Whitespace" after ByteLevel`}},
		"bytes for wordpiece": {part("pre_tokenizer", `{"type":"ByteLevel"}`), []string{"WordPiece", "ByteLevel"}},
		"post-processor":      {part("post_processor", `{"type":"X"}`), []string{"post_processor", `"X"`, "TemplateProcessing"}},
		"template token":      {part("post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}}]}`), []string{"single", "part 1", "[CLS]"}},
		"template part":       {part("post_processor", `{"type":"TemplateProcessing","single":[{"Sequence":{"id":"C"}}]}`), []string{"single", "part 1"}},
		"template id":         {part("post_processor", `{"type":"BertProcessing","cls":["a",1],"sep":["z",99]}`), []string{"99", "not in the vocabulary"}},
		"no pair":             {part("post_processor", `{"type":"BertProcessing","cls":["a"],"sep":["z",99]}`), []string{"post_processor", `["a"]`}},
		"decoder":             {part("decoder", `{"type":"CTC"}`), []string{"decoder", `"CTC"`}},
		"dropout":             {bpe(`,"dropout":0.1`), []string{"dropout"}},
		"byte fallback":       {bpe(`,"byte_fallback":true`), []string{"byte_fallback"}},
		"merge of nothing":    {bpe(`,"merges":["a b","a c"]`), []string{"merge 2", `"c"`}},
		"merge of one":        {bpe(`,"merges":["a b","a"]`), []string{"merges", "merge 2"}},
		"merge of numbers":    {bpe(`,"merges":[["a","b"],[1,2]]`), []string{"merges", "merge 2"}},
		"special missing":     {map[string]string{"vocab.txt": strings.Replace(bert, "[SEP]\n", "", 1)}, []string{"vocab.txt", `"[SEP]"`}},
		"not UTF-8":           {map[string]string{"vocab.txt": bert + "b\n\xff\n"}, []string{"vocab.txt", "line 8"}},
		"settings":            {map[string]string{"vocab.txt": bert, "tokenizer_config.json": "{\n\n]"}, []string{"tokenizer_config.json", "line 3"}},
		"added id":            {map[string]string{"vocab.txt": bert, "tokenizer_config.json": `{"added_tokens_decoder":{"x":{"content":"q"}}}`}, []string{"tokenizer_config.json", `"x"`}},
		"no merges":           {map[string]string{"vocab.json": `{"a":0}`}, []string{"vocab.json", "merges.txt"}},
		"broken merges":       {map[string]string{"vocab.json": `{"a":0}`, "merges.txt": "#version: 0.2\na b c\n"}, []string{"merges.txt", "line 2", `"a b c"`}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, c.files)
			_, err := Open(dir)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range append(c.says, dir) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is not one line", err)
			}
		})
	}
	if _, err := Open(folder(t, map[string]string{"tokenizer.json": small(nil)})); err != nil {
		t.Errorf("the file that the cases are made of: %v", err)
	}
}

func TestBadTraining(t *testing.T) {
	texts := slices.Values([]string{"one two", "three"})
	none := slices.Values([]string{"", "  "})
	for name, err := range map[string]error{
		"too small": second(TrainWordPiece(texts, Training{Size: 10})),
		"256 bytes": second(TrainBPE(texts, Training{Size: 260})),
		"no text":   second(TrainWordPiece(none, Training{Size: 100})),
		"too large": second(TrainBPE(texts, Training{Size: 1 << 30})),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestLongTexts(t *testing.T) {
	const n = 100_000
	for _, name := range []string{"wordpiece", "bpe"} {
		tok := base(t, name, nil)
		for _, unit := range []string{"a", "é", "日", "\u0301", "\xff", "\x00", " ", "!", "[MASK]", "the ", "'s"} {
			checkText(t, tok, strings.Repeat(unit, n/len(unit)))
		}
	}
}

func TestWords(t *testing.T) {
	for name, c := range map[string]struct {
		tokens []string
		words  []int32
	}{
		"wordpiece": {[]string{"[CLS]", "the", "people", "##s", "##s", "[MASK]", "##s", ",", "[SEP]"}, []int32{-1, 0, 1, 1, 1, -1, 2, 3, -1}},
		"bpe":       {[]string{"<s>", "the", "Ġpeople", "s", "s", "<mask>", "s", ",", "</s>"}, []int32{-1, 0, 1, 1, 1, -1, 2, 2, -1}},
	} {
		tok := base(t, name, nil)
		var ids []int32
		for _, token := range c.tokens {
			id, ok := tok.ID(token)
			if !ok {
				t.Fatalf("%s has no token %q", name, token)
			}
			ids = append(ids, id)
		}
		// The first token and the one after a special token begin words, whatever they are.
		if got := tok.Words(nil, ids); !slices.Equal(got, c.words) {
			t.Errorf("%s: %v, want %v", name, got, c.words)
		}
		for _, outside := range []int32{-1, int32(tok.Size()), 1 << 30} {
			if tok.IsSpecial(outside) || tok.WordStart(outside) || tok.Text(outside) != "" || tok.Decode([]int32{outside}) != "" {
				t.Errorf("%s: %d is taken for a token", name, outside)
			}
		}
	}
}

// TestSpecialByName finds special tokens whose names only the folder's settings or only the template know.
func TestSpecialByName(t *testing.T) {
	vocab := `"vocab":{"[UNK]":0,"begin":1,"end":2,"hole":3,"a":4}`
	whole := small(map[string]string{"model": `{"type":"WordPiece","unk_token":"[UNK]",` + vocab + `}`, "post_processor": `{"type":"BertProcessing","cls":["begin",1],"sep":["end",2]}`})
	tok := mustOpen(t, folder(t, map[string]string{"tokenizer.json": whole, "special_tokens_map.json": `{"mask_token":{"content":"hole"}}`}))
	if got, want := tok.Special(), (Special{CLS: 1, SEP: 2, Mask: 3, Pad: -1, Unknown: 0}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if !tok.IsSpecial(3) || tok.IsSpecial(4) {
		t.Error("the mask is no special token, or a is one")
	}
}

// TestOrder shuffles the texts that a vocabulary is made of.
func TestOrder(t *testing.T) {
	g := mustGolden(t)
	texts := slices.Clone(g.Texts)
	for name, train := range map[string]func() (*Tokenizer, error){
		"wordpiece": func() (*Tokenizer, error) { return TrainWordPiece(slices.Values(texts), Training{Size: 3000}) },
		"bpe":       func() (*Tokenizer, error) { return TrainBPE(slices.Values(texts), Training{Size: 1500}) },
	} {
		var first []string
		for range 3 {
			tok, err := train()
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = tok.tokens
			}
			if !slices.Equal(tok.tokens, first) {
				t.Errorf("%s: another vocabulary", name)
			}
			slices.Reverse(texts)
		}
	}
}

// TestConcurrent is for the race detector as well.
func TestConcurrent(t *testing.T) {
	g := mustGolden(t)
	texts := g.Texts[g.Real-100 : g.Real+100]
	for _, name := range []string{"wordpiece", "bpe"} {
		tok, alone := base(t, name, nil), base(t, name, nil)
		want := make([][]int32, len(texts))
		for i, text := range texts {
			want[i] = alone.Append(nil, text)
		}
		var wg sync.WaitGroup
		for k := range 4 {
			wg.Go(func() {
				for i := range texts {
					i = (i*7 + k*31) % len(texts)
					if got := tok.Append(nil, texts[i]); !slices.Equal(got, want[i]) {
						t.Errorf("%s: %q: %v, want %v", name, texts[i], got, want[i])
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	g := mustGolden(t)
	for _, name := range []string{"wordpiece", "bpe"} {
		tok := base(t, name, nil)
		ids := make([]int32, 0, 1<<20)
		all := func() {
			for _, text := range g.Texts[:g.Real+300] {
				ids = tok.Append(ids[:0], text)
			}
		}
		all() // fills the cache
		// A garbage collection may take the scratch memory, so that a few allocations are no news.
		if n := testing.AllocsPerRun(5, all); !(n < 50) {
			t.Errorf("%s: %v allocations for %d texts", name, n, g.Real+300)
		}
	}
}

// TestCacheIsBounded sends more words through than the cache has place for, and compares with a fresh cache.
func TestCacheIsBounded(t *testing.T) {
	tok := base(t, "bpe", nil)
	m := tok.model.(*bpe)
	for i := range 3 << cacheBits {
		tok.Append(nil, fmt.Sprintf("w%dx", i))
	}
	if len(m.cache.slots) != 1<<cacheBits {
		t.Errorf("the cache has %d slots", len(m.cache.slots))
	}
	fresh := base(t, "bpe", nil)
	for i := range 2000 {
		text := fmt.Sprintf("w%dx and people%d", i*37, i)
		if got, want := tok.Append(nil, text), fresh.Append(nil, text); !slices.Equal(got, want) {
			t.Fatalf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestProgress(t *testing.T) {
	g := mustGolden(t)
	last := 0
	tok, err := TrainBPE(slices.Values(g.Texts[:g.Real]), Training{Size: 500, Progress: func(tokens, size int) {
		if tokens < last || tokens > size || size != 500 {
			t.Errorf("%d of %d tokens after %d", tokens, size, last)
		}
		last = tokens
	}})
	if err != nil || last != 500 || tok.Size() != 500 {
		t.Errorf("%d tokens at the end: %v", last, err)
	}
	if !json.Valid(tok.file.Model) {
		t.Error("the model is no JSON")
	}
}
