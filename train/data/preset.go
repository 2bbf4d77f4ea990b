package data

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

//go:embed demo
var demoFiles embed.FS

const embeddedPrefix = "embedded:"

// Preset is a known dataset.
type Preset struct {
	Name      string
	File      string // within its folder; all rows, or those to train and validate with
	Test      string // file of the test rows, "" = File has them too
	Pool      string // file of unlabelled texts that belong to it, "" = none
	SplitKind string // how to split it, "" = by scaffold
	Metric    string // or several joined by commas, of which the first decides
	About     string
	Columns
	testColumns *Columns // where they differ from Columns
	folder      string   // in which a data directory has it
}

var presets = []Preset{
	{Name: "demo", File: embeddedPrefix + "esol.csv", Columns: solubility, Metric: "rmse", About: "ESOL, embedded"},
	moleculeNet("esol", "esol.csv", "rmse", solubility, "aqueous solubility"),
	moleculeNet("freesolv", "freesolv.csv", "rmse", Columns{SMILES: "smiles", Labels: []string{"expt"}, Kind: Regression}, "hydration free energy"),
	moleculeNet("lipo", "lipo.csv", "rmse", Columns{SMILES: "smiles", Labels: []string{"exp"}, Kind: Regression}, "lipophilicity"),
	moleculeNet("bbbp", "bbbp.csv", "roc-auc", Columns{SMILES: "smiles", Labels: []string{"p_np"}, Kind: Classification}, "blood-brain barrier"),
	moleculeNet("bace", "bace.csv", "roc-auc", Columns{SMILES: "mol", Labels: []string{"Class"}, Kind: Classification}, "BACE-1 inhibition"),
	moleculeNet("clintox", "clintox.csv", "roc-auc", Columns{SMILES: "smiles", Labels: []string{"FDA_APPROVED", "CT_TOX"}, Kind: Classification}, "clinical toxicity"),
	moleculeNet("sider", "sider.csv", "roc-auc", Columns{SMILES: "smiles", Labels: []string{"*"}, Kind: Classification}, "side effects, 27 tasks"),
	moleculeNet("tox21", "tox21.csv", "roc-auc", Columns{SMILES: "smiles", Labels: []string{"NR-AR", "NR-AR-LBD", "NR-AhR", "NR-Aromatase", "NR-ER", "NR-ER-LBD",
		"NR-PPAR-gamma", "SR-ARE", "SR-ATAD5", "SR-HSE", "SR-MMP", "SR-p53"}, Kind: Classification}, "toxicity, 12 tasks"),
	moleculeNet("toxcast", "toxcast.csv.gz", "roc-auc", Columns{SMILES: "smiles", Labels: []string{"*"}, Kind: Classification}, "toxicity, 617 tasks"),
	moleculeNet("hiv", "hiv.csv", "roc-auc", Columns{SMILES: "smiles", Labels: []string{"HIV_active"}, Kind: Classification}, "HIV replication"),
	moleculeNet("muv", "muv.csv.gz", "roc-auc", Columns{SMILES: "smiles", Labels: []string{"*"}, Kind: Classification}, "virtual screening, 17 tasks"),
	moleculeNet("qm7", "qm7.csv", "mae", Columns{SMILES: "smiles", Labels: []string{"u0_atom"}, Kind: Regression}, "atomisation energy"),
	moleculeNet("qm8", "qm8.csv.gz", "mae", Columns{SMILES: "smiles", Labels: []string{"*"}, Kind: Regression}, "excited states, 12 tasks"),

	// Era of a sentence: before 1865, before 1945, or later. Sentences of one address stay in one part.
	{Name: "demo-text", File: embeddedPrefix + "inaugural.tsv", Metric: "accuracy,f1", SplitKind: "group", About: "era of a sentence of an inaugural address, embedded",
		Columns: Columns{Text: []string{"sentence"}, Labels: []string{"era"}, Group: "year", Kind: MultiClass, Classes: []string{"early", "middle", "modern"}}},
	glue("cola", "CoLA", "dev.tsv", "matthews", Columns{Names: []string{"source", "label", "mark", "sentence"}, Text: []string{"sentence"}, Labels: []string{"label"},
		Classes: []string{"unacceptable", "acceptable"}, Codes: bits}, "is the sentence grammatical"),
	glue("sst-2", "SST-2", "dev.tsv", "accuracy", Columns{Text: []string{"sentence"}, Labels: []string{"label"},
		Classes: []string{"negative", "positive"}, Codes: bits}, "sentiment of a film review's phrase"),
	glue("mrpc", "MRPC", "dev.tsv", "f1,accuracy", Columns{Text: []string{"#1 String", "#2 String"}, Labels: []string{"Quality"},
		Classes: []string{"not_equivalent", "equivalent"}, Codes: bits}, "do two sentences of the news say the same"),
	// QQP's own files have a few broken rows, which every reader leaves out.
	glue("qqp", "QQP", "dev.tsv", "accuracy,f1", Columns{Text: []string{"question1", "question2"}, Labels: []string{"is_duplicate"},
		Classes: []string{"not_duplicate", "duplicate"}, Codes: bits, Ragged: true}, "do two questions ask the same"),
	glue("sts-b", "STS-B", "dev.tsv", "pearson,spearman", Columns{Text: pair, Labels: []string{"score"}, Kind: Regression}, "how alike are two sentences, 0 to 5"),
	glue("mnli", "MNLI", "dev_matched.tsv", "accuracy", inference, "does one sentence follow from another; tested on the genres of training"),
	glue("mnli-mm", "MNLI", "dev_mismatched.tsv", "accuracy", inference, "the same; tested on other genres"),
	glue("qnli", "QNLI", "dev.tsv", "accuracy", Columns{Text: []string{"question", "sentence"}, Labels: label, Classes: entailed}, "does a sentence answer a question"),
	glue("rte", "RTE", "dev.tsv", "accuracy", Columns{Text: pair, Labels: label, Classes: entailed}, "does one sentence follow from another"),
	glue("wnli", "WNLI", "dev.tsv", "accuracy", Columns{Text: pair, Labels: label, Classes: []string{"not_entailment", "entailment"}, Codes: bits}, "what a pronoun stands for"),
	{Name: "imdb", folder: "tap", File: "imdb/train_5000.tsv.gz", Test: "imdb/test_5000.tsv.gz", Pool: "imdb/unsup_10000.txt.gz", SplitKind: "holdout", Metric: "accuracy",
		About: "sentiment of film reviews, samples of 5000", Columns: Columns{Text: []string{"text"}, Labels: label, Kind: MultiClass, Classes: []string{"negative", "positive"}, Codes: bits}},
	{Name: "ag-news", folder: "tap", File: "agnews/train_5000.csv", Test: "agnews/test.csv", SplitKind: "holdout", Metric: "accuracy", About: "topic of a news item, a sample of 5000 to train on",
		Columns: news([]string{"text", "label"}, "0", "1", "2", "3"), testColumns: new(news([]string{"label", "text", "text"}, "1", "2", "3", "4"))},
}

var (
	solubility = Columns{SMILES: "smiles", Labels: []string{"measured log solubility in mols per litre"}, Kind: Regression}
	label      = []string{"label"}
	pair       = []string{"sentence1", "sentence2"}
	bits       = []string{"0", "1"}
	entailed   = []string{"entailment", "not_entailment"}
	inference  = Columns{Text: pair, Labels: []string{"gold_label"}, Classes: []string{"entailment", "neutral", "contradiction"}}
)

// moleculeNet is a set of MoleculeNet.
func moleculeNet(name, file, metric string, c Columns, about string) Preset {
	return Preset{Name: name, File: file, Metric: metric, Columns: c, About: about, folder: "molecules"}
}

// glue is a task of GLUE as it is distributed: a folder with tab-separated train and dev files. The test files have no labels,
// so dev is the test part.
func glue(name, folder, dev, metric string, c Columns, about string) Preset {
	if c.Kind == "" {
		c.Kind = MultiClass
	}
	return Preset{Name: name, File: folder + "/train.tsv", Test: folder + "/" + dev, Metric: metric, Columns: c, About: "GLUE: " + about, SplitKind: "holdout", folder: "glue"}
}

// news is a file of AG News, none of which has a header.
func news(names []string, codes ...string) Columns {
	return Columns{Names: names, Text: []string{"text"}, Labels: label, Kind: MultiClass, Classes: []string{"World", "Sports", "Business", "Sci/Tech"}, Codes: codes}
}

// Presets lists the known datasets.
func Presets() []Preset { return presets }

// Dir returns the folder of the MoleculeNet files: the argument, or $TAPWEIGHT_DATA, in either case itself or its folder
// "molecules".
func Dir(dir string) string { return folder(dir, "molecules") }

// folder returns the folder of a data directory (default $TAPWEIGHT_DATA), or the directory if it has none of the name.
func folder(dir, name string) string {
	if dir == "" {
		dir = os.Getenv("TAPWEIGHT_DATA")
	}
	if sub := filepath.Join(dir, name); dir != "" {
		if info, err := os.Stat(sub); err == nil && info.IsDir() {
			return sub
		}
	}
	return dir
}

// Resolve finds a dataset by preset name, or describes a file of the user's own.
func Resolve(name, dir string, c Columns) (Preset, error) {
	for _, p := range presets {
		if p.Name == name {
			return p.in(dir)
		}
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

// in finds the files of a preset in a data directory.
func (p Preset) in(dir string) (Preset, error) {
	if strings.HasPrefix(p.File, embeddedPrefix) {
		return p, nil
	}
	files := p.File
	if p.Test != "" {
		files += " and " + p.Test
	}
	d := folder(dir, p.folder)
	if d == "" {
		return p, fmt.Errorf("dataset %s: give the folder that holds %s with --data DIR or TAPWEIGHT_DATA", p.Name, files)
	}
	for _, file := range []*string{&p.File, &p.Test, &p.Pool} {
		if *file == "" {
			continue
		}
		*file = filepath.Join(d, *file)
		if _, err := os.Stat(*file); err != nil && file != &p.Pool {
			return p, fmt.Errorf("dataset %s: %w; it consists of %s", p.Name, err, files)
		}
	}
	return p, nil
}

// Read reads the rows of a dataset from .csv, .tsv or .jsonl files, plain or .gz. CSV has the quotes of RFC 4180. In TSV, quotes
// are text; only around a whole name, label or SMILES they are taken off. In JSONL each line is an object and a column is a key
// of the first.
//
// The rows may come with the user's files of the validation and the test part, "" = none. A test file alone is
// for split kind holdout.
func (p Preset) Read(valid, test string) (*Table, error) {
	columns := p.Columns
	if test == "" {
		test = p.Test
		if p.testColumns != nil {
			columns = *p.testColumns
		}
	}
	sources := []source{{p.File, "train", p.Columns}}
	if valid != "" {
		sources = append(sources, source{valid, "valid", p.Columns})
	}
	if test != "" {
		sources = append(sources, source{test, "test", columns})
	}
	if len(sources) == 1 {
		sources[0].part = ""
	}
	return readFiles(sources)
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
