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
