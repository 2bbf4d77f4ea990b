package objective

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/gnn"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// Problem is Level I: an encoder and a set of objectives over a pool of molecules.
type Problem struct {
	pool       *Pool
	cfg        gnn.Config
	names      []string
	objectives []Objective
	groups     [][]int
	encoder    *gnn.Encoder
	params     *param.Table
	states     *param.Table
	builder    *gnn.Builder
	compress   bool
}

// NewProblem declares the networks of the named objectives.
func NewProblem(pool *Pool, cfg gnn.Config, names []string, compress bool) (*Problem, error) {
	if err := Check(names); err != nil {
		return nil, err
	}
	if pool.Set.Len() == 0 {
		return nil, fmt.Errorf("the pretraining pool is empty")
	}
	p := &Problem{pool: pool, cfg: cfg, names: names, params: param.NewTable(), states: param.NewTable(),
		builder: gnn.NewBuilder(cfg), compress: compress}
	p.encoder = gnn.NewEncoder(cfg, "encoder", p.params, p.states)
	p.params.EndEncoder()
	p.states.EndEncoder()
	for _, name := range names {
		o, err := registered.Make(name)(pool)
		if err != nil {
			return nil, fmt.Errorf("objective %s: %w", name, err)
		}
		o.Declare(p.params, p.states, "heads."+name, cfg)
		p.objectives = append(p.objectives, o)
	}
	p.groups = group(p.objectives)
	return p, nil
}

// group joins objectives that look at a common view, directly or through others, in order of first appearance.
func group(objectives []Objective) [][]int {
	root := make([]int, len(objectives)) // the least objective of each one's group
	first := map[string]int{}            // view -> an objective that looks at it
	for i, o := range objectives {
		root[i] = i
		for _, v := range o.Views() {
			j, seen := first[v.Name]
			if !seen {
				first[v.Name] = i
				continue
			}
			from, to := max(root[i], root[j]), min(root[i], root[j])
			for k := range root[:i+1] {
				if root[k] == from {
					root[k] = to
				}
			}
		}
	}
	var groups [][]int
	at := map[int]int{}
	for i, r := range root {
		if r == i {
			at[r] = len(groups)
			groups = append(groups, nil)
		}
		groups[at[r]] = append(groups[at[r]], i)
	}
	return groups
}

// Params and States return the layouts of the parameters and the running statistics.
func (p *Problem) Params() *param.Table { return p.params }

// States returns the layout of the running statistics.
func (p *Problem) States() *param.Table { return p.states }

// Initial writes the starting values of a parameter tensor.
func (p *Problem) Initial(seed uint64, e *param.Entry, values []float64) error {
	e.Initial(seed, values)
	return nil
}

// Names lists the objectives.
func (p *Problem) Names() []string { return p.names }

// Groups lists the objectives that share a forward pass.
func (p *Problem) Groups() [][]int { return p.groups }

// Len returns the number of molecules of the pool.
func (p *Problem) Len() int { return p.pool.Set.Len() }

// EncoderCount returns the number of the encoder's parameters, without padding.
func (p *Problem) EncoderCount() int { return p.params.EncoderCount() }

// prepared is what a micro-batch remembers between the host's and the device's half.
type prepared struct {
	views  map[string]*Seen
	labels []any
	scale  []float64
}

// Prepare builds the batch of a step on the host, in micro parts of equal size: a pure function of the pool's seed, the
// step and the molecules. Safe to call from a loader goroutine, one call at a time.
//
// The parts' gradients add up to that of the batch in one piece, as far as molecules are terms of their own: batch norm
// takes its statistics, and contrast, context and infomax their negatives, from a part.
func (p *Problem) Prepare(step uint32, index []int, micro int) ([]*batch.Micro, error) {
	var parts []*batch.Micro
	counts := make([]float64, len(p.objectives))
	// A stream goes on from part to part, so that the parts' masks and draws are those of the batch in one piece.
	streams := map[string]*rand.Rand{}
	random := func(kind, name string) *rand.Rand {
		key := kind + " " + name + " 0"
		if streams[key] == nil {
			streams[key] = batch.Stream(p.pool.Seed, step, key)
		}
		return streams[key]
	}
	for m := range micro {
		lo, hi := m*len(index)/micro, (m+1)*len(index)/micro
		part, n, err := p.label(random, index[lo:hi])
		if err != nil {
			return nil, err
		}
		for i := range counts {
			counts[i] += n[i]
		}
		parts = append(parts, part)
	}
	for _, part := range parts {
		d := part.Detail.(*prepared)
		d.scale = batch.Means(counts)
	}
	return parts, nil
}

func (p *Problem) label(random func(kind, name string) *rand.Rand, index []int) (*batch.Micro, []float64, error) {
	part := &batch.Micro{}
	d := &prepared{views: map[string]*Seen{}}
	part.Detail = d
	sharing := gnn.ShareAll
	if p.cfg.Dropout > 0 {
		sharing = gnn.ShareFirst
	}
	if !p.compress {
		sharing = gnn.ShareNone
	}
	var counts []float64
	for i, o := range p.objectives {
		for _, v := range o.Views() {
			if d.views[v.Name] != nil {
				continue
			}
			s := &Seen{features: p.cfg.Features}
			s.Union.Reset(len(p.cfg.Features.AtomFields))
			rng := random("view", v.Name)
			for _, mol := range index {
				v.edit(s, p.pool.Set.Graph(mol), rng)
			}
			s.Packed = p.builder.Pack(&part.Host, &s.Union, sharing)
			d.views[v.Name] = s
		}
		in := &Labeling{Host: &part.Host, Index: index, Config: p.cfg, Builder: p.builder, views: d.views,
			Rand: random("label", p.names[i])}
		labels, n, err := o.Label(in)
		if err != nil {
			return nil, nil, fmt.Errorf("objective %s: %w", p.names[i], err)
		}
		d.labels, counts = append(d.labels, labels), append(counts, n)
	}
	return part, counts, nil
}

// Forward runs the views and the losses of one group. value holds one float for each objective of the problem.
func (p *Problem) Forward(t *tape.Tape, g int, part *batch.Micro, d *batch.Device, pass tape.Pass, value gpu.Buffer) []*tape.Loss {
	prep := part.Detail.(*prepared)
	views := map[string]*encoded{}
	var losses []*tape.Loss
	for _, i := range p.groups[g] {
		for _, v := range p.objectives[i].Views() {
			if views[v.Name] == nil {
				seen := prep.views[v.Name]
				nodes := p.encoder.Forward(t, seen.Packed, d, pass.Part(viewStream(g, len(views))))
				views[v.Name] = &encoded{seen: seen, nodes: nodes}
			}
		}
	}
	for k, i := range p.groups[g] {
		f := &Forward{T: t, Device: d, Labels: prep.labels[i], Scale: prep.scale[i], Value: value.Slice(i, i+1),
			Pass: pass.Part(viewStream(g, 16+k)), encoder: p.encoder, views: views}
		losses = append(losses, p.objectives[i].Loss(f))
	}
	return losses
}

// viewStream numbers the random streams of the networks that run in a group: at most 16 views and 16 objectives.
func viewStream(g, i int) int { return 1 + 32*g + i }

// Describe says how far a batch was compressed.
func (p *Problem) Describe(part *batch.Micro) string {
	rows, atoms := p.Rows(part)
	var shares []string
	for _, n := range rows {
		shares = append(shares, fmt.Sprintf("%.0f%%", 100*float64(n)/float64(atoms)))
	}
	return fmt.Sprintf("rows left of %d atoms by depth: %s", atoms, strings.Join(shares, " "))
}

// Rows adds up the rows per depth over the views of a micro-batch, and the atoms they stand for.
func (p *Problem) Rows(part *batch.Micro) (rows []int, atoms int) {
	rows = make([]int, p.cfg.Layers+1)
	for _, s := range part.Detail.(*prepared).views {
		for l, n := range s.Packed.Stack.Rows() {
			rows[l] += n
		}
		atoms += s.Packed.Stack.Atoms
	}
	return rows, atoms
}
