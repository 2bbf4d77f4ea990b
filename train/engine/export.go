package engine

import (
	"context"
	"encoding/binary"
	"path/filepath"

	"tapweight/model/checkpoint"
	"tapweight/model/param"
	"tapweight/train/level"
	"tapweight/train/runlog"
)

// ExportBatch writes the first iteration of a configuration to DIR/batch.safetensors for bench/peers: the views atom by atom,
// targets, and the initial parameters of both networks. The format is described in bench/peers/README.md.
func ExportBatch(ctx context.Context, c Config, dir string, con *runlog.Console) error {
	if err := c.Resolve(); err != nil {
		return err
	}
	b, err := OpenDevice(c.Device, c.Threads, con)
	if err != nil {
		return err
	}
	defer b.Close()
	task, err := c.OpenTask(ctx, con)
	if err != nil {
		return err
	}
	pool, err := task.OpenPool(ctx, con)
	if err != nil {
		return err
	}
	x, err := c.build(b, task, pool)
	if err != nil {
		return err
	}
	r := run{cfg: c}
	ts, err := task.domain.exportBatch(x.pre, x.preParts[0], task, map[string][]int{
		"finetune": r.order(task.Split.Train, c.FinetuneBatch, seedTrain)(0), "validation": r.order(task.Split.Valid, c.ValidBatch, seedValid)(0)})
	if err != nil {
		return err
	}
	for i, n := range []*level.Network{x.sys.Theta, x.sys.Omega} {
		prefix := []string{"theta/", "omega/"}[i]
		for _, v := range n.Vectors() {
			if v.Name != "value" {
				continue
			}
			flat := make([]float64, v.Layout.Len())
			if err := b.Download(flat, v.Buf); err != nil {
				return err
			}
			ts = append(ts, checkpoint.FromFlat(prefix, v.Layout, flat, 4)...)
		}
	}
	return checkpoint.Write(filepath.Join(dir, "batch.safetensors"), ts, nil)
}

// exportSet writes a set of examples, initial parameters, and the rows that the encoder makes of the examples.
func exportSet(path string, d domain, e Examples, params *param.Table, value []float64, rows [][]float64) error {
	var flat []float64
	for i := range rows {
		flat = append(flat, rows[i]...)
	}
	ts := append(d.exportSet(e), checkpoint.NewTensor("embedding", []int{len(rows), len(rows[0])}, flat, 4))
	return checkpoint.Write(path, append(ts, checkpoint.FromFlat("omega/", params, value, 4)...), nil)
}

func intTensor(name string, shape []int, v []int32) checkpoint.Tensor {
	t := checkpoint.Tensor{Name: name, DType: "I32", Shape: shape}
	for _, x := range v {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, uint32(x))
	}
	return t
}
