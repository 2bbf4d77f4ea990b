package engine

import (
	"maps"
	"slices"

	"tapweight/model/batch"
	"tapweight/model/checkpoint"
	"tapweight/model/pretext"
	"tapweight/model/transformer"
)

// exportBatch writes the number of attention heads, the sequences of every objective and of the labelled batches, and targets.
// The format is described in bench/peers/README.md.
func (c *texts) exportBatch(pre pretraining, part *batch.Micro, t *Task, labelled map[string][]int) ([]checkpoint.Tensor, error) {
	ts := []checkpoint.Tensor{intTensor("heads", []int{1}, []int32{int32(c.cfg.Heads)})}
	for _, e := range pre.(*pretext.Problem).Export(part) {
		ts = append(ts, exportSequences(e.Objective, e.Sequences)...)
		for _, name := range slices.Sorted(maps.Keys(e.Labels)) {
			ts = append(ts, intTensor(e.Objective+"."+name, []int{len(e.Labels[name])}, e.Labels[name]))
		}
	}
	set, targets := t.Set.(textSet), t.targets().Values
	for _, name := range slices.Sorted(maps.Keys(labelled)) {
		var sequences []transformer.Sequence
		var y []float64
		for _, i := range labelled[name] {
			sequences, y = append(sequences, set.Sequence(i)), append(y, targets[i][0])
		}
		ts = append(ts, exportSequences(name, sequences)...)
		ts = append(ts, checkpoint.NewTensor(name+".target", []int{len(y)}, y, 4))
	}
	return ts, nil
}

func (c *texts) exportSet(e Examples) []checkpoint.Tensor {
	set := e.(textSet)
	var sequences []transformer.Sequence
	for i := range set.Len() {
		sequences = append(sequences, set.Sequence(i))
	}
	return exportSequences("set", sequences)
}

// exportSequences writes sequences one after another: ids, types, and the first token of each.
func exportSequences(name string, sequences []transformer.Sequence) []checkpoint.Tensor {
	var ids, types []int32
	ptr := []int32{0}
	for _, s := range sequences {
		ids = append(ids, s.IDs...)
		for _, k := range s.Types {
			types = append(types, int32(k))
		}
		ptr = append(ptr, int32(len(ids)))
	}
	return []checkpoint.Tensor{intTensor(name+".ids", []int{len(ids)}, ids), intTensor(name+".types", []int{len(types)}, types), intTensor(name+".ptr", []int{len(ptr)}, ptr)}
}
