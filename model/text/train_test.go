package text

import (
	"encoding/json"
	"slices"
	"testing"
)

// TestTrainBPELikeTokenizers makes the vocabulary of testdata/bpe.json.gz again, which `tokenizers` made of the same texts.
func TestTrainBPELikeTokenizers(t *testing.T) {
	g := mustGolden(t)
	tok, err := TrainBPE(slices.Values(g.Texts[:g.Real]), Training{Size: 3000, MinFrequency: 2})
	if err != nil {
		t.Fatal(err)
	}
	want := base(t, "bpe", nil)
	if !slices.Equal(tok.tokens, want.tokens) {
		for i := range tok.tokens {
			if tok.tokens[i] != want.tokens[i] {
				t.Fatalf("token %d is %q, want %q", i, tok.tokens[i], want.tokens[i])
			}
		}
	}
	var a, b modelFile
	for _, x := range []struct {
		raw  json.RawMessage
		into *modelFile
	}{{tok.file.Model, &a}, {want.file.Model, &b}} {
		if err := decodeModel(x.raw, x.into); err != nil {
			t.Fatal(err)
		}
	}
	got, err := mergePairs(a.Merges)
	if err != nil {
		t.Fatal(err)
	}
	merges, err := mergePairs(b.Merges)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, merges) {
		t.Errorf("%d merges are not the %d of tokenizers", len(got), len(merges))
	}
}
