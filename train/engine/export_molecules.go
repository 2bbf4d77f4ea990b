package engine

import (
	"fmt"
	"maps"
	"slices"

	"tapweight/model/batch"
	"tapweight/model/checkpoint"
	"tapweight/model/gnn"
	"tapweight/model/objective"
)

// exportBatch writes the views atom by atom, with targets. The format is described in bench/peers/README.md.
func (c molecules) exportBatch(pre pretraining, part *batch.Micro, t *Task, labelled map[string][]int) ([]checkpoint.Tensor, error) {
	problem := pre.(*objective.Problem)
	var ts []checkpoint.Tensor
	for _, v := range []objective.View{objective.Clean, objective.MaskedAtoms, objective.AugmentedA, objective.AugmentedB} {
		s := problem.View(part, v)
		if s == nil {
			return nil, fmt.Errorf("export: the peers need the view %s; use the objectives cluster-…, mask-atom and contrast", v.Name)
		}
		ts = append(ts, c.exportUnion("view."+v.Name, &s.Union)...)
		if v.Name == objective.MaskedAtoms.Name {
			var element []int32
			for _, e := range s.Original {
				element = append(element, int32(e))
			}
			ts = append(ts, intTensor("mask.atom", []int{len(s.Masked)}, s.Masked), intTensor("mask.element", []int{len(element)}, element))
		}
	}
	for i, name := range c.Objectives {
		if classes := problem.Classes(part, i); classes != nil {
			ts = append(ts, intTensor("target."+name, []int{len(classes)}, classes))
		}
	}
	set, targets := t.Set.(moleculeSet), t.targets().Values
	for _, name := range slices.Sorted(maps.Keys(labelled)) {
		var u gnn.Union
		u.Reset(len(set.Features().AtomFields))
		var y []float64
		for _, m := range labelled[name] {
			u.Add(set.Graph(m))
			y = append(y, targets[m][0])
		}
		ts = append(ts, c.exportUnion("view."+name, &u)...)
		ts = append(ts, checkpoint.NewTensor("target."+name, []int{len(y)}, y, 4))
	}
	return ts, nil
}

// exportSet writes the molecules as one view.
func (c molecules) exportSet(e Examples) []checkpoint.Tensor {
	set := e.(moleculeSet)
	var u gnn.Union
	u.Reset(len(set.Features().AtomFields))
	for i := range set.Len() {
		u.Add(set.Graph(i))
	}
	return c.exportUnion("view.set", &u)
}

// exportUnion writes a view: atom rows of the table, edges from neighbour to receiver without self loops, rows of the bond
// table, first atom of each graph.
func (c molecules) exportUnion(name string, u *gnn.Union) []checkpoint.Tensor {
	net, err := c.graphNetwork()
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
