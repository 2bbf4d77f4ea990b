package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"tapweight/gpu/cpu"
	"tapweight/train/engine"
)

func planCommand() *cli.Command {
	return &cli.Command{
		Name:  "plan",
		Usage: "parameters, memory, flops and time of a run, before anything is trained",
		Description: `Takes the flags of run. One iteration is laid out on a device that computes nothing; the time is that of the flops at 65 % of the
peak measured on this machine.

Example: tapweight plan --preset paper --pretrain-batch 1024`,
		Flags: append([]cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}}, configFlags()...),
		Action: func(c *cli.Context) error {
			cfg, err := configFrom(c)
			if err != nil {
				return err
			}
			peak, memory := 0.0, int64(0)
			if b, err := cpu.Open(cfg.Threads); err == nil {
				peak, memory = b.Peak(), b.Info().Memory
				b.Close()
			}
			p, err := engine.MakePlan(c.Context, cfg, peak, memory, console(true))
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return json.NewEncoder(os.Stdout).Encode(p)
			}
			const mib = 1 << 20
			fmt.Printf("parameters   encoder %d, pretraining %d, finetuning %d\n", p.EncoderParameters, p.PretrainParameters, p.FinetuneParameters)
			fmt.Printf("memory       vectors %.0f MiB, activations %.0f MiB, copies of the state and of the best parameters %.0f MiB\n", float64(p.VectorBytes)/mib,
				float64(p.ArenaBytes)/mib, float64(p.KeptBytes)/mib)
			fmt.Printf("rows         %v by depth, of %d atoms or tokens in a pretraining batch\n\none iteration\n", p.Rows, p.Atoms)
			for _, name := range engine.LevelNames {
				l := p.Levels[name]
				fmt.Printf("  %-14s %9.2f GFLOP %9.2f GB\n", name, float64(l.Flops)/1e9, float64(l.Bytes)/1e9)
			}
			if p.Seconds > 0 {
				fmt.Printf("\ntime         about %.2f s an iteration, %.1f min for %d, at a peak of %.0f GFLOP/s\n", p.Seconds, p.Seconds*float64(p.Iterations)/60, p.Iterations, peak)
			}
			return nil
		},
	}
}
