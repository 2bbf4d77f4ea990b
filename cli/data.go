package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"tapweight/model/checkpoint"
	"tapweight/model/objective"
	"tapweight/model/pretext"
	"tapweight/train/data"
	"tapweight/train/engine"
)

func dataCommand() *cli.Command {
	return &cli.Command{
		Name:        "data",
		Usage:       "list, inspect, split and prepare datasets",
		Description: "Example: tapweight data list",
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list the known datasets and objectives", Description: "Example: tapweight data list",
				Action: func(*cli.Context) error {
					fmt.Println("datasets")
					for _, p := range data.Presets() {
						fmt.Printf("  %-10s %-15s %-17s %s\n", p.Name, p.Kind, p.Metric, p.About)
					}
					fmt.Println("\nobjectives for molecules")
					for _, n := range objective.Names() {
						fmt.Printf("  %-16s %s\n", n, objective.About(n))
					}
					fmt.Println("\nobjectives for texts")
					for _, n := range pretext.Names() {
						fmt.Printf("  %-16s %s\n", n, pretext.About(n))
					}
					return nil
				},
			},
			{
				Name: "inspect", Usage: "describe a dataset: examples, sizes, labels, refused rows", Flags: configFlags(),
				Description: "Example: tapweight data inspect --dataset tox21 --data data/molecules",
				Action: func(c *cli.Context) error {
					cfg, task, err := openTask(c)
					if err != nil {
						return err
					}
					fmt.Printf("%s: %s, %s, metric %s\n", task.Name, task.Set, task.Kind, task.Metric)
					fmt.Printf("%s split %s: %d train, %d valid, %d test\n", cfg.Split, task.Split.Hash, len(task.Split.Train), len(task.Split.Valid), len(task.Split.Test))
					if err := task.CheckParts(console(cfg.Quiet)); err != nil {
						fmt.Println("warning:", err)
					}
					for j, name := range task.Tasks {
						n, sum := 0, 0.0
						for _, row := range task.Labels {
							if row[j] == row[j] { // not missing
								n++
								sum += row[j]
							}
						}
						if task.Classes == nil {
							fmt.Printf("  %-40s %6d labels, mean %.4f\n", name, n, sum/float64(max(n, 1)))
						}
					}
					for k, class := range task.Classes {
						n := 0
						for _, row := range task.Labels {
							if row[0] == float64(k) {
								n++
							}
						}
						fmt.Printf("  %-40s %6d of class %s\n", task.Tasks[0], n, class)
					}
					return nil
				},
			},
			{
				Name: "split", Usage: "write a dataset's split as CSV: line, SMILES or text, part", Description: "The --out file holds the split.\nExample: tapweight data split --dataset demo --out split.csv",
				Flags: configFlags(),
				Action: func(c *cli.Context) error {
					cfg, task, err := openTask(c)
					if err != nil {
						return err
					}
					if err := required(c, "out"); err != nil {
						return err
					}
					part := make([]string, task.Set.Len())
					for name, index := range map[string][]int{"train": task.Split.Train, "valid": task.Split.Valid, "test": task.Split.Test} {
						for _, i := range index {
							part[i] = name
						}
					}
					return checkpoint.AtomicWrite(cfg.Out, func(w io.Writer) error {
						out := csv.NewWriter(w)
						records := [][]string{{"line", "example", "part"}}
						for i, p := range part {
							_, line := task.Place(task.Set.Line(i))
							records = append(records, []string{strconv.Itoa(line), task.Set.Name(i), p})
						}
						return out.WriteAll(records)
					})
				},
			},
			{
				Name: "prepare", Usage: "featurise a dataset and its pool, and compute what the objectives need, ahead of a run", Flags: configFlags(),
				Description: "Example: tapweight data prepare --dataset demo --objectives cluster-1000,motif",
				Action: func(c *cli.Context) error {
					cfg, task, err := openTask(c)
					if err != nil {
						return err
					}
					pool, err := task.OpenPool(c.Context, console(cfg.Quiet))
					if err != nil {
						return err
					}
					if err := task.PrepareObjectives(pool, cfg.Objectives); err != nil {
						return err
					}
					names := append([]string(nil), cfg.Objectives...)
					sort.Strings(names)
					dir, _ := cfg.CacheDir()
					fmt.Printf("task (%s), pool (%s) and %s are in %s\n", task.Set, pool, strings.Join(names, ", "), dir)
					return nil
				},
			},
		},
	}
}

// openTask opens the task that the flags describe.
func openTask(c *cli.Context) (engine.Config, *engine.Task, error) {
	cfg, err := configFrom(c)
	if err != nil {
		return cfg, nil, err
	}
	if err := cfg.Resolve(); err != nil {
		return cfg, nil, err
	}
	task, err := cfg.OpenTask(c.Context, console(cfg.Quiet))
	return cfg, task, err
}
