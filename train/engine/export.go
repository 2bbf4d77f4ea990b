package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"

	"tapweight/model/checkpoint"
	"tapweight/model/gnn"
	"tapweight/model/molecule"
	"tapweight/model/objective"
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
	pool, err := c.OpenPool(ctx, task, con)
	if err != nil {
		return err
	}
	x, err := c.build(b, task, pool, false)
	if err != nil {
		return err
	}
	var ts []checkpoint.Tensor
	for _, v := range []objective.View{objective.Clean, objective.MaskedAtoms, objective.AugmentedA, objective.AugmentedB} {
		s := x.pre.View(x.preParts[0], v)
		if s == nil {
			return fmt.Errorf("export: the peers need the view %s; use the objectives cluster-…, mask-atom and contrast", v.Name)
		}
		ts = append(ts, exportUnion("view."+v.Name, &s.Union, c)...)
		if v.Name == objective.MaskedAtoms.Name {
			var element []int32
			for _, e := range s.Original {
				element = append(element, int32(e))
			}
			ts = append(ts, intTensor("mask.atom", []int{len(s.Masked)}, s.Masked), intTensor("mask.element", []int{len(element)}, element))
		}
	}
	for i, name := range c.Objectives {
		if classes := x.pre.Classes(x.preParts[0], i); classes != nil {
			ts = append(ts, intTensor("target."+name, []int{len(classes)}, classes))
		}
	}
	r := run{cfg: c}
	targets, _ := task.targets()
	for _, part := range []struct {
		name  string
		index []int
	}{
		{"finetune", r.order(task.Split.Train, c.FinetuneBatch, seedTrain)(0)}, {"validation", r.order(task.Split.Valid, c.ValidBatch, seedValid)(0)},
	} {
		var u gnn.Union
		u.Reset(len(task.Set.Features().AtomFields))
		var y []float64
		for _, m := range part.index {
			u.Add(task.Set.Graph(m))
			y = append(y, targets[m][0])
		}
		ts = append(ts, exportUnion("view."+part.name, &u, c)...)
		ts = append(ts, checkpoint.NewTensor("target."+part.name, []int{len(y)}, y, 4))
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

// exportSet writes a set of molecules as one view, initial parameters, and the rows that the encoder makes of the molecules.
func exportSet(path string, c Config, set *molecule.Set, params *param.Table, value []float64, rows [][]float64) error {
	var u gnn.Union
	u.Reset(len(set.Features().AtomFields))
	var flat []float64
	for i := range set.Len() {
		u.Add(set.Graph(i))
		flat = append(flat, rows[i]...)
	}
	ts := append(exportUnion("view.set", &u, c), checkpoint.NewTensor("embedding", []int{len(rows), c.Width}, flat, 4))
	return checkpoint.Write(path, append(ts, checkpoint.FromFlat("omega/", params, value, 4)...), nil)
}

func intTensor(name string, shape []int, v []int32) checkpoint.Tensor {
	t := checkpoint.Tensor{Name: name, DType: "I32", Shape: shape}
	for _, x := range v {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, uint32(x))
	}
	return t
}

// exportUnion writes a view: atom rows of the table, edges from neighbour to receiver without self loops, rows of the bond
// table, first atom of each graph.
func exportUnion(name string, u *gnn.Union, c Config) []checkpoint.Tensor {
	net, err := c.network()
	if err != nil {
		panic(err) // resolved before
	}
	f := net.Features
	n, e := u.Atoms(), len(u.Nbr)
	atom := make([]int32, n*u.Fields)
	for v := range n {
		f.AtomRows(atom[v*u.Fields:(v+1)*u.Fields], u.Atom[v*u.Fields:(v+1)*u.Fields])
	}
	from, to := append([]int32(nil), u.Nbr...), make([]int32, 0, e)
	for v := range n {
		for range u.RowPtr[v+1] - u.RowPtr[v] {
			to = append(to, int32(v))
		}
	}
	k := len(f.BondFields)
	bond := make([]int32, e*k)
	for i, code := range u.Bond {
		f.BondRows(bond[i*k:(i+1)*k], int(code))
	}
	return []checkpoint.Tensor{
		intTensor(name+".atom", []int{n, u.Fields}, atom), intTensor(name+".from", []int{e}, from), intTensor(name+".to", []int{e}, to),
		intTensor(name+".bond", []int{e, k}, bond), intTensor(name+".ptr", []int{len(u.Ptr)}, u.Ptr),
	}
}
