package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/urfave/cli/v2"

	"tapweight/gpu/cpu"
	"tapweight/gpu/cuda"
	kernels "tapweight/kernels/cuda"
	"tapweight/model/molecule"
	"tapweight/train/data"
	"tapweight/train/engine"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:        "doctor",
		Usage:       "say what this machine has and what is missing",
		Description: "Example: tapweight doctor",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "measure", Usage: "also measure the peak of the CPU and of its memory (a second)"},
			&cli.StringFlag{Name: "dump-ptx", Usage: "write the PTX of all CUDA kernels to a folder and do nothing else"},
		},
		Action: func(c *cli.Context) error {
			if dir := c.String("dump-ptx"); dir != "" {
				return dumpPTX(dir)
			}
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
			showCUDA(cuda.Find())
			fmt.Printf("RDKit      ✓ %s\n", molecule.RDKitVersion())
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

// showCUDA prints what there is of CUDA.
func showCUDA(f cuda.Found) {
	switch {
	case f.Err != nil:
		fmt.Printf("cuda       ✗ %s: %v\n", f.Library, f.Err)
	case f.Driver == 0:
		fmt.Printf("cuda       ✗ %s\n", f.Library)
	case len(f.Cards) == 0:
		fmt.Printf("cuda       ✗ the driver %s has no device\n", f.Library)
	default:
		fmt.Printf("cuda       ✓ driver %s, CUDA %d.%d; cuBLAS: %s\n", f.Library, f.Driver/1000, f.Driver%1000/10, f.BLAS)
	}
	for i, c := range f.Cards {
		fmt.Printf("  cuda:%d   ✓ %v\n", i, c)
	}
}

// dumpPTX writes a file for each family of kernels.
func dumpPTX(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, m := range kernels.PTX() {
		if err := os.WriteFile(filepath.Join(dir, m.Name+".ptx"), m.Data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
