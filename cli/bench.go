package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"tapweight/train/engine"
	"tapweight/train/runlog"
)

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:        "bench",
		Usage:       "measure this machine",
		Description: "Example: tapweight bench iteration --preset paper",
		Subcommands: []*cli.Command{
			exportCommand(),
			timed("iteration", "time whole iterations of the three levels", `Runs iterations on one batch, alternating with plain weighted steps, and prints medians.

Example: tapweight bench iteration --preset paper --json`, 7, engine.BenchIteration, printTiming),
			timed("embed", "time the embedding of the pool's molecules or texts", `Featurised molecules or tokens in, a row each out, by an encoder with initial parameters. With --out DIR the molecules, parameters and rows
are written there for bench/peers.

Example: tapweight bench embed --preset paper --pool zinc.smi.gz --pool-limit 50000`, 3, engine.BenchEmbed, printEmbedding),
			timed("ops", "time every kind of operation of an iteration", `Runs iterations on one batch and prints, for each operation, its time per iteration and the arithmetic and traffic it reached.
"of floor" is the time that the machine's measured peak and copy rate would need at least, over the time taken; operations whose
data stay in a cache can exceed 100 %. Products are listed together and by shape.

Example: tapweight bench ops --preset paper --optimizer sgd`, 5, engine.BenchOps, printOps),
		},
	}
}

func exportCommand() *cli.Command {
	return &cli.Command{
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
	}
}

// timed is a benchmark that repeats itself and prints its result, as JSON where asked.
func timed[T any](name, usage, description string, rounds int, measure func(context.Context, engine.Config, int, *runlog.Console) (T, error), show func(T)) *cli.Command {
	return &cli.Command{
		Name: name, Usage: usage, Description: description,
		Flags: append([]cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}, &cli.IntFlag{Name: "rounds", Value: rounds, Usage: "timed rounds"}}, configFlags()...),
		Action: func(c *cli.Context) error {
			cfg, err := configFrom(c)
			if err != nil {
				return err
			}
			if c.Int("rounds") < 1 {
				return fmt.Errorf("rounds %d: at least one is needed", c.Int("rounds"))
			}
			t, err := measure(c.Context, cfg, c.Int("rounds"), console(true))
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return json.NewEncoder(os.Stdout).Encode(t)
			}
			show(t)
			return nil
		},
	}
}

func printTiming(t *engine.Timing) {
	fmt.Printf("%s, %s, %d threads, preset %s, hypergradient %s, %d rounds\n", t.Device, t.ISA, t.Threads, t.Preset, t.Hypergrad, t.Rounds)
	for _, name := range []string{"pretrain", "finetune", "validation", "hypergradient", "total", "plain"} {
		fmt.Printf("  %-14s %10.1f ms  ± %.1f\n", name, t.MS[name], t.Spread[name]/2)
	}
	fmt.Printf("  total / plain  %10.3f\n  activations %.0f MiB, process %.0f MiB\n", t.MS["total"]/t.MS["plain"], float64(t.ArenaBytes)/(1<<20), float64(t.PeakBytes)/(1<<20))
}

func printEmbedding(t *engine.EmbedTiming) {
	fmt.Printf("%s, %s, %d threads: %s, %.0f a second, process %.0f MiB\n", t.Device, t.ISA, t.Threads, t.Set, t.Rate, float64(t.PeakBytes)/(1<<20))
}

func printOps(t *engine.OpShares) {
	fmt.Printf("%s, %d threads: peak %.0f GFLOP/s, copy %.1f GB/s; %.1f ms of operations per iteration\n", t.Device, t.Threads, t.Peak, t.Copy, t.MS)
	fmt.Printf("  %-28s %8s %10s %7s %9s %8s %9s\n", "operation", "calls", "ms", "share", "GFLOP/s", "GB/s", "of floor")
	for _, o := range t.Ops {
		fmt.Printf("  %-28s %8.0f %10.2f %6.1f%% %9.1f %8.1f %8.0f%%\n", o.Op, o.Calls, o.MS, 100*o.MS/t.MS, o.GFlops, o.GBytes, 100*o.OfFloor)
	}
}
