package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/urfave/cli/v2"

	"tapweight/train/engine"
	"tapweight/train/runlog"
)

func console(quiet bool) *runlog.Console { return runlog.NewConsole(os.Stdout, nil, quiet) }

func runCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "learn the weights, then finetune from what was learned",
		Description: `Everything has a default: without flags this is the demo. The effective configuration is written into the run folder and can
be run again with --config.

Example: tapweight run --dataset tox21 --data data/molecules --pool pool.smi.gz --pool-limit 50000 \
            --weights learned,uniform,none --seeds 3 --out runs/tox21`,
		Flags: configFlags(),
		Action: func(c *cli.Context) error {
			cfg, err := configFrom(c)
			if err != nil {
				return err
			}
			return execute(c, cfg)
		},
	}
}

// execute runs a configuration and prints its result.
func execute(c *cli.Context, cfg engine.Config) error {
	s, err := engine.Run(c.Context, cfg, console(cfg.Quiet))
	if err != nil {
		return err
	}
	if !cfg.Quiet {
		report(s, cfg.Out)
	}
	return nil
}

func resumeCommand() *cli.Command {
	return &cli.Command{
		Name:        "resume",
		Usage:       "go on with a run that was interrupted; every later number is the one it would have had",
		ArgsUsage:   "DIR",
		Description: `Example: tapweight resume runs/tox21`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "quiet", Usage: "print errors only"},
			&cli.IntFlag{Name: "threads", Usage: "threads of the CPU backend (0 = all cores)"},
			&cli.StringFlag{Name: "device", Usage: "another device than before: " + engine.DeviceUsage},
		},
		Action: func(c *cli.Context) error {
			dir, err := oneArgument(c, "DIR")
			if err != nil {
				return err
			}
			cfg, err := engine.ReadConfig(filepath.Join(dir, "config.yaml"))
			if err != nil {
				return fmt.Errorf("%s is not a run folder: %w", dir, err)
			}
			cfg.Out, cfg.Quiet = dir, c.Bool("quiet")
			if c.IsSet("threads") {
				cfg.Threads = c.Int("threads")
			}
			if c.IsSet("device") {
				cfg.Device = c.String("device")
			}
			return execute(c, cfg)
		},
	}
}

// oneArgument returns the command's only argument.
func oneArgument(c *cli.Context, name string) (string, error) {
	if c.NArg() != 1 {
		return "", fmt.Errorf("%s takes one argument, %s; see '%s --help' (flags come before it)", c.Command.Name, name, c.Command.HelpName)
	}
	return c.Args().First(), nil
}

// report prints the result of a run.
func report(s *engine.Summary, dir string) {
	fmt.Printf("\n%s, split %s, %d iterations, %.0f s\n", s.Dataset, s.SplitHash, s.Iterations, s.Time)
	if s.Weights == "learned" {
		var names []string
		for n := range s.Lambda {
			names = append(names, n)
		}
		sort.Slice(names, func(i, j int) bool { return s.Lambda[names[i]] > s.Lambda[names[j]] })
		fmt.Println("\nlearned weights")
		for _, n := range names {
			fmt.Printf("  %-18s %.3f\n", n, s.Lambda[n])
		}
	}
	fmt.Printf("\n%-24s %18s %18s\n", "weights", "valid "+s.Valid.Metric, "test "+s.Test.Metric)
	for _, c := range s.Compared {
		value := func(mean, std float64) string {
			if c.Test.N == 1 {
				return fmt.Sprintf("%.4f", mean)
			}
			return fmt.Sprintf("%.4f ± %.4f", mean, std)
		}
		line := fmt.Sprintf("%-24s %18s %18s", c.Weights, value(c.Valid.Mean, c.Valid.Std), value(c.Test.Mean, c.Test.Std))
		if c.Against != nil && c.Against.N > 1 {
			line += fmt.Sprintf("   (paired difference %+.4f ± %.4f)", c.Against.Mean, c.Against.Std)
		}
		fmt.Println(line)
	}
	fmt.Printf("\nrun folder  %s\n", dir)
	if s.Weights == "learned" {
		fmt.Printf("λ picture   %s\n", filepath.Join(dir, "lambda.png"))
	}
}
