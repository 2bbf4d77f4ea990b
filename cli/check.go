package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"tapweight/train/engine"
)

func checkCommand() *cli.Command {
	flags := append([]cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON with max_relative_error"}}, configFlags()...)
	action := func(check func(*cli.Context, engine.Config) (engine.CheckResult, error)) cli.ActionFunc {
		return func(c *cli.Context) error {
			cfg, err := configFrom(c)
			if err != nil {
				return err
			}
			res, err := check(c, cfg)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				if err := json.NewEncoder(os.Stdout).Encode(res); err != nil {
					return err
				}
			} else {
				fmt.Printf("%-18s %22s %22s\n", "", "computed", "central differences")
				for _, r := range res.Rows {
					fmt.Printf("%-18s %22.12e %22.12e\n", r.Objective, r.Computed, r.Measured)
				}
				fmt.Printf("largest relative error %.1e (limit %.0e)\n", res.MaxRelativeError, res.Limit)
			}
			if !(res.MaxRelativeError <= res.Limit) {
				return fmt.Errorf("%s: relative error %g is over the limit %g", res.Check, res.MaxRelativeError, res.Limit)
			}
			return nil
		}
	}
	return &cli.Command{
		Name:        "check",
		Usage:       "prove the arithmetic in float64 on your own configuration at reduced size",
		Description: "Example: tapweight check hypergradient",
		Subcommands: []*cli.Command{
			{
				Name: "hypergradient", Usage: "the hypergradient against differences of the whole iteration", Flags: flags,
				Description: `Perturbs each logit, redoes the pretraining and the finetuning step with the same batches and masks, and differences the validation
loss. So that differences can follow, γ is at least 0.3 and Adam's eps at least 1e-3 there. Only the exact modes (exact, dot, jvp) with --jacobian optimizer can pass.

Example: tapweight check hypergradient --optimizer adamw --network gat`,
				Action: action(func(c *cli.Context, cfg engine.Config) (engine.CheckResult, error) {
					return engine.CheckHypergradient(c.Context, cfg, console(true))
				}),
			},
			{
				Name: "gradients", Usage: "every objective's gradient against differences of its loss", Flags: flags,
				Description: "Example: tapweight check gradients --objectives context,infomax",
				Action: action(func(c *cli.Context, cfg engine.Config) (engine.CheckResult, error) {
					return engine.CheckGradients(c.Context, cfg, console(true))
				}),
			},
		},
	}
}

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:        "bench",
		Usage:       "measure this machine",
		Description: "Example: tapweight bench iteration --preset paper",
		Subcommands: []*cli.Command{{
			Name: "export-batch", Usage: "write one iteration's batches and parameters for bench/peers",
			Description: "Example: tapweight bench export-batch --preset paper --out build/peers",
			Flags:       configFlags(),
			Action: func(c *cli.Context) error {
				cfg, err := configFrom(c)
				if err != nil {
					return err
				}
				if err := required(c, "out"); err != nil {
					return err
				}
				if err := os.MkdirAll(cfg.Out, 0o755); err != nil {
					return err
				}
				return engine.ExportBatch(c.Context, cfg, cfg.Out, console(true))
			},
		}, {
			Name: "iteration", Usage: "time whole iterations of the three levels",
			Description: `Runs iterations on one batch, alternating with plain weighted steps, and prints medians.

Example: tapweight bench iteration --preset paper --json`,
			Flags: append([]cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}, &cli.IntFlag{Name: "rounds", Value: 7, Usage: "timed iterations"}}, configFlags()...),
			Action: func(c *cli.Context) error {
				cfg, err := configFrom(c)
				if err != nil {
					return err
				}
				if c.Int("rounds") < 1 {
					return fmt.Errorf("rounds %d: at least one is needed", c.Int("rounds"))
				}
				t, err := engine.BenchIteration(c.Context, cfg, c.Int("rounds"), console(true))
				if err != nil {
					return err
				}
				if c.Bool("json") {
					return json.NewEncoder(os.Stdout).Encode(t)
				}
				fmt.Printf("%s, %s, %d threads, preset %s, hypergradient %s, %d rounds\n", t.Device, t.ISA, t.Threads, t.Preset, t.Hypergrad, t.Rounds)
				for _, name := range []string{"pretrain", "finetune", "validation", "hypergradient", "total", "plain"} {
					fmt.Printf("  %-14s %10.1f ms  ± %.1f\n", name, t.MS[name], t.Spread[name]/2)
				}
				fmt.Printf("  total / plain  %10.3f\n  activations %.0f MiB, process %.0f MiB\n", t.MS["total"]/t.MS["plain"], float64(t.ArenaBytes)/(1<<20), float64(t.PeakBytes)/(1<<20))
				return nil
			},
		}, {
			Name: "embed", Usage: "time the embedding of the pool's molecules",
			Description: `Featurised molecules in, a row each out, by an encoder with initial parameters. With --out DIR the molecules, parameters and rows
are written there for bench/peers.

Example: tapweight bench embed --preset paper --pool zinc.smi.gz --pool-limit 50000`,
			Flags: append([]cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}, &cli.IntFlag{Name: "rounds", Value: 3, Usage: "timed passes over the pool"}}, configFlags()...),
			Action: func(c *cli.Context) error {
				cfg, err := configFrom(c)
				if err != nil {
					return err
				}
				if c.Int("rounds") < 1 {
					return fmt.Errorf("rounds %d: at least one is needed", c.Int("rounds"))
				}
				t, err := engine.BenchEmbed(c.Context, cfg, c.Int("rounds"), console(true))
				if err != nil {
					return err
				}
				if c.Bool("json") {
					return json.NewEncoder(os.Stdout).Encode(t)
				}
				fmt.Printf("%s, %s, %d threads: %d molecules, %.0f a second, process %.0f MiB\n", t.Device, t.ISA, t.Threads, t.Molecules, t.Rate, float64(t.PeakBytes)/(1<<20))
				return nil
			},
		}, {
			Name: "ops", Usage: "time every kind of operation of an iteration",
			Description: `Runs iterations on one batch and prints, for each operation, its time per iteration and the arithmetic and traffic it reached.
"of floor" is the time that the machine's measured peak and copy rate would need at least, over the time taken; operations whose
data stay in a cache can exceed 100 %. Products are listed together and by shape.

Example: tapweight bench ops --preset paper --optimizer sgd`,
			Flags: append([]cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}, &cli.IntFlag{Name: "rounds", Value: 5, Usage: "timed iterations"}}, configFlags()...),
			Action: func(c *cli.Context) error {
				cfg, err := configFrom(c)
				if err != nil {
					return err
				}
				if c.Int("rounds") < 1 {
					return fmt.Errorf("rounds %d: at least one is needed", c.Int("rounds"))
				}
				t, err := engine.BenchOps(c.Context, cfg, c.Int("rounds"), console(true))
				if err != nil {
					return err
				}
				if c.Bool("json") {
					return json.NewEncoder(os.Stdout).Encode(t)
				}
				fmt.Printf("%s, %d threads: peak %.0f GFLOP/s, copy %.1f GB/s; %.1f ms of operations per iteration\n", t.Device, t.Threads, t.Peak, t.Copy, t.MS)
				fmt.Printf("  %-28s %8s %10s %7s %9s %8s %9s\n", "operation", "calls", "ms", "share", "GFLOP/s", "GB/s", "of floor")
				for _, o := range t.Ops {
					fmt.Printf("  %-28s %8.0f %10.2f %6.1f%% %9.1f %8.1f %8.0f%%\n", o.Op, o.Calls, o.MS, 100*o.MS/t.MS, o.GFlops, o.GBytes, 100*o.OfFloor)
				}
				return nil
			},
		}},
	}
}
