package level_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapweight/gpu"
	"tapweight/model/downstream"
	"tapweight/model/pretext"
	"tapweight/model/text"
	"tapweight/model/transformer"
	"tapweight/train/level"
)

// Two documents of short sentences, and one sentence on its own.
var documents = [][]string{
	{"the old ship left the harbour", "a storm rose in the night", "the crew held the ship", "they came home in the morning"},
	{"rain fell on the hills", "the river rose", "it carried trees and stones to the sea", "after a week it was low again", "the hills were green"},
	{"nobody knew why the bells rang at noon"},
	{"the ship was low on the sea", "the crew knew why"},
}

// vocabulary opens a tokenizer that knows the words above, some in two parts.
func vocabulary(t testing.TB) *text.Tokenizer {
	t.Helper()
	tokens := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "har", "##bour", "mor", "##ning", "car", "##ried"}
	seen := map[string]bool{"harbour": true, "morning": true, "carried": true}
	for _, d := range documents {
		for _, w := range strings.Fields(strings.Join(d, " ")) {
			if !seen[w] {
				seen[w] = true
				tokens = append(tokens, w)
			}
		}
	}
	return tokenizer(t, tokens)
}

// tokenizer opens a tokenizer with the given vocabulary.
func tokenizer(t testing.TB, tokens []string) *text.Tokenizer {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "vocab.txt"), []byte(strings.Join(tokens, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tok, err := text.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// textProblems builds levels I and II over the documents with a network of 2 layers.
func textProblems(t testing.TB, c setup) (problem, *downstream.Problem) {
	t.Helper()
	tok := vocabulary(t)
	pool := pretext.NewPool(7)
	var texts [][2]string
	for d, sentences := range documents {
		for i, s := range sentences {
			pool.Add(int32(d), tok.Append(nil, s))
			texts = append(texts, [2]string{s, sentences[(i+1)%len(sentences)]})
		}
	}
	cfg, err := transformer.ConfigOf("tiny", tok.Size(), 0, c.family == "roberta")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Family, cfg.Types = c.family, 2
	if c.family == "distilbert" {
		cfg.Types = 0
	}
	cfg.Width, cfg.Heads, cfg.Inner, cfg.Positions = 6, 2, 10, 40
	cfg.Dropout, cfg.DropAttend, cfg.DropHead = c.dropout, c.dropout, c.dropout
	pre, err := pretext.NewProblem(pool, cfg, nil, tok, c.objectives, c.options)
	if err != nil {
		t.Fatal(err)
	}
	y := labels(len(texts))
	fin, err := downstream.NewProblem(downstream.NewTransformer(downstream.NewTexts(tok, texts, true, 24, nil), cfg, nil), downstream.Labels{Values: y, Outputs: 2})
	if err != nil {
		t.Fatal(err)
	}
	return pre, fin
}

func standardText() setup {
	c := standard()
	c.family, c.objectives, c.dropout = "bert", []string{"mlm", "simcse", "sop"}, 0.1
	c.options = pretext.Options{MaxTokens: 24}
	return c
}

// TestTextHypergradientIsExact is the proof of TestHypergradientIsExact for transformers.
func TestTextHypergradientIsExact(t *testing.T) {
	for _, r := range rules {
		for _, mode := range []level.Mode{level.Dot, level.JVP} {
			c := standardText()
			c.rule, c.momentum, c.clip, c.mode = r.rule, r.momentum, r.clip, mode
			exact(t, mode.String()+"/"+r.name, c)
		}
	}
	for name, edit := range map[string]func(*setup){
		"roberta": func(c *setup) { c.family = "roberta" }, "distilbert": func(c *setup) { c.family = "distilbert" },
		"no dropout": func(c *setup) { c.dropout = 0 }, "whole words": func(c *setup) { c.options.WholeWords = true },
		"halves": func(c *setup) { c.options.SwapHalves = true }, "cut short": func(c *setup) { c.options.MaxTokens = 8 },
		"accumulate": func(c *setup) { c.micro = 2 }, "proximal validation": func(c *setup) { c.validProx = true },
	} {
		for _, mode := range []level.Mode{level.Dot, level.JVP} {
			c := standardText()
			c.rule, c.mode = gpu.AdamW, mode
			edit(&c)
			exact(t, mode.String()+"/"+name, c)
		}
	}
}

// TestTextAccumulationIsExact: a batch in parts has the losses and gradients of the batch in one piece, over all its predicted
// tokens. SimCSE is left out, since a part has fewer negatives; dropout is, since it tells rows apart by their number.
func TestTextAccumulationIsExact(t *testing.T) {
	c := standardText()
	c.objectives, c.dropout = []string{"mlm", "sop"}, 0
	c.mode = level.JVP // which leaves whole gradients behind
	accumulationIsExact(t, c)
}
