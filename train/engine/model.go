package engine

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"tapweight/train/data"
)

// ExportModel writes a finished run's text model, or its pretrained encoder, as a Hugging Face folder.
func ExportModel(run, dir string, pretrained bool) error {
	m, err := OpenModel(run, "cpu", 0)
	if err != nil {
		return err
	}
	defer m.Close()
	c, ok := m.domain.(*texts)
	if !ok {
		return fmt.Errorf("%s is a run over molecules: Hugging Face has no such network; its tensors are in %s by name", run, m.file.Path)
	}
	if err := c.load(nil, nil); err != nil {
		return err
	}
	if pretrained {
		return c.exportEncoder(filepath.Join(run, "encoder.safetensors"), dir)
	}
	return c.exportClassifier(m, dir)
}

// encoderPrefix begins the names of the encoder's tensors.
const encoderPrefix = "encoder."

// modelMeta is what a model file says about itself besides its tensors.
type modelMeta struct {
	Kind    data.Kind  `json:"kind"`
	Tasks   []string   `json:"tasks"`
	Classes []string   `json:"classes,omitempty"`
	Scale   data.Scale `json:"scale"`
}

// writeModels writes model.safetensors (the finetuned network at its best) and encoder.safetensors (the pretrained encoder),
// under the networks' own tensor names, running statistics included.
func (r *run) writeModels() error {
	meta, err := json.Marshal(modelMeta{r.task.Kind, r.task.Tasks, r.task.Classes, r.task.Scale})
	if err != nil {
		return err
	}
	model := []named{{"", r.fin.Params(), r.sys.Omega.Value}, {"", r.fin.States(), r.sys.Omega.Running}}
	if err := r.write(r.path("model.safetensors"), "", model, map[string]string{"tapweight": string(meta)}); err != nil {
		return err
	}
	encoder := []named{{"", r.pre.Params(), r.sys.Theta.Value}, {"", r.pre.States(), r.sys.Theta.Running}}
	return r.write(r.path("encoder.safetensors"), encoderPrefix, encoder, nil)
}
