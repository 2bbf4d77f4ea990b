package text

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// ways are tokenizers made in all the ways there are.
func ways(t *testing.T) map[string]*Tokenizer {
	g := mustGolden(t)
	out := map[string]*Tokenizer{"opened-wordpiece": base(t, "wordpiece", nil), "opened-bpe": base(t, "bpe", nil)}
	for _, c := range g.Cases {
		if c.Name == "bert-added" || c.Name == "bpe-nfkc" || c.Name == "roberta-space" {
			out["opened-"+c.Name] = base(t, c.Base, c.Patch)
		}
	}
	real := slices.Values(g.Texts[:g.Real])
	for name, train := range map[string]func() (*Tokenizer, error){
		"trained-uncased": func() (*Tokenizer, error) { return TrainWordPiece(real, Training{Size: 2000}) },
		"trained-cased":   func() (*Tokenizer, error) { return TrainWordPiece(real, Training{Size: 2000, Cased: true}) },
		"trained-bpe":     func() (*Tokenizer, error) { return TrainBPE(real, Training{Size: 1000}) },
	} {
		tok, err := train()
		if err != nil {
			t.Fatal(err)
		}
		out[name] = tok
	}
	return out
}

// without copies a saved folder and leaves tokenizer.json out.
func without(t *testing.T, dir string) string {
	t.Helper()
	out := t.TempDir()
	if err := os.CopyFS(out, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(out, "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	return out
}

func saved(t *testing.T, tok *Tokenizer) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "new")
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSaveOpen(t *testing.T) {
	g := mustGolden(t)
	for name, tok := range ways(t) {
		t.Run(name, func(t *testing.T) {
			dir := saved(t, tok)
			again := mustOpen(t, dir)
			others := map[string]*Tokenizer{"again": again, "twice": mustOpen(t, saved(t, again))}
			if name[:7] == "trained" {
				others["from the vocabulary"] = mustOpen(t, without(t, dir))
			}
			for how, other := range others {
				if !slices.Equal(tok.tokens, other.tokens) || tok.special != other.special || !slices.Equal(tok.mark, other.mark) {
					t.Fatalf("%s: another vocabulary: %+v, want %+v", how, other.special, tok.special)
				}
				for _, text := range g.Texts {
					if got, want := other.Encode(text), tok.Encode(text); !slices.Equal(got, want) {
						t.Fatalf("%s: %q: %v, want %v", how, text, got, want)
					}
				}
			}
		})
	}
}

// TestTransformers opens what was saved with `transformers`.
func TestTransformers(t *testing.T) {
	python := os.Getenv("TAPWEIGHT_TRANSFORMERS")
	if python == "" {
		t.Skip("TAPWEIGHT_TRANSFORMERS names no Python interpreter with the package transformers: `make hf-check` makes one")
	}
	g := mustGolden(t)
	texts := g.Texts[g.Real-200 : g.Real+700]
	folders := map[string]string{}
	for name, tok := range ways(t) {
		folders[name] = saved(t, tok)
		if name[:7] == "trained" {
			folders[name+" from the vocabulary"] = without(t, folders[name])
		}
	}
	names := slices.Sorted(maps.Keys(folders))
	args := []string{"testdata/transformers_ids.py"}
	for _, name := range names {
		args = append(args, folders[name])
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), python, args...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(mustJSON(texts)), &stderr
	data, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var answers []struct {
		IDs     [][]int32 `json:"ids"`
		Wrapped [][]int32 `json:"wrapped"`
		Types   [][]int   `json:"types"`
		Special []*int32  `json:"special"`
		Size    int       `json:"size"`
	}
	if err := json.Unmarshal(data, &answers); err != nil {
		t.Fatal(err)
	}
	for n, name := range names {
		t.Run(name, func(t *testing.T) {
			tok, want := mustOpen(t, folders[name]), answers[n]
			s := tok.Special()
			for i, id := range []int32{s.CLS, s.SEP, s.Mask, s.Pad, s.Unknown} {
				if want.Special[i] == nil || *want.Special[i] != id {
					t.Errorf("special tokens %+v: the one of place %d is %v there", s, i, want.Special[i])
				}
			}
			if want.Size != tok.Size() {
				t.Errorf("%d tokens, there %d", tok.Size(), want.Size)
			}
			bad := 0
			for i, text := range texts {
				ids := tok.Append(nil, text)
				other := tok.Append([]int32{}, texts[(i+len(texts)-1)%len(texts)])
				if len(other) == 0 && texts[(i+len(texts)-1)%len(texts)] == "" {
					other = nil // transformers takes an empty second text for none
				}
				wrapped, types := tok.Wrap(nil, nil, ids, other, 40)
				same := slices.Equal(ids, want.IDs[i]) && slices.Equal(wrapped, want.Wrapped[i])
				for k, typ := range types {
					same = same && int(typ) == want.Types[i][k]
				}
				if !same {
					if bad++; bad < 4 {
						t.Errorf("%q: %v %v %v, there %v %v %v", text, ids, wrapped, types, want.IDs[i], want.Wrapped[i], want.Types[i])
					}
				}
			}
			if bad > 0 {
				t.Errorf("%d of %d texts are wrong", bad, len(texts))
			}
		})
	}
}
