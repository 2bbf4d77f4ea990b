package gnn

import "tapweight/model/molecule"

// Union is a batch of molecules as one graph with a row per atom: what views and augmentations edit before compression.
type Union struct {
	Fields int     // integer features per atom
	Ptr    []int32 // (graphs+1) first atom of each graph
	Atom   []uint8 // (atoms, Fields)
	RowPtr []int32 // (atoms+1)
	Nbr    []int32 // directed edges, both ways, no self loops
	Bond   []uint8 // bond code of each edge
}

// Reset empties u for atoms of the given number of features.
func (u *Union) Reset(fields int) {
	u.Fields = fields
	u.Ptr = append(u.Ptr[:0], 0)
	u.RowPtr = append(u.RowPtr[:0], 0)
	u.Atom, u.Nbr, u.Bond = u.Atom[:0], u.Nbr[:0], u.Bond[:0]
}

// Graphs returns the number of graphs.
func (u *Union) Graphs() int { return len(u.Ptr) - 1 }

// Atoms returns the number of atoms.
func (u *Union) Atoms() int { return len(u.RowPtr) - 1 }

// Graph views one molecule of u. Its neighbours are copied, since the union numbers atoms across molecules.
func (u *Union) Graph(g int) molecule.Graph {
	lo, hi := u.Ptr[g], u.Ptr[g+1]
	m := molecule.Graph{Atoms: int(hi - lo), Atom: u.Atom[int(lo)*u.Fields : int(hi)*u.Fields]}
	e0, e1 := u.RowPtr[lo], u.RowPtr[hi]
	for _, p := range u.RowPtr[lo : hi+1] {
		m.RowPtr = append(m.RowPtr, uint32(p-e0))
	}
	for _, w := range u.Nbr[e0:e1] {
		m.Nbr = append(m.Nbr, uint16(w-lo))
	}
	m.Bond = u.Bond[e0:e1]
	return m
}

// Add appends a molecule.
func (u *Union) Add(g molecule.Graph) {
	base := int32(u.Atoms())
	u.Atom = append(u.Atom, g.Atom...)
	e0 := g.RowPtr[0]
	start := int32(len(u.Nbr))
	for v := range g.Atoms {
		u.RowPtr = append(u.RowPtr, start+int32(g.RowPtr[v+1]-e0))
	}
	for k, w := range g.Nbr {
		u.Nbr = append(u.Nbr, base+int32(w))
		u.Bond = append(u.Bond, g.Bond[k])
	}
	u.Ptr = append(u.Ptr, base+int32(g.Atoms))
}

// AddKept appends the subgraph of g on the atoms with keep[v] true. keep must hold at least one true.
func (u *Union) AddKept(g molecule.Graph, keep []bool) {
	base := int32(u.Atoms())
	index := make([]int32, g.Atoms)
	n := int32(0)
	for v := range g.Atoms {
		if keep[v] {
			index[v] = base + n
			n++
		}
	}
	e0 := g.RowPtr[0]
	for v := range g.Atoms {
		if !keep[v] {
			continue
		}
		u.Atom = append(u.Atom, g.Atom[v*u.Fields:(v+1)*u.Fields]...)
		for k := g.RowPtr[v] - e0; k < g.RowPtr[v+1]-e0; k++ {
			if w := g.Nbr[k]; keep[w] {
				u.Nbr = append(u.Nbr, index[w])
				u.Bond = append(u.Bond, g.Bond[k])
			}
		}
		u.RowPtr = append(u.RowPtr, int32(len(u.Nbr)))
	}
	u.Ptr = append(u.Ptr, base+n)
}
