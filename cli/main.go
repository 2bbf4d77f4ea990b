// Command tapweight learns how much each pretraining objective should count for one downstream task.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"tapweight/train/engine"
)

// version is set by the Makefile.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	app := &cli.App{
		Name:                 "tapweight",
		Usage:                "learn how much each pretraining objective should count for one downstream task",
		Version:              version,
		EnableBashCompletion: true,
		Suggest:              true,
		Description: `TapWeight (arXiv 2410.10006): pretrain with weighted objectives, finetune with a proximal term, move the weights by the
exact gradient of the validation loss through both.

First steps:
   tapweight run --out runs/first              # the embedded demo: ESOL, 5000 ZINC molecules
   tapweight run --dataset my.csv --smiles smiles --labels y --pool pool.smi
   tapweight check hypergradient               # the float64 proof`,
		Commands: []*cli.Command{runCommand(), resumeCommand(), evaluateCommand(), predictCommand(), embedCommand(), dataCommand(),
			planCommand(), doctorCommand(), checkCommand(), benchCommand()},
		ExitErrHandler: func(*cli.Context, error) {}, // main prints it once
	}
	if err := app.RunContext(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "tapweight:", err)
		if errors.Is(err, engine.ErrInterrupted) {
			os.Exit(130)
		}
		os.Exit(1)
	}
}
