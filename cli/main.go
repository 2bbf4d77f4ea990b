// Command tapweight learns how much each pretraining objective should count for one downstream task.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"tapweight/train/data"
	"tapweight/train/engine"
)

// version is set by the Makefile.
var version = "dev"

func main() {
	yieldEarly()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() { // the first Ctrl-C asks, the second ends: writes are atomic, so that nothing is lost
		<-ctx.Done()
		stop()
	}()
	if err := newApp().RunContext(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "tapweight:", err)
		if errors.Is(err, engine.ErrInterrupted) {
			os.Exit(130)
		}
		os.Exit(1)
	}
}

// yieldEarly starts the command over, once, with idle OpenMP threads that spin for microseconds before they sleep. Left alone they
// spin for milliseconds, and on a machine with other work each small operation then waits for a thread that spins elsewhere:
// small networks become ten times slower. libgomp reads the variable as it is loaded, before main.
func yieldEarly() {
	const spin = "GOMP_SPINCOUNT"
	if os.Getenv(spin) != "" || os.Getenv("OMP_WAIT_POLICY") != "" {
		return
	}
	if self, err := os.Executable(); err == nil {
		_ = syscall.Exec(self, os.Args, append(os.Environ(), spin+"=1000")) // returns only if it failed: then go on as it is
	}
}

// newApp returns the command line.
func newApp() *cli.App {
	app := &cli.App{
		Name:                 "tapweight",
		Usage:                "learn how much each pretraining objective should count for one downstream task",
		Version:              version,
		EnableBashCompletion: true,
		Description: `TapWeight (arXiv 2410.10006): pretrain with weighted objectives, finetune with a proximal term, move the weights by the
exact gradient of the validation loss through both.

First steps:
   tapweight run --out runs/first              # the embedded demo: ESOL, 5000 ZINC molecules
   tapweight run --dataset my.csv --smiles smiles --labels y --pool pool.smi
   tapweight run --dataset demo-text             # the embedded text demo
   tapweight run --dataset my.csv --text review --labels stars --model all-MiniLM-L6-v2
   tapweight check hypergradient               # the float64 proof`,
		Commands: []*cli.Command{runCommand(), resumeCommand(), evaluateCommand(), predictCommand(), embedCommand(), exportModelCommand(), textCommand(), dataCommand(),
			planCommand(), doctorCommand(), checkCommand(), benchCommand(), completionCommand()},
		ExitErrHandler: func(*cli.Context, error) {}, // main prints it once
	}
	app.Action, app.OnUsageError = unknown, usageError
	oneLine(app.Commands)
	return app
}

// oneLine gives every command errors of one line, where urfave/cli would print the whole help before them.
func oneLine(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = usageError
		if len(c.Subcommands) > 0 {
			c.Action = unknown
		}
		oneLine(c.Subcommands)
	}
}

// unknown is the action where a command is missing.
func unknown(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowSubcommandHelp(c)
	}
	var names []string
	for _, known := range c.Command.Subcommands {
		names = append(names, known.Name)
	}
	return fmt.Errorf("there is no command %q; did you mean %q?", c.Args().First(), data.Nearest(c.Args().First(), names))
}

func usageError(c *cli.Context, err error, _ bool) error {
	const undefined = "flag provided but not defined: -"
	if name, ok := strings.CutPrefix(err.Error(), undefined); ok {
		var names []string
		for _, f := range c.Command.Flags {
			names = append(names, f.Names()[0])
		}
		return fmt.Errorf("there is no flag --%s; did you mean --%s? See '%s --help'", name, data.Nearest(name, names), c.Command.HelpName)
	}
	return fmt.Errorf("%w; see '%s --help'", err, c.Command.HelpName)
}

// required reports the first of the named flags that was not given.
func required(c *cli.Context, names ...string) error {
	for _, name := range names {
		if c.String(name) == "" {
			return fmt.Errorf("%s needs --%s; see '%s --help'", c.Command.Name, name, c.Command.HelpName)
		}
	}
	return nil
}
