package data

import (
	"embed"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

//go:embed demo
var demoFiles embed.FS

const embeddedPrefix = "embedded:"

// Kind is the kind of a task.
type Kind string

// Kinds of tasks.
const (
	Regression     Kind = "regression"
	Classification Kind = "classification"
)

// Preset is a known dataset.
type Preset struct {
	Name    string
	File    string // within the data directory
	Columns Columns
	Kind    Kind
	Metric  string
	About   string
}

var presets = []Preset{
	{"demo", embeddedPrefix + "esol.csv", Columns{SMILES: "smiles", Labels: []string{"measured log solubility in mols per litre"}}, Regression, "rmse", "ESOL, embedded"},
	{"esol", "esol.csv", Columns{SMILES: "smiles", Labels: []string{"measured log solubility in mols per litre"}}, Regression, "rmse", "aqueous solubility"},
	{"freesolv", "freesolv.csv", Columns{SMILES: "smiles", Labels: []string{"expt"}}, Regression, "rmse", "hydration free energy"},
	{"lipo", "lipo.csv", Columns{SMILES: "smiles", Labels: []string{"exp"}}, Regression, "rmse", "lipophilicity"},
	{"bbbp", "bbbp.csv", Columns{SMILES: "smiles", Labels: []string{"p_np"}}, Classification, "roc-auc", "blood-brain barrier"},
	{"bace", "bace.csv", Columns{SMILES: "mol", Labels: []string{"Class"}}, Classification, "roc-auc", "BACE-1 inhibition"},
	{"clintox", "clintox.csv", Columns{SMILES: "smiles", Labels: []string{"FDA_APPROVED", "CT_TOX"}}, Classification, "roc-auc", "clinical toxicity"},
	{"sider", "sider.csv", Columns{SMILES: "smiles", Labels: []string{"*"}}, Classification, "roc-auc", "side effects, 27 tasks"},
	{"tox21", "tox21.csv", Columns{SMILES: "smiles", Labels: []string{"NR-AR", "NR-AR-LBD", "NR-AhR", "NR-Aromatase", "NR-ER", "NR-ER-LBD", "NR-PPAR-gamma",
		"SR-ARE", "SR-ATAD5", "SR-HSE", "SR-MMP", "SR-p53"}}, Classification, "roc-auc", "toxicity, 12 tasks"},
	{"toxcast", "toxcast.csv.gz", Columns{SMILES: "smiles", Labels: []string{"*"}}, Classification, "roc-auc", "toxicity, 617 tasks"},
	{"hiv", "hiv.csv", Columns{SMILES: "smiles", Labels: []string{"HIV_active"}}, Classification, "roc-auc", "HIV replication"},
	{"muv", "muv.csv.gz", Columns{SMILES: "smiles", Labels: []string{"*"}}, Classification, "roc-auc", "virtual screening, 17 tasks"},
	{"qm7", "qm7.csv", Columns{SMILES: "smiles", Labels: []string{"u0_atom"}}, Regression, "mae", "atomisation energy"},
	{"qm8", "qm8.csv.gz", Columns{SMILES: "smiles", Labels: []string{"*"}}, Regression, "mae", "excited states, 12 tasks"},
}

// Presets lists the known datasets.
func Presets() []Preset { return presets }

// Dir returns the folder of the MoleculeNet files: the argument, or $TAPWEIGHT_DATA, in either case itself or its folder
// "molecules".
func Dir(dir string) string {
	if dir == "" {
		dir = os.Getenv("TAPWEIGHT_DATA")
	}
	if sub := filepath.Join(dir, "molecules"); dir != "" {
		if info, err := os.Stat(sub); err == nil && info.IsDir() {
			return sub
		}
	}
	return dir
}

// Resolve finds a dataset by preset name, or describes a file of the user's own.
func Resolve(name, dir string, c Columns) (Preset, error) {
	for _, p := range presets {
		if p.Name != name {
			continue
		}
		if strings.HasPrefix(p.File, embeddedPrefix) {
			return p, nil
		}
		d := Dir(dir)
		if d == "" {
			return p, fmt.Errorf("dataset %s: give the folder that holds %s with --data DIR or TAPWEIGHT_DATA", name, p.File)
		}
		p.File = filepath.Join(d, p.File)
		if _, err := os.Stat(p.File); err != nil {
			return p, fmt.Errorf("dataset %s: %w", name, err)
		}
		return p, nil
	}
	if _, err := os.Stat(name); err != nil {
		var names []string
		for _, p := range presets {
			names = append(names, p.Name)
		}
		sort.Strings(names)
		if strings.ContainsAny(name, "./") || !errors.Is(err, os.ErrNotExist) {
			return Preset{}, err
		}
		return Preset{}, fmt.Errorf("dataset %q is neither a file nor one of %s; did you mean %s?", name, strings.Join(names, ", "), Nearest(name, names))
	}
	if len(c.Labels) == 0 {
		return Preset{}, fmt.Errorf("%s: say which columns hold the labels with --labels A,B or --labels '*'", name)
	}
	return Preset{Name: Stem(name), File: name, Columns: c}, nil
}

// Stem returns a file's name without folder and endings.
func Stem(path string) string {
	base := strings.TrimSuffix(filepath.Base(path), ".gz")
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// PoolFile returns the file behind a pool's name: "demo" is embedded, anything else is a path.
func PoolFile(name string) string {
	if name == "demo" {
		return embeddedPrefix + "zinc_5k.smi"
	}
	return name
}

// InferKind tells the kind of a task from its labels: 0 and 1 only means classification.
func InferKind(labels [][]float64) Kind {
	for _, row := range labels {
		for _, v := range row {
			if !math.IsNaN(v) && v != 0 && v != 1 {
				return Regression
			}
		}
	}
	return Classification
}

// CheckClasses reports the first label of a classification task that is neither 0 nor 1.
func (t *Table) CheckClasses() error {
	for i, row := range t.Labels {
		for j, v := range row {
			if !math.IsNaN(v) && v != 0 && v != 1 {
				path, line := t.Place(t.Line[i])
				return fmt.Errorf("%s:%d: column %q: %g is neither 0 nor 1, which classification needs; use --task regression?", path, line, t.Tasks[j], v)
			}
		}
	}
	return nil
}
