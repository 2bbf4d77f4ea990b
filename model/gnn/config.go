// Package gnn holds the graph networks of Hu et al. 2020 (arXiv 1905.12265): GIN, GCN, GraphSAGE and GAT encoders over
// molecules, their readouts, and the batches they run on.
//
// A batch is a [Stack]: one bipartite graph per layer between distinct Weisfeiler–Leman colours, not between atoms. A
// [Union] collects molecules, a [Builder] compresses and packs it, an [Encoder] runs on the packed form:
//
//	u.Reset(fields); u.Add(graph)...            // host: one row per atom
//	p := builder.Pack(&host, &u, gnn.ShareAll)  // host: one row per colour
//	device.Upload(&host)
//	nodes, graphs := encoder.Forward(t, p, device, pass)
package gnn

import (
	"fmt"
	"strings"

	"tapweight/model/molecule"
)

// Conv is a kind of message passing.
type Conv uint8

// Message-passing layers of Hu et al. 2020.
const (
	GIN Conv = iota
	GCN
	SAGE
	GAT
)

// Norm is a kind of normalisation after each layer.
type Norm uint8

// Normalisations.
const (
	BatchNorm Norm = iota
	LayerNorm
)

// Readout makes a graph's row of its atoms' rows.
type Readout uint8

// Readouts.
const (
	Mean Readout = iota
	Sum
	Max
)

var (
	convNames    = []string{"gin", "gcn", "sage", "gat"}
	normNames    = []string{"batch", "layer"}
	readoutNames = []string{"mean", "sum", "max"}
)

func (c Conv) String() string    { return convNames[c] }
func (n Norm) String() string    { return normNames[n] }
func (r Readout) String() string { return readoutNames[r] }

func parse(kind, name string, names []string) (int, error) {
	for i, n := range names {
		if n == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%s %q is not one of %s", kind, name, strings.Join(names, ", "))
}

// ParseConv, ParseNorm and ParseReadout read the names used on the command line.
func ParseConv(name string) (Conv, error) {
	i, err := parse("network", name, convNames)
	return Conv(i), err
}

// ParseNorm reads the name of a normalisation.
func ParseNorm(name string) (Norm, error) {
	i, err := parse("norm", name, normNames)
	return Norm(i), err
}

// ParseReadout reads the name of a readout.
func ParseReadout(name string) (Readout, error) {
	i, err := parse("readout", name, readoutNames)
	return Readout(i), err
}

// Config describes an encoder.
type Config struct {
	Features molecule.Features
	Conv     Conv
	Layers   int
	Width    int
	Norm     Norm
	Readout  Readout
	Dropout  float64 // after every layer, in training
}

// attentionHeads is Hu et al.'s number of GAT heads.
const attentionHeads = 2
