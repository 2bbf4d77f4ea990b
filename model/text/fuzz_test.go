package text

import (
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// onBoundary reports whether i lies between two characters of s. A byte that is not UTF-8 is a character.
func onBoundary(s string, i int) bool {
	if i == len(s) || utf8.RuneStart(s[i]) {
		return true
	}
	for k := max(0, i-utf8.UTFMax+1); k < i; k++ {
		if _, n := utf8.DecodeRuneInString(s[k:]); k+n > i {
			return false
		}
	}
	return true
}

// checkText holds what is true of any tokenizer and any text.
func checkText(t *testing.T, tok *Tokenizer, text string) {
	t.Helper()
	tokens := tok.Encode(text)
	ids := make([]int32, len(tokens))
	from, to := int32(0), int32(0)
	for i, x := range tokens {
		ids[i] = x.ID
		if x.ID < 0 || int(x.ID) >= tok.Size() || x.Start < 0 || x.Start > x.End || int(x.End) > len(text) {
			t.Fatalf("%q: token %d is %+v", text, i, x)
		}
		if !onBoundary(text, int(x.Start)) || !onBoundary(text, int(x.End)) {
			t.Fatalf("%q: token %d %+v cuts a character", text, i, x)
		}
		// A space that was put before a word lies where the first character ends, in tokenizers as well.
		if x.End < to || x.Start < from && x.Start != x.End {
			if i == 0 || tokens[i-1].Start != tokens[i-1].End || x.End < to {
				t.Fatalf("%q: token %d %+v goes back", text, i, x)
			}
		}
		from, to = x.Start, x.End
	}
	if got := tok.Append(nil, text); !slices.Equal(got, ids) {
		t.Fatalf("%q: Append gives %v, Encode %v", text, got, ids)
	}
	for _, b := range [][]int32{nil, ids} {
		for _, limit := range []int{0, 1, 7, 50} {
			wrapped, types := tok.Wrap(nil, nil, ids, b, limit)
			most := max(limit, tok.Overhead(b != nil))
			if limit == 0 {
				most = math.MaxInt
			}
			if len(types) != len(wrapped) || len(wrapped) > most || len(wrapped) > len(ids)+len(b)+tok.Overhead(b != nil) {
				t.Fatalf("%q in %d: %v %v", text, limit, wrapped, types)
			}
		}
	}
	if words := tok.Words(nil, ids); len(words) != len(ids) {
		t.Fatalf("%q: %d words of %d tokens", text, len(words), len(ids))
	}
	tok.Decode(ids)
}

// replaced is s with U+FFFD for each byte that is not UTF-8.
func replaced(s string) string { return string([]rune(s)) }

func FuzzTokenizer(f *testing.F) {
	g := mustGolden(f)
	for i := g.Real - 5; i < len(g.Texts); i += 7 {
		f.Add(g.Texts[i])
	}
	f.Add("a\xff\xc3[MASK]\xe2\x82 \x00")
	f.Add(strings.Repeat("x", 100_000))
	toks := map[string]*Tokenizer{}
	for _, c := range g.Cases {
		switch c.Name {
		case "bert", "bert-added", "bert-two", "roberta", "roberta-added", "bpe-nfkc", "bpe-words", "bpe-fuse", "gpt2":
			toks[c.Name] = base(f, c.Base, c.Patch)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range toks {
			checkText(t, tok, text)
		}
		tok := toks["gpt2"] // loses nothing
		ids := tok.Append(nil, text)
		if !slices.ContainsFunc(ids, tok.IsSpecial) {
			if got := tok.Decode(ids); got != replaced(text) {
				t.Fatalf("%q is decoded to %q", text, got)
			}
		}
	})
}

// Small tokenizers for the readers to start from.
var smallFiles = []string{
	`{"added_tokens":[{"id":0,"content":"[UNK]","special":true},{"id":6,"content":"Xx","normalized":true,"lstrip":true,"single_word":true}],"normalizer":{"type":"BertNormalizer","strip_accents":null},
"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"c","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"c":{"id":"c","ids":[1],"tokens":["a"]}}},
"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},"model":{"type":"WordPiece","unk_token":"[UNK]","vocab":{"[UNK]":0,"a":1,"##b":2,"ab":3,"é":4,"##b##":5}}}`,
	`{"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"NFKD"},{"type":"Lowercase"},{"type":"StripAccents"}]},
"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Whitespace"},{"type":"ByteLevel","add_prefix_space":true}]},"post_processor":{"type":"RobertaProcessing","sep":["b",1],"cls":["a",0]},
"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","unk_token":"a","fuse_unk":true,"vocab":{"a":0,"b":1,"Ġ":2,"ab":3,"Ġab":4},"merges":["a b",["Ġ","ab"]]}}`,
	`{"post_processor":{"type":"Sequence","processors":[{"type":"ByteLevel"},{"type":"BertProcessing","sep":["b",1],"cls":["a",0]}]},"pre_tokenizer":{"type":"ByteLevel"},
"model":{"ignore_merges":true,"vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b"]]}}`,
}

// checkOpened holds what is true of a tokenizer from any file: it works, and after Save and Open it is the same.
func checkOpened(t *testing.T, files map[string]string) {
	t.Helper()
	const dir = "some/folder"
	read := func(path string) ([]byte, error) {
		data, ok := files[filepath.Base(path)]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return []byte(data), nil
	}
	tok, err := open(dir, read)
	if err != nil {
		if strings.ContainsAny(err.Error(), "\n") || !strings.Contains(err.Error(), dir) {
			t.Fatalf("the error is not one line with the file in it: %q", err)
		}
		return
	}
	const text = " ab é\u0301 Xx [UNK]b\xffab\t日 [MASK]"
	checkText(t, tok, text)
	written, err := tok.folder()
	if err != nil {
		t.Fatal(err)
	}
	clear(files)
	for name, data := range written {
		files[name] = string(data)
	}
	again, err := open(dir, read)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := again.Encode(text), tok.Encode(text); !slices.Equal(got, want) || again.special != tok.special {
		t.Fatalf("saved and opened again it gives %v, not %v", got, want)
	}
}

func FuzzTokenizerJSON(f *testing.F) {
	for _, s := range smallFiles {
		f.Add(s, `{"cls_token":"a","mask_token":{"content":"ab"},"added_tokens_decoder":{"9":{"content":"q"}}}`)
	}
	f.Fuzz(func(t *testing.T, whole, config string) {
		checkOpened(t, map[string]string{"tokenizer.json": whole, "tokenizer_config.json": config})
	})
}

func FuzzVocabulary(f *testing.F) {
	f.Add("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n", "", `{"do_lower_case":false}`, `{"new":9}`)
	f.Add(`{"<s>":0,"</s>":1,"<pad>":2,"<unk>":3,"<mask>":4,"a":5,"b":6,"ab":7}`, "#version: 0.2\na b\n", `{"add_prefix_space":true}`, `{}`)
	f.Fuzz(func(t *testing.T, vocab, merges, config, more string) {
		files := map[string]string{"vocab.txt": vocab, "tokenizer_config.json": config, "added_tokens.json": more}
		if merges != "" {
			files["merges.txt"], files["vocab.json"] = merges, vocab
			delete(files, "vocab.txt")
		}
		checkOpened(t, files)
	})
}
