package objective

import "tapweight/model/batch"

// View returns what a view made of a micro-batch, before compression, or nil if no objective looks at it.
func (p *Problem) View(part *batch.Micro, v View) *Seen { return part.Detail.(*prepared).views[v.Name] }

// Classes returns the class of each molecule of a micro-batch for an objective that classifies molecules, else nil.
func (p *Problem) Classes(part *batch.Micro, objective int) []int32 {
	if ref, ok := part.Detail.(*prepared).labels[objective].(batch.Ints); ok {
		return part.Host.HostInts(ref)
	}
	return nil
}
