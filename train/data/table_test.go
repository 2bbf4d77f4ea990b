package data

import (
	"bytes"
	"compress/gzip"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// readTable reads a file of the user's own.
func readTable(path string, c Columns) (*Table, error) {
	return Preset{File: path, Columns: c}.Read("", "")
}

func TestReadTable(t *testing.T) {
	path := write(t, "a.csv", "\xef\xbb\xbfname,smiles,y1,y2\r\n\"a, b\",CCO ,1.5,\r\nc,CC,-2,0\r\n")
	for _, labels := range [][]string{{"y1", "y2"}, {"y2", "y1"}} {
		tab, err := readTable(path, Columns{SMILES: "smiles", Labels: labels})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(tab.SMILES, " "); got != "CCO CC" {
			t.Errorf("SMILES %q", got)
		}
		j := map[string]int{tab.Tasks[0]: 0, tab.Tasks[1]: 1}
		if tab.Labels[0][j["y1"]] != 1.5 || !math.IsNaN(tab.Labels[0][j["y2"]]) || tab.Labels[1][j["y1"]] != -2 {
			t.Errorf("labels %v", tab.Labels)
		}
		if tab.Line[0] != 2 || tab.Line[1] != 3 {
			t.Errorf("lines %v", tab.Line)
		}
	}
}

func TestReadTableErrors(t *testing.T) {
	c := Columns{SMILES: "smiles", Labels: []string{"y"}}
	for content, want := range map[string]string{
		"":                        "empty file",
		"smiles,y\n":              "no rows",
		"smiles,yy\nC,1\n":        `no column "y"; the nearest is "yy"`,
		"smile,y\nC,1\n":          `no column "smiles"; the nearest is "smile"`,
		"smiles,y\nC,1\nCC,x\n":   `a.csv:3:4: column "y": "x" is not a number`,
		"smiles,y\nC,NaN\n":       `a.csv:2:3: column "y": "NaN" is not a finite number`,
		"smiles,y\nC,inf\n":       "is not a finite number",
		"smiles,y\nC,\nCC,\n":     `every label of column "y" is missing`,
		"smiles,y\nC,1\nCC,1,2\n": "a.csv:3:1: 3 fields where the header has 2",
		"smiles,y\nC\"C,1\n":      `a.csv:2:2: bare "`,
		"smiles,y\n\"C,1\nCC,1\n": "a.csv:3:6: ",
	} {
		_, err := readTable(write(t, "a.csv", content), c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", content, err, want)
		}
	}
	if _, err := readTable(write(t, "a.csv.gz", "plain"), c); err == nil || !strings.Contains(err.Error(), "not a gzip file") {
		t.Errorf("plain text named .gz: %v", err)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write([]byte("smiles,y\nC,1\n"))
	w.Close()
	if _, err := readTable(write(t, "a.csv.gz", z.String()), c); err != nil {
		t.Errorf("gzip: %v", err)
	}
	if _, err := readTable(write(t, "b.csv.gz", z.String()[:z.Len()-6]), c); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("cut gzip: %v", err)
	}
}

// TestTabsSeparateWhateverQuotesSay: in a .tsv file a lone quote is text and swallows nothing.
func TestTabsSeparateWhateverQuotesSay(t *testing.T) {
	c := Columns{SMILES: "smiles", Labels: []string{"y"}}
	tab, err := readTable(write(t, "a.tsv", "name\tsmiles\ty\r\n\"5\" pipe\tC\t1\n\n\"\t\"CC\"\t2\n\"a \"\"b\"\"\"\tCCC\t\"3\"\n"), c)
	if err != nil || strings.Join(tab.SMILES, " ") != "C CC CCC" || tab.Labels[2][0] != 3 || !slices.Equal(tab.Line, []int{2, 4, 5}) {
		t.Errorf("%+v %v", tab, err)
	}
	for content, want := range map[string]string{
		"smiles\ty\nC\t1\nCC\tx\n":                           `a.tsv:3:4: column "y": "x" is not a number`,
		"smiles\ty\nC\t1\n\"CC\t1\t2\"\n":                    "a.tsv:3:1: 3 fields where the header has 2",
		"smiles\ty\nC\t1\n" + strings.Repeat("C", maxLine+1): "a.tsv:3:1: ",
	} {
		if _, err := readTable(write(t, "a.tsv", content), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestReadParts reads a file for each part, with the columns of the first, wherever they stand in the others.
func TestReadParts(t *testing.T) {
	train, valid := write(t, "train.csv", "smiles,y,z\nC,1,\n\nCC,2,0\n"), write(t, "valid.tsv", "z\tsmiles\ty\n\tO\t3\n")
	test := write(t, "test.csv", "y,smiles,z,more\n4,N,1,x\n5,NN,1,x\n")
	tab, err := (Preset{File: train, Columns: Columns{SMILES: "smiles", Labels: []string{"*"}}}).Read(valid, test)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(tab.SMILES, " ") != "C CC O N NN" || strings.Join(tab.Part, " ") != "train train valid test test" || strings.Join(tab.Tasks, " ") != "y z" ||
		tab.Labels[2][0] != 3 || !math.IsNaN(tab.Labels[2][1]) || tab.Labels[4][0] != 5 {
		t.Errorf("%+v", tab)
	}
	for i, want := range []struct {
		path string
		line int
	}{{train, 2}, {train, 4}, {valid, 2}, {test, 2}, {test, 3}} {
		if path, line := tab.Place(tab.Line[i]); path != want.path || line != want.line {
			t.Errorf("row %d at %s:%d, want %s:%d", i, path, line, want.path, want.line)
		}
	}
	if _, err := (Preset{File: train, Columns: Columns{SMILES: "smiles", Labels: []string{"*"}}}).Read(write(t, "v.csv", "smiles,y\nC,1\n"), test); err == nil || !strings.Contains(err.Error(), `v.csv: no column "z"`) {
		t.Errorf("a column missing in one file: %v", err)
	}
	class, err := (Preset{File: train, Columns: Columns{SMILES: "smiles", Labels: []string{"z"}}}).Read(test, write(t, "c.csv", "smiles,y,z\nC,1,0\nC,0,2\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := class.CheckClasses(); err == nil || !strings.Contains(err.Error(), `c.csv:3: column "z": 2 is neither`) {
		t.Errorf("class: %v", err)
	}
}

func TestReadPool(t *testing.T) {
	p, err := ReadPool(write(t, "p.smi", "CCO ethanol\n\nc1ccccc1\tbenzene\nC\n"), "smiles", 2)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(p.SMILES, " ") != "CCO c1ccccc1" || p.Line[1] != 3 {
		t.Errorf("pool %v at %v", p.SMILES, p.Line)
	}
	if p, err = ReadPool(write(t, "s.smi", "C\nCC\nN\nNN\nO\nOO\nS\n"), "smiles", 3); err != nil || strings.Join(p.SMILES, " ") != "C N O" || p.Line[2] != 5 {
		t.Errorf("spread: %+v %v", p, err)
	}
	if p, err = ReadPool(write(t, "b.smi", "\xef\xbb\xbfC\r\nCC x\r\n"), "smiles", 0); err != nil || strings.Join(p.SMILES, " ") != "C CC" {
		t.Errorf("byte order mark: %+v %v", p, err)
	}
	if p, err = ReadPool(write(t, "t.tsv", "id\tsmiles\n7\"\tCC\n"), "smiles", 0); err != nil || p.SMILES[0] != "CC" {
		t.Errorf("table: %+v %v", p, err)
	}
	long := "C\n\n\n" + strings.Repeat("C", 1<<20+1) + "\n"
	if _, err := ReadPool(write(t, "l.smi", long), "smiles", 0); err == nil || !strings.Contains(err.Error(), "l.smi:4: ") {
		t.Errorf("long line: %v", err)
	}
	if _, err := ReadPool(write(t, "e.smi", "\n\n"), "smiles", 0); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("empty pool: %v", err)
	}
}

// realFiles returns the folder of the public data sets, and skips the test where it is missing.
func realFiles(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("TAPWEIGHT_DATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the files of MoleculeNet and GLUE are not here: set TAPWEIGHT_DATA to their folder")
	}
	return dir
}

// TestPresetsReadTheRealFiles checks the row counts of the MoleculeNet files.
func TestPresetsReadTheRealFiles(t *testing.T) {
	dir := realFiles(t)
	rows := map[string]int{"esol": 1128, "freesolv": 642, "lipo": 4200, "bbbp": 2050, "bace": 1513, "clintox": 1478, "sider": 1427, "tox21": 7831,
		"toxcast": 8576, "hiv": 41127, "muv": 93087, "qm7": 6830, "qm8": 21786, "demo": 1128}
	tasks := map[string]int{"clintox": 2, "sider": 27, "tox21": 12, "toxcast": 617, "muv": 17, "qm8": 12}
	for _, p := range Presets() {
		if p.Modality() == Texts {
			continue
		}
		r, err := Resolve(p.Name, dir, Columns{})
		if err != nil {
			t.Fatal(err)
		}
		tab, err := r.Read("", "")
		if err != nil {
			t.Fatal(err)
		}
		if len(tab.SMILES) != rows[p.Name] || len(tab.Tasks) != max(tasks[p.Name], 1) {
			t.Errorf("%s: %d rows and %d tasks", p.Name, len(tab.SMILES), len(tab.Tasks))
		}
		if p.Kind == Classification {
			if err := tab.CheckClasses(); err != nil {
				t.Error(err)
			}
		}
		if got := inferKind(tab.Labels); got != p.Kind {
			t.Errorf("%s: inferred %s", p.Name, got)
		}
	}
}

func TestEmbeddedDataAreTheSources(t *testing.T) {
	for name, want := range map[string]string{
		"esol.csv":      "8c06a76f0c6487d29ab0f903e6a7a7139f189ab3c1178f159c8be8964602f189",
		"zinc_5k.smi":   "6e84077b6fa05557284548444c363b2145c842efb543985a02540bbe1ae0a796",
		"inaugural.tsv": "44db6788d28164d41aa132cdb40da22cd2d38ea49c8b47c204240c6f435afbd2",
	} {
		content, err := readAll(embeddedPrefix + name)
		if err != nil {
			t.Fatal(err)
		}
		if got := keyOf(content); got != want {
			t.Errorf("%s: sha256 %s", name, got)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte("smiles,y\nCCO,1\n"), "f.csv")
	f.Add([]byte("smiles,y,part\n\"C\nC\",,train\n"), "f.tsv")
	f.Add([]byte("\xef\xbb\xbfsmiles,y\r\nC,1e400\r\n"), "f.csv")
	f.Add([]byte(`{"smiles":"C","y":1}`+"\n"), "f.jsonl")
	f.Fuzz(func(t *testing.T, content []byte, path string) {
		tab, err := parseTable(path, content, Columns{SMILES: "smiles", Labels: []string{"*"}})
		if err != nil {
			if strings.Contains(err.Error(), "\n") && !bytes.Contains(content, []byte("\n")) && !strings.Contains(path, "\n") {
				t.Fatalf("an error of several lines: %v", err)
			}
			return
		}
		if len(tab.SMILES) != len(tab.Labels) || len(tab.Line) != len(tab.SMILES) || !slices.IsSorted(tab.Line) {
			t.Fatalf("%d molecules, %d labels, lines %v", len(tab.SMILES), len(tab.Labels), tab.Line)
		}
	})
}

func FuzzPool(f *testing.F) {
	f.Add([]byte("CCO ethanol\n\nC\n"), "p.smi")
	f.Add([]byte("smiles\nC\n"), "p.csv")
	f.Fuzz(func(t *testing.T, content []byte, path string) {
		p, err := parsePool(path, content, "smiles", 3)
		if err != nil {
			return
		}
		if len(p.SMILES) == 0 || len(p.SMILES) > 3 || len(p.Line) != len(p.SMILES) {
			t.Fatalf("%d molecules at %d lines", len(p.SMILES), len(p.Line))
		}
		if !slices.IsSorted(p.Line) || p.Line[0] < 1 {
			t.Fatalf("lines %v", p.Line)
		}
	})
}
