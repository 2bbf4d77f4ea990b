package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tapweight/model/text"
	"tapweight/train/data"
)

func textCommand() *cli.Command {
	return &cli.Command{
		Name: "text", Usage: "make tokenizers", Description: "Example: tapweight text tokenizer train --input corpus.txt --out my-tokenizer",
		Subcommands: []*cli.Command{{
			Name: "tokenizer", Usage: "make a tokenizer", Description: "Example: tapweight text tokenizer train --input corpus.txt --out my-tokenizer",
			Subcommands: []*cli.Command{{
				Name: "train", Usage: "make a vocabulary from texts",
				Description: `Writes a folder that AutoTokenizer of transformers opens and that --tokenizer takes. The same texts give the same vocabulary.

Example: tapweight text tokenizer train --input corpus.txt --kind bpe --vocabulary 8192 --out my-tokenizer`,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "input", Usage: "text file, one sentence or paragraph a line, or a table with --text; plain or .gz"},
					&cli.StringFlag{Name: "text", Usage: "name of the text column of a table, or two, A,B"},
					&cli.StringFlag{Name: "kind", Value: "wordpiece", Usage: "wordpiece (BERT) or bpe (byte-level, RoBERTa)"},
					&cli.IntFlag{Name: "vocabulary", Value: 8192, Usage: "tokens of the vocabulary"},
					&cli.IntFlag{Name: "min-frequency", Value: 2, Usage: "how often a pair must occur to be joined"},
					&cli.BoolFlag{Name: "cased", Usage: "wordpiece keeps capitals and accents"},
					&cli.StringFlag{Name: "out", Usage: "folder to write"},
					&cli.BoolFlag{Name: "quiet", Usage: "print errors only"},
				},
				Action: trainTokenizer,
			}},
		}},
	}
}

func trainTokenizer(c *cli.Context) error {
	if err := required(c, "input", "out"); err != nil {
		return err
	}
	train := text.TrainWordPiece
	switch c.String("kind") {
	case "wordpiece":
	case "bpe":
		train = text.TrainBPE
	default:
		return fmt.Errorf("kind %q is not one of wordpiece, bpe", c.String("kind"))
	}
	var columns []string
	if c.String("text") != "" {
		columns = strings.Split(c.String("text"), ",")
	}
	corpus, err := data.ReadCorpus(c.String("input"), columns, 0)
	if err != nil {
		return err
	}
	p := console(c.Bool("quiet")).Progress("making a vocabulary", c.Int("vocabulary"))
	t, err := train(slices.Values(corpus.Segments), text.Training{Size: c.Int("vocabulary"), MinFrequency: c.Int("min-frequency"), Cased: c.Bool("cased"),
		Progress: func(tokens, _ int) { p.Set(tokens, "") }})
	p.Done()
	if err != nil {
		return err
	}
	if err := t.Save(c.String("out")); err != nil {
		return err
	}
	if !c.Bool("quiet") {
		fmt.Printf("%d tokens from %d segments are in %s\n", t.Size(), corpus.Len(), c.String("out"))
	}
	return nil
}
