package pretext

import (
	"tapweight/model/batch"
	"tapweight/model/transformer"
)

// Exported is a batch of an objective as bench/peers reads it.
type Exported struct {
	Objective string
	Sequences []transformer.Sequence
	Labels    map[string][]int32
}

// exporter is an objective whose targets can be written out.
type exporter interface {
	export(host *batch.Host, labels any) map[string][]int32
}

// Export returns the sequences and targets of a micro-batch, one objective after another.
func (p *Problem) Export(part *batch.Micro) []Exported {
	d := part.Detail.(*prepared)
	var all []Exported
	for i, name := range p.names {
		e := Exported{Objective: name, Sequences: d.sequences[i]}
		if x, ok := p.objectives[i].(exporter); ok {
			e.Labels = x.export(&part.Host, d.labels[i])
		}
		all = append(all, e)
	}
	return all
}

func (m *mlm) export(host *batch.Host, labels any) map[string][]int32 {
	l := labels.(maskedLabels)
	return map[string][]int32{"at": l.at, "target": host.HostInts(l.target)}
}

func (s *sop) export(host *batch.Host, labels any) map[string][]int32 {
	return map[string][]int32{"target": host.HostInts(labels.(order).target)}
}
