// Command projection estimates what an iteration takes on GPUs that nobody measured it on: from the bytes and flops that
// kernels/op counts for every operation of the engine's own iteration, and from the ceilings of the cards.
//
//	go run ./bench/projection > bench/results/projection.md
//
// Every operation takes the longest of moving its bytes, doing its flops and the least duration of its kernels, plus the gap
// between two kernels of a CUDA graph for each of them. That is a floor: what share of it the kernels reach has to be measured on a
// card.
package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"

	"tapweight/gpu/dry"
	"tapweight/train/engine"
	"tapweight/train/runlog"
)

// card holds a GPU's ceilings: bytes per second of a large copy and flops per second of the tensor cores in TF32, dense.
type card struct {
	name       string
	copy, tf32 float64
	source     string
}

// Copy rates: 90 % of the datasheet's, which is what was measured on the H100 (3.02 of 3.35 TB/s); rates of the tensor cores
// are the datasheets'.
var cards = []card{
	{"A100 80 GB", 0.9 * 2.04e12, 156e12, "datasheet 2.04 TB/s, 156 TFLOP/s"},
	{"H100 SXM", 3.02e12, 494e12, "copy measured by others 3.02 of 3.35 TB/s, datasheet 494 TFLOP/s"},
	{"H200", 0.9 * 4.8e12, 494e12, "datasheet 4.8 TB/s, 494 TFLOP/s"},
	{"B200", 0.9 * 8.0e12, 1100e12, "datasheet 8.0 TB/s, 1100 TFLOP/s"},
}

const (
	split    = 3      // products of TF32 parts that stand for one float32 product
	shortest = 1.5e-6 // seconds a kernel takes at least
	gap      = 1.0e-6 // seconds between two kernels of a graph
	target   = 200e3  // molecules a second of a training step on the H100
)

// floor is the least time of one operation on a card.
func (c card) floor(o dry.Operation) float64 {
	rate := c.tf32 / split
	if o.Name != "Gemm" {
		rate = c.tf32 / 8 // float32 units, about an eighth of the tensor cores' rate on all four cards
	}
	n := float64(o.Launches)
	return max(float64(o.Bytes)/c.copy, float64(o.Flops)/rate, n*shortest) + n*gap
}

func (c card) sum(ops []dry.Operation) float64 {
	s := 0.0
	for _, o := range ops {
		s += c.floor(o)
	}
	return s
}

func launches(ops []dry.Operation) (n int) {
	for _, o := range ops {
		n += o.Launches
	}
	return n
}

// plan counts one iteration of GIN 5×300 on the embedded molecules.
func plan(batch int, objectives ...string) (*engine.Plan, error) {
	c := engine.Default()
	c.Preset, c.PretrainBatch, c.ValidBatch, c.Objectives, c.Optimizer = "paper", batch, 64, objectives, "sgd"
	return engine.MakePlan(context.Background(), c, 0, 0, runlog.NewConsole(os.Stderr, nil, true))
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "projection:", err)
		os.Exit(1)
	}
}

func run() error {
	five := []string{"cluster-100", "cluster-1000", "cluster-10000", "mask-atom", "contrast"}
	fmt.Print(`# Projection: what an iteration would take on GPUs

**Nothing here was measured on a GPU.** Written by ` + "`go run ./bench/projection`" + ` from the bytes and flops that ` + "`kernels/op`" + ` counts for every
operation of the engine's own iteration. An operation takes the longest of its bytes at the card's copy rate, its flops (products as
three TF32 products on the tensor cores) and 1.5 µs for each of its kernels, plus 1 µs for each between the kernels of a graph.
Kernels are those that ` + "`kernels/cuda`" + ` launches for it alone. These are floors: the share of them that the kernels reach has to be measured.

| card | ceilings |
|---|---|
`)
	for _, c := range cards {
		fmt.Printf("| %s | %s |\n", c.name, c.source)
	}
	for _, batch := range []int{1024, 64} {
		p, err := plan(batch, five...)
		if err != nil {
			return err
		}
		fmt.Printf("\n## A whole iteration, GIN 5×300, %d pool molecules in four views (%d atoms), 64 + 64 task molecules, five objectives\n\n", batch, p.Atoms)
		fmt.Print("| level | operations | kernels | GFLOP | GB |")
		for _, c := range cards {
			fmt.Printf(" %s, ms |", c.name)
		}
		fmt.Print("\n|---|---|---|---|---|" + strings.Repeat("---|", len(cards)) + "\n")
		totals := make([]float64, len(cards))
		for _, level := range engine.LevelNames {
			cost := p.Levels[level]
			fmt.Printf("| %s | %d | %d | %.1f | %.2f |", level, len(p.Operations[level]), launches(p.Operations[level]), float64(cost.Flops)/1e9, float64(cost.Bytes)/1e9)
			for i, c := range cards {
				t := c.sum(p.Operations[level])
				totals[i] += t
				fmt.Printf(" %.2f |", 1e3*t)
			}
			fmt.Println()
		}
		fmt.Print("| iteration | | | | |")
		for _, t := range totals {
			fmt.Printf(" %.2f |", 1e3*t)
		}
		fmt.Println()
	}
	for _, batch := range []int{1024, 64} {
		if err := step(batch); err != nil {
			return err
		}
	}
	return nil
}

// step prints the floor of one training step and what each kind of operation has to reach for the target.
func step(batch int) error {
	p, err := plan(batch, "mask-atom")
	if err != nil {
		return err
	}
	ops := p.Operations["pretrain"]
	fmt.Printf("\n## One training step (attribute masking), GIN 5×300, %d molecules\n\n| card | floor, ms | molecules a second at the floor | share of the floor for %.0f 000 a second |\n|---|---|---|---|\n", batch, target/1e3)
	for _, c := range cards {
		t := c.sum(ops)
		fmt.Printf("| %s | %.3f | %.0f 000 | %.0f %% |\n", c.name, 1e3*t, float64(batch)/t/1e3, 100*t*target/float64(batch))
	}
	type row struct {
		name           string
		calls, kernels int
		time           float64
		bytes          int64
		flops          int64
	}
	rows := map[string]*row{}
	h100 := cards[1]
	for _, o := range ops {
		r := rows[o.Name]
		if r == nil {
			r = &row{name: o.Name}
			rows[o.Name] = r
		}
		r.calls++
		r.kernels += o.Launches
		r.time += h100.floor(o)
		r.bytes += o.Bytes
		r.flops += o.Flops
	}
	var all []*row
	for _, r := range rows {
		all = append(all, r)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].time > all[j].time })
	total := h100.sum(ops)
	fmt.Printf("\nOn the %s, by operation; at the target all of them together may take %.2f ms.\n\n| operation | calls | kernels | MB | GFLOP | floor, µs | of the step |\n|---|---|---|---|---|---|---|\n", h100.name, 1e3*float64(batch)/target)
	for _, r := range all {
		fmt.Printf("| %s | %d | %d | %.1f | %.2f | %.1f | %.0f %% |\n", r.name, r.calls, r.kernels, float64(r.bytes)/1e6, float64(r.flops)/1e9, 1e6*r.time, 100*r.time/total)
	}
	return nil
}
