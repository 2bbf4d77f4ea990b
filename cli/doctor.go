package main

import (
	"fmt"
	"runtime"

	"github.com/urfave/cli/v2"

	"tapweight/gpu/cpu"
	"tapweight/model/molecule"
	"tapweight/train/data"
	"tapweight/train/engine"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:        "doctor",
		Usage:       "say what this machine has and what is missing",
		Description: "Example: tapweight doctor",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "measure", Usage: "also measure the peak of the CPU and of its memory (a second)"}},
		Action: func(c *cli.Context) error {
			fmt.Printf("tapweight  %s, %s, %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			b, err := cpu.Open(0)
			if err != nil {
				fmt.Printf("cpu        ✗ %v\n           use --device ref, which is slow, or a machine with AVX2\n", err)
			} else {
				defer b.Close()
				i := b.Info()
				fmt.Printf("cpu        ✓ %s, %s, %d threads, %.1f GiB available\n", i.Device, i.ISA, i.Threads, float64(i.Memory)/(1<<30))
				if c.Bool("measure") {
					fmt.Printf("           peak %.0f GFLOP/s, copy %.0f GB/s\n", b.Peak(), b.CopyRate())
				}
			}
			fmt.Printf("RDKit      ✓ %s\noneDNN     ✓ %s\n", molecule.RDKitVersion(), cpu.OneDNNVersion())
			cfg := engine.Default()
			if dir, err := cfg.CacheDir(); err == nil {
				fmt.Printf("cache      %s\n", dir)
			}
			if dir := data.Dir(""); dir != "" {
				fmt.Printf("data       %s\n", dir)
			} else {
				fmt.Println("data       TAPWEIGHT_DATA is not set: only the embedded demo and files of your own are known")
			}
			return nil
		},
	}
}
