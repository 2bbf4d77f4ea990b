package main

import (
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"tapweight/model/checkpoint"
	"tapweight/train/engine"
)

func deviceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "device", Value: "auto", Usage: engine.DeviceUsage},
		&cli.IntFlag{Name: "threads", Usage: "threads of the CPU backend (0 = all cores)"},
	}
}

func openModel(c *cli.Context, needs ...string) (*engine.Model, error) {
	if err := required(c, append([]string{"run"}, needs...)...); err != nil {
		return nil, err
	}
	return engine.OpenModel(c.String("run"), c.String("device"), c.Int("threads"))
}

func evaluateCommand() *cli.Command {
	return &cli.Command{
		Name:        "evaluate",
		Usage:       "score a finished run's model on the parts of its task",
		Description: `Example: tapweight evaluate --run runs/first`,
		Flags:       append([]cli.Flag{&cli.StringFlag{Name: "run", Usage: "run folder"}}, deviceFlags()...),
		Action: func(c *cli.Context) error {
			m, err := openModel(c)
			if err != nil {
				return err
			}
			defer m.Close()
			scores, err := m.Evaluate(c.Context, console(true))
			if err != nil {
				return err
			}
			for _, part := range []string{"train", "valid", "test"} {
				s := scores[part]
				fmt.Printf("%-6s %s %.4f", part, s.Metric, s.Value)
				for _, name := range slices.Sorted(maps.Keys(s.Also)) {
					fmt.Printf("  %s %.4f", name, s.Also[name])
				}
				fmt.Println()
				for j, name := range m.Tasks {
					if len(m.Tasks) > 1 && !math.IsNaN(s.Tasks[j]) {
						fmt.Printf("         %-20s %.4f\n", name, s.Tasks[j])
					}
				}
			}
			return nil
		},
	}
}

func inputFlags(more ...cli.Flag) []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "run", Usage: "run folder"},
		&cli.StringFlag{Name: "input", Usage: ".smi, .txt, .csv, .tsv or .jsonl file, plain or .gz"},
		&cli.StringFlag{Name: "smiles", Value: "smiles", Usage: "name of the SMILES column of a table of molecules"},
		&cli.StringFlag{Name: "text", Usage: "name of the text column of a table, or of the two of a pair, A,B (default: those of the run)"},
		&cli.StringFlag{Name: "out", Usage: "file to write"},
	}
	return append(append(flags, more...), deviceFlags()...)
}

// onInput writes what a model makes of the --input file to the --out file. Refused molecules are named on stderr.
func onInput(c *cli.Context, m *engine.Model, compute func(*engine.Model, engine.Examples) ([][]float64, error), write func(io.Writer, *engine.Input, [][]float64) error) error {
	column := c.String("smiles")
	if m.Texts() {
		column = c.String("text")
	}
	in, err := m.OpenInput(c.Context, c.String("input"), column, console(true))
	if err != nil {
		return err
	}
	for _, b := range in.Invalid {
		fmt.Fprintln(os.Stderr, b)
	}
	rows, err := compute(m, in.Set)
	if err != nil {
		return err
	}
	return checkpoint.AtomicWrite(c.String("out"), func(w io.Writer) error { return write(w, in, rows) })
}

// exampleColumn is the header of what a row is about.
func exampleColumn(m *engine.Model) string {
	if m.Texts() {
		return "text"
	}
	return "smiles"
}

func predictCommand() *cli.Command {
	return &cli.Command{
		Name:  "predict",
		Usage: "predict molecules or texts with a finished run's model",
		Description: `Writes a CSV with a row per input row: line, SMILES or text, one column per task (values in the task's units, or probabilities) or
per class (probabilities). Molecules that RDKit refuses have empty predictions and are named on stderr.

Example: tapweight predict --run runs/first --input new.smi --out predictions.csv`,
		Flags: inputFlags(),
		Action: func(c *cli.Context) error {
			m, err := openModel(c, "input", "out")
			if err != nil {
				return err
			}
			defer m.Close()
			return onInput(c, m, (*engine.Model).Predict, func(w io.Writer, in *engine.Input, predicted [][]float64) error {
				return writeTable(w, append([]string{"line", exampleColumn(m)}, m.Outputs()...), in, predicted)
			})
		},
	}
}

// writeTable writes a row of numbers per row of the input, blanks for refused molecules.
func writeTable(w io.Writer, header []string, in *engine.Input, values [][]float64) error {
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return err
	}
	at := 0
	for _, r := range in.Rows {
		record := make([]string, len(header))
		record[0], record[1] = strconv.Itoa(r.Line), r.Name
		if at < in.Set.Len() && in.Set.Line(at) == r.Line {
			for j, v := range values[at] {
				record[2+j] = strconv.FormatFloat(v, 'g', 7, 64)
			}
			at++
		}
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func embedCommand() *cli.Command {
	return &cli.Command{
		Name:  "embed",
		Usage: "write the encoder's vector of each molecule or text",
		Description: `Writes float32 .npy (molecules that RDKit refuses are rows of NaN) or, for another ending, CSV. The encoder is a finished run's, or that
of a Hugging Face folder; a text's vector is the mean over its tokens, as sentence-transformers pools.

Example: tapweight embed --run runs/first --input pool.smi.gz --out vectors.npy
Example: tapweight embed --model all-MiniLM-L6-v2 --input sentences.txt --out vectors.npy`,
		Flags: inputFlags(&cli.StringFlag{Name: "model", Usage: "Hugging Face folder of an encoder, instead of --run"},
			&cli.IntFlag{Name: "max-tokens", Value: 256, Usage: "tokens of a text at most, with --model"}),
		Action: func(c *cli.Context) error {
			var m *engine.Model
			var err error
			if c.String("model") != "" && c.String("run") == "" {
				if err = required(c, "input", "out"); err == nil {
					m, err = engine.OpenEncoder(c.String("model"), c.Int("max-tokens"), c.String("device"), c.Int("threads"))
				}
			} else {
				m, err = openModel(c, "input", "out")
			}
			if err != nil {
				return err
			}
			defer m.Close()
			return onInput(c, m, (*engine.Model).Embed, func(w io.Writer, in *engine.Input, vectors [][]float64) error {
				width := 0
				if len(vectors) > 0 {
					width = len(vectors[0])
				}
				if strings.HasSuffix(c.String("out"), ".npy") {
					return writeNPY(w, in, vectors, width)
				}
				header := []string{"line", exampleColumn(m)}
				for j := range width {
					header = append(header, fmt.Sprintf("v%d", j))
				}
				return writeTable(w, header, in, vectors)
			})
		},
	}
}

func exportModelCommand() *cli.Command {
	return &cli.Command{
		Name:  "export",
		Usage: "write a finished run's text model as a Hugging Face folder",
		Description: `The folder opens in transformers (AutoModelForSequenceClassification, AutoTokenizer) and, with --pretrained, holds the pretrained
encoder alone, which opens in sentence-transformers too. A graph network needs no export: model.safetensors and encoder.safetensors
of its run folder hold its tensors by name.

Example: tapweight export --run runs/cola --to hf cola-model`,
		ArgsUsage: "DIR",
		Flags: []cli.Flag{&cli.StringFlag{Name: "run", Usage: "run folder"}, &cli.StringFlag{Name: "to", Value: "hf", Usage: "format: hf"},
			&cli.BoolFlag{Name: "pretrained", Usage: "the pretrained encoder instead of the finetuned model"}},
		Action: func(c *cli.Context) error {
			dir, err := oneArgument(c, "DIR")
			if err != nil {
				return err
			}
			if err := required(c, "run"); err != nil {
				return err
			}
			if c.String("to") != "hf" {
				return fmt.Errorf("export: --to %q is not a format that is known; there is hf", c.String("to"))
			}
			return engine.ExportModel(c.String("run"), dir, c.Bool("pretrained"))
		},
	}
}

// writeNPY writes NumPy's format 1.0.
func writeNPY(w io.Writer, in *engine.Input, vectors [][]float64, width int) error {
	head := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", len(in.Rows), width)
	for (10+len(head)+1)%64 != 0 {
		head += " "
	}
	b := append([]byte("\x93NUMPY\x01\x00"), 0, 0)
	binary.LittleEndian.PutUint16(b[8:], uint16(len(head)+1))
	if _, err := w.Write(append(b, head+"\n"...)); err != nil {
		return err
	}
	at := 0
	row := make([]byte, 4*width)
	for _, r := range in.Rows {
		present := at < in.Set.Len() && in.Set.Line(at) == r.Line
		for j := range width {
			v := float32(math.NaN())
			if present {
				v = float32(vectors[at][j])
			}
			binary.LittleEndian.PutUint32(row[4*j:], math.Float32bits(v))
		}
		if present {
			at++
		}
		if _, err := w.Write(row); err != nil {
			return err
		}
	}
	return nil
}
