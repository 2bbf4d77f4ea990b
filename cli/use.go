package main

import (
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"os"
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
				fmt.Printf("%-6s %s %.4f\n", part, s.Metric, s.Value)
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

func inputFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "run", Usage: "run folder"},
		&cli.StringFlag{Name: "input", Usage: ".smi, .csv or .tsv file, plain or .gz"},
		&cli.StringFlag{Name: "smiles", Value: "smiles", Usage: "name of the SMILES column of a table"},
		&cli.StringFlag{Name: "out", Usage: "file to write"},
	}, deviceFlags()...)
}

// onInput writes what a finished run's model makes of the --input file to the --out file. Refused molecules are named on stderr.
func onInput(c *cli.Context, compute func(*engine.Model, engine.Examples) ([][]float64, error), write func(io.Writer, *engine.Model, *engine.Input, [][]float64) error) error {
	m, err := openModel(c, "input", "out")
	if err != nil {
		return err
	}
	defer m.Close()
	in, err := m.OpenInput(c.Context, c.String("input"), c.String("smiles"), console(true))
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
	return checkpoint.AtomicWrite(c.String("out"), func(w io.Writer) error { return write(w, m, in, rows) })
}

func predictCommand() *cli.Command {
	return &cli.Command{
		Name:  "predict",
		Usage: "predict molecules with a finished run's model",
		Description: `Writes a CSV with a row per input row: line, SMILES, one column per task (values in the task's units, or probabilities). Molecules
that RDKit refuses have empty predictions and are named on stderr.

Example: tapweight predict --run runs/first --input new.smi --out predictions.csv`,
		Flags: inputFlags(),
		Action: func(c *cli.Context) error {
			return onInput(c, (*engine.Model).Predict, func(w io.Writer, m *engine.Model, in *engine.Input, predicted [][]float64) error {
				return writeTable(w, append([]string{"line", "smiles"}, m.Tasks...), in, predicted)
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
		record[0], record[1] = strconv.Itoa(r.Line), r.SMILES
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
		Usage: "write the encoder's vector of each molecule",
		Description: `Writes float32 .npy (molecules that RDKit refuses are rows of NaN) or, for another ending, CSV.

Example: tapweight embed --run runs/first --input pool.smi.gz --out vectors.npy`,
		Flags: inputFlags(),
		Action: func(c *cli.Context) error {
			return onInput(c, (*engine.Model).Embed, func(w io.Writer, m *engine.Model, in *engine.Input, vectors [][]float64) error {
				width := m.Config.Width
				if strings.HasSuffix(c.String("out"), ".npy") {
					return writeNPY(w, in, vectors, width)
				}
				header := []string{"line", "smiles"}
				for j := range width {
					header = append(header, fmt.Sprintf("v%d", j))
				}
				return writeTable(w, header, in, vectors)
			})
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
