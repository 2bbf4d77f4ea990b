package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tapweight/gpu"
	"tapweight/model/checkpoint"
	"tapweight/model/param"
	"tapweight/train/level"
)

// stateFile is the file in a run folder that says how far the run is.
const stateFile = "state.json"

// named is a vector of the run's state with the tensor names it has in a checkpoint.
type named struct {
	prefix string
	table  *param.Table
	buf    gpu.Buffer
}

// networks lists the networks in the order of state.Counters.
func (r *run) networks() []*level.Network {
	return []*level.Network{r.sys.Theta, r.sys.Omega, r.sys.Logits}
}

func (r *run) vectors() []named {
	var vs []named
	for i, n := range r.networks() {
		for _, v := range n.Vectors() {
			vs = append(vs, named{[]string{"theta", "omega", "logits"}[i] + "." + v.Name + "/", v.Layout, v.Buf})
		}
	}
	vs = append(vs, named{"best.value/", r.fin.Params(), r.best[0]})
	if r.fin.States().Len() > 0 {
		vs = append(vs, named{"best.running/", r.fin.States(), r.best[1]})
	}
	return vs
}

// write writes the tensors of vectors whose names begin with prefix to a file. The host holds one vector at a time: they are read
// from the device as they are written.
func (r *run) write(path, prefix string, vs []named, metadata map[string]string) error {
	var ts []checkpoint.Tensor
	var flat []float64
	var failed error
	held := -1
	for k, v := range vs {
		for _, t := range checkpoint.FromVector(v.prefix, v.table, func() []float64 {
			if held != k {
				held = k
				if flat = slices.Grow(flat[:0], v.table.Len())[:v.table.Len()]; failed == nil {
					failed = r.b.Download(flat, v.buf.Slice(0, v.table.Len()))
				}
			}
			return flat
		}, r.b.Info().FloatBytes) {
			if strings.HasPrefix(t.Name, prefix) {
				ts = append(ts, t)
			}
		}
	}
	err := checkpoint.Write(path, ts, metadata)
	if err == nil && failed != nil {
		err = errors.Join(failed, os.Remove(path))
	}
	return err
}

// save writes a checkpoint: first the vectors under a name of their own, then the state file that points to them. Whenever the
// process dies, the state file names a complete set.
func (r *run) save() error {
	r.sys.Settle()
	if err := r.b.Sync(); err != nil {
		return err
	}
	if err := r.metrics.Sync(); err != nil {
		return err
	}
	s := r.state
	s.Tensors = fmt.Sprintf("state-%s-%d.safetensors", s.Phase, s.Iteration+s.Step)
	s.Metrics = r.metrics.Offset()
	s.Seconds += time.Since(r.started).Seconds()
	s.Split = r.task.Split.Hash
	for i, n := range r.networks() {
		s.Counters[i] = [2]int{n.Step, n.Batches}
	}
	if err := r.write(r.path(s.Tensors), "", r.vectors(), nil); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	err = checkpoint.AtomicWrite(r.path(stateFile), func(w io.Writer) error {
		_, err := w.Write(append(raw, '\n'))
		return err
	})
	if err != nil {
		return err
	}
	r.state.Tensors = s.Tensors
	// A process that was killed here before may have left more than one older file.
	stale, err := filepath.Glob(r.path("state-*.safetensors"))
	for _, path := range stale {
		if filepath.Base(path) != s.Tensors {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// load reads the folder's checkpoint; without one the run starts at the beginning.
func (r *run) load() error {
	raw, err := os.ReadFile(r.path(stateFile))
	if errors.Is(err, os.ErrNotExist) {
		r.state = state{Version: 1, Phase: phaseSearch, BestStep: -1}
		if r.weights.kind == "none" {
			r.state.Phase = phaseRetrain
		}
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &r.state); err != nil {
		return fmt.Errorf("%s: %w", r.path(stateFile), err)
	}
	if r.state.Version != 1 {
		return fmt.Errorf("%s: written by another version of tapweight (format %d)", r.path(stateFile), r.state.Version)
	}
	if r.state.Split != r.task.Split.Hash {
		return fmt.Errorf("%s: the data changed since the run began: split %s, now %s", r.dir, r.state.Split, r.task.Split.Hash)
	}
	f, err := checkpoint.Read(r.path(r.state.Tensors))
	if err != nil {
		return err
	}
	var flat []float64
	for _, v := range r.vectors() {
		flat = slices.Grow(flat[:0], v.table.Len())[:v.table.Len()]
		clear(flat) // padding is zero
		if err := f.ToFlat(v.prefix, v.table, flat, nil); err != nil {
			return err
		}
		r.b.Upload(v.buf.Slice(0, v.table.Len()), flat)
	}
	for i, n := range r.networks() {
		n.Step, n.Batches = r.state.Counters[i][0], r.state.Counters[i][1]
	}
	r.sys.RefreshLambda()
	if r.state.Phase == phaseRetrain && r.state.Step > 0 {
		opt, err := r.cfg.finetune()
		if err != nil {
			return err
		}
		r.sys.SetRetraining(opt, r.cfg.RetrainSteps)
	}
	r.con.Printf("going on at %s, %d iterations and %d retraining steps done", r.state.Phase, r.state.Iteration, r.state.Step)
	return nil
}
