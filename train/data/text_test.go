package data

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tapweight/train/metric"
)

// TestTextsOfEveryFormat reads the same two rows from CSV, TSV and JSONL: quotes, tabs, line ends and letters beyond ASCII.
func TestTextsOfEveryFormat(t *testing.T) {
	c := Columns{Text: []string{"a", "b"}, Labels: []string{"y"}}
	for name, content := range map[string]string{
		"t.csv":   "\xef\xbb\xbfy,b,a\r\nno,\"he said \"\"no\"\", twice\",naïve\r\nyes,,\" x \"\r\n",
		"t.tsv":   "\xef\xbb\xbfy\tb\ta\r\nno\the said \"no\", twice\tnaïve\r\n\"yes\"\t\t x \r\n",
		"t.jsonl": "\xef\xbb\xbf{\"y\":\"no\",\"b\":\"he said \\\"no\\\", twice\",\"a\":\"na\\u00efve\",\"more\":[1]}\r\n\n{\"b\":null,\"a\":\" x \",\"y\":\"yes\"}\n",
	} {
		tab, err := readTable(write(t, name, content), c)
		if err != nil {
			t.Fatal(name, err)
		}
		if want := [][2]string{{"naïve", `he said "no", twice`}, {" x ", ""}}; !slices.Equal(tab.Text, want) {
			t.Errorf("%s: %q", name, tab.Text)
		}
		if tab.Kind != MultiClass || strings.Join(tab.Classes, " ") != "no yes" || tab.Labels[0][0] != 0 || tab.Labels[1][0] != 1 || tab.SMILES != nil {
			t.Errorf("%s: %+v", name, tab)
		}
		if len(tab.Notes) != 1 || !strings.HasSuffix(tab.Notes[0], name+": empty texts: 1, the first in line "+fmt.Sprint(tab.Line[1])) {
			t.Errorf("%s: notes %q", name, tab.Notes)
		}
		if keys := tab.Keys(); keys[0] != "naïve\the said \"no\", twice" || keys[1] != " x " {
			t.Errorf("%s: keys %q", name, keys)
		}
	}
}

// TestShortAndLongTexts: one letter, and 100 000.
func TestShortAndLongTexts(t *testing.T) {
	long := strings.Repeat("ü", 100_000)
	for name, content := range map[string]string{
		"t.csv": "text,y\na,1\n" + long + ",0\n", "t.tsv": "text\ty\na\t1\n" + long + "\t0\n", "t.jsonl": `{"text":"a","y":1}` + "\n" + `{"text":"` + long + `","y":0}`,
	} {
		tab, err := readTable(write(t, name, content), Columns{Text: []string{"text"}, Labels: []string{"y"}})
		if err != nil || tab.Text[0][0] != "a" || tab.Text[1][0] != long {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestQuotesInTSVAreText: a sentence may begin and end with a quotation.
func TestQuotesInTSVAreText(t *testing.T) {
	const text = `"Father Hood" is an overlooked "road movie"`
	tab, err := readTable(write(t, "q.tsv", "\"text\"\t\"label\"\n"+text+"\t\"1\"\n\"x\t0\n"), Columns{Text: []string{"text"}, Labels: []string{"label"}})
	if err != nil || tab.Text[0][0] != text || tab.Text[1][0] != `"x` || tab.Labels[0][0] != 1 {
		t.Errorf("%+v %v", tab, err)
	}
}

func TestKindsOfTextLabels(t *testing.T) {
	for _, c := range []struct {
		labels  string // of a row each, _ = missing
		kind    Kind   // as the user says
		want    Kind
		classes string
		values  []float64
	}{
		{"1 0 1", "", Classification, "", []float64{1, 0, 1}},
		{"0.5 2 -1", "", Regression, "", []float64{0.5, 2, -1}},
		{"3.0 2.0", "", Regression, "", []float64{3, 2}},
		{"10 9 2 _ 9", "", MultiClass, "2 9 10", []float64{2, 1, 0, math.NaN(), 1}},
		{"b a B", "", MultiClass, "B a b", []float64{2, 1, 0}},
		{"x _ y", "", MultiClass, "x y", []float64{0, math.NaN(), 1}},
		{"1 0", MultiClass, MultiClass, "0 1", []float64{1, 0}},
		{"1 2 x", MultiClass, MultiClass, "1 2 x", []float64{0, 1, 2}},
		{"1 01 1", MultiClass, MultiClass, "01 1", []float64{1, 0, 1}},
		{"1 2 3", Regression, Regression, "", []float64{1, 2, 3}},
	} {
		content := "text,y\n"
		for _, s := range strings.Fields(c.labels) {
			content += "t," + strings.Trim(s, "_") + "\n"
		}
		tab, err := readTable(write(t, "k.csv", content), Columns{Text: []string{"text"}, Labels: []string{"y"}, Kind: c.kind})
		if err != nil {
			t.Errorf("%s: %v", c.labels, err)
			continue
		}
		if tab.Kind != c.want || strings.Join(tab.Classes, " ") != c.classes {
			t.Errorf("%s: %s of %q, want %s of %q", c.labels, tab.Kind, tab.Classes, c.want, c.classes)
		}
		for i, v := range c.values {
			if got := tab.Labels[i][0]; got != v && !(math.IsNaN(got) && math.IsNaN(v)) {
				t.Errorf("%s: label %d is %v, want %v", c.labels, i, got, v)
			}
		}
	}
	// More different whole numbers than anyone has classes are amounts.
	content := "text,y\n"
	for i := range mostClasses + 1 {
		content += fmt.Sprintf("t,%d\n", i)
	}
	if tab, err := readTable(write(t, "k.csv", content), Columns{Text: []string{"text"}, Labels: []string{"y"}}); err != nil || tab.Kind != Regression {
		t.Errorf("%s %v", tab.Kind, err)
	}
	// Several columns are labels of their own.
	tab, err := readTable(write(t, "k.jsonl", `{"text":"t","a":true,"b":0}`+"\n"+`{"text":"t","a":null,"b":1}`+"\n"), Columns{Text: []string{"text"}, Labels: []string{"*"}})
	if err != nil || tab.Kind != Classification || strings.Join(tab.Tasks, " ") != "a b" || tab.Labels[0][0] != 1 || !math.IsNaN(tab.Labels[1][0]) {
		t.Errorf("%+v %v", tab, err)
	}
	// Molecules have classes too, if the user says so.
	tab, err = readTable(write(t, "m.csv", "smiles,y\nC,low\nCC,high\n"), Columns{SMILES: "smiles", Labels: []string{"y"}, Kind: MultiClass})
	if err != nil || strings.Join(tab.Classes, " ") != "high low" || tab.Labels[0][0] != 1 {
		t.Errorf("%+v %v", tab, err)
	}
}

func TestTextErrors(t *testing.T) {
	c := Columns{Text: []string{"text"}, Labels: []string{"y"}}
	known := Columns{Text: []string{"text"}, Labels: []string{"y"}, Kind: MultiClass, Classes: []string{"no", "yes"}}
	for _, e := range []struct {
		name, content string
		columns       Columns
		want          string
	}{
		{"a.csv", "Texts,y\na,1\n", c, `a.csv: no column "text"; the nearest is "Texts", there are: Texts, y`},
		{"a.csv", "sentence,y\na,1\n", Columns{SMILES: "smiles", Labels: []string{"y"}}, "if these are texts, name their column: --text NAME"},
		{"a.csv", "text,y\na,1\n", Columns{Text: []string{"text", "text"}, Labels: []string{"y"}}, `column "text" is named as text and as second text`},
		{"a.csv", "text,y\na,1\n", Columns{Text: []string{"text"}, Labels: []string{"text"}}, `column "text" is named as text and as label`},
		{"a.csv", "text,y\na,1\n", Columns{Text: []string{"a", "b", "c"}}, "a.csv: 3 text columns; there is one, or the two of a pair"},
		{"a.csv", "text,y,z\na,1,1\n", Columns{Text: []string{"text"}, Labels: []string{"y", "z"}, Kind: MultiClass}, "a multiclass task has one label column, not 2"},
		{"a.tsv", "text\ty\na\t1\nb\t0\tc\n", c, "a.tsv:3:1: 3 fields where the header has 2; in TSV"},
		{"a.tsv", "text\ty\na\t1\n\xefbc\t0\n", c, "a.tsv:3:1: byte 0xef is not UTF-8"},
		{"a.tsv", "text\ty\na\t1\nbc\x00\t0\n", c, "a.tsv:3:3: a NUL byte"},
		{"a.csv", "\xef\xbb\xbftext\x80", c, "a.csv:1:5: byte 0x80 is not UTF-8"},
		{"a.csv", "\xff\xfet\x00", c, "a.csv: UTF-16, not UTF-8"},
		{"a.jsonl", `{"text":"a\u0000","y":1}`, c, `a.jsonl:1:8: column "text": a NUL character`},
		{"a.tsv", "text\ty\na\t1\nb\tx\n", c, `a.tsv:3:3: column "y": "x" is not a number; leave the field blank where the label is missing; if every value is a class, use --task multiclass`},
		{"a.csv", "text,y\na,x\nb,1\n", c, `a.csv:3:3: column "y": "1" is a number, unlike the labels before; if`},
		{"a.csv", "text,y\na,x\nb,x\n", c, `every label of column "y" is "x"; there must be two classes`},
		{"a.csv", "text,y\na,\nb,\n", c, `every label of column "y" is missing`},
		{"a.csv", "text,y\na,\nb,\n", known, `every label of column "y" is missing`},
		{"a.csv", "text,y\na,no\nb,maybe\n", known, `a.csv:3:3: column "y": "maybe" is not one of the classes no, yes`},
		{"a.jsonl", "\n\n", c, "a.jsonl: empty file"},
		{"a.jsonl", "{\"text\":\"a\",\"y\":1}\nno\n", c, "a.jsonl:2:"},
		{"a.jsonl", `["a"]`, c, "a.jsonl:1:2: not a JSON object"},
		{"a.jsonl", `{"text":"a","y":1`, c, "a.jsonl:1:18: the line ends within the object"},
		{"a.jsonl", `{"text":"a","y":`, c, "the line ends within the object"},
		{"a.jsonl", `{"text":"a","y":1} x`, c, "a.jsonl:1:19: text after the object"},
		{"a.jsonl", `{"text":"a","text":"b","y":1}`, c, `key "text" is there twice`},
		{"a.jsonl", "{\"text\":\"a\",\"y\":1}\n{\"txt\":\"a\",\"y\":1}\n", c, `a.jsonl:2:1: no key "text"; the nearest is "txt", there are: txt, y`},
		{"a.jsonl", `{"text":["a"],"y":1}`, c, `a.jsonl:1:8: key "text": a list is neither text nor number`},
		{"a.jsonl", `{"text":"a","y":{}}`, c, `key "y": an object is neither text nor number`},
		{"a.jsonl", `{"text":"a","y":tru}`, c, "a.jsonl:1:"},
		{"a.jsonl", "{\"text\":\"a\",\"y\":1}\n" + strings.Repeat("x", maxLine+1), c, "a.jsonl:2:1: "},
	} {
		_, err := readTable(write(t, e.name, e.content), e.columns)
		if err == nil || !strings.Contains(err.Error(), e.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60q: error %v, want %q", e.content, err, e.want)
		}
	}
}

// TestMetricsOfKinds: the metrics that a kind of task is offered take its predictions.
func TestMetricsOfKinds(t *testing.T) {
	one, two := [][]float64{{1}, {-1}, {2}}, [][]float64{{0, 1}, {1, 0}, {0, 2}}
	for kind, predicted := range map[Kind][][]float64{Regression: one, Classification: one, MultiClass: two} {
		r, err := metric.Score(strings.Join(kind.Metrics(), ","), predicted, [][]float64{{1}, {0}, {1}}, []string{"t"})
		if err != nil || len(r.Also) != len(kind.Metrics())-1 {
			t.Errorf("%s: %+v %v", kind, r, err)
		}
	}
	for _, p := range Presets() {
		for _, name := range strings.Split(p.Metric, ",") {
			if !slices.Contains(p.Kind.Metrics(), name) {
				t.Errorf("%s: %s does not fit a %s task", p.Name, name, p.Kind)
			}
		}
	}
}

// TestRaggedRows: the preset whose source has broken rows leaves them out and says so.
func TestRaggedRows(t *testing.T) {
	tab, err := readTable(write(t, "r.tsv", "text\ty\na\t1\nb\nc\t0\nd\t0\t1\n"), Columns{Text: []string{"text"}, Labels: []string{"y"}, Ragged: true})
	if err != nil || len(tab.Text) != 2 || !slices.Equal(tab.Line, []int{2, 4}) || len(tab.Notes) != 1 || !strings.HasSuffix(tab.Notes[0], "a wrong number of fields, left out: 2, the first in line 3") {
		t.Errorf("%+v %v", tab, err)
	}
}

// TestUnseenClasses: what only the test part has cannot be learned; the error says where it stands.
func TestUnseenClasses(t *testing.T) {
	train, test := write(t, "train.csv", "text,y\na,x\nb,y\n"), write(t, "test.csv", "text,y\nc,y\nd,z\n")
	tab, err := Preset{File: train, Columns: Columns{Text: []string{"text"}, Labels: []string{"y"}}}.Read("", test)
	if err != nil || strings.Join(tab.Classes, "") != "xyz" || strings.Join(tab.Part, " ") != "train train test test" {
		t.Fatalf("%+v %v", tab, err)
	}
	if err := tab.CheckSeen([]int{0, 1}, []int{2}, []int{3}); err == nil || !strings.HasSuffix(err.Error(), `test.csv:3: column "y": class "z" occurs here and nowhere in the training part`) {
		t.Error(err)
	}
	if err := tab.CheckSeen([]int{1, 3}, []int{2}); err != nil {
		t.Error(err)
	}
	valid := write(t, "valid.csv", "text,y\ne,x\n")
	if tab, err = (Preset{File: train, Columns: Columns{Text: []string{"text"}, Labels: []string{"y"}}}).Read(valid, test); err != nil || strings.Join(tab.Part, " ") != "train train valid test test" {
		t.Errorf("%+v %v", tab, err)
	}
}

// TestHoldout keeps the test file apart and deals the rest out 8:1.
func TestHoldout(t *testing.T) {
	var keys, part []string
	for i := range 100 {
		keys, part = append(keys, fmt.Sprint(i)), append(part, []string{"train", "test"}[i/90])
	}
	s, err := NewSplit("holdout", keys, nil, part, 3)
	if err != nil || len(s.Train) != 80 || len(s.Valid) != 10 || !slices.Equal(s.Test, upTo(100)[90:]) || slices.IsSorted(slices.Concat(s.Train, s.Valid)) {
		t.Errorf("%+v %v", s, err)
	}
	if again, err := NewSplit("holdout", keys, nil, part, 3); err != nil || again.Hash != s.Hash {
		t.Error("not repeatable", err)
	}
	if other, err := NewSplit("holdout", keys, nil, part, 4); err != nil || other.Hash == s.Hash {
		t.Error("the seed does nothing", err)
	}
}

// TestDemoTextKeepsAddressesApart: no address is in two parts, every part has each era, and eras are whole.
func TestDemoTextKeepsAddressesApart(t *testing.T) {
	p, err := Resolve("demo-text", "", Columns{})
	if err != nil {
		t.Fatal(err)
	}
	tab, err := p.Read("", "")
	if err != nil {
		t.Fatal(err)
	}
	if got := counts(tab); got != "early 1256, middle 1664, modern 1684" {
		t.Error(got)
	}
	hashes := map[string]bool{}
	for seed := range uint64(20) {
		s, err := NewSplit(p.SplitKind, tab.Keys(), func() ([]string, error) { return tab.Group, nil }, nil, seed)
		if err != nil {
			t.Fatal(err)
		}
		hashes[s.Hash] = true
		if err := tab.CheckSeen(s.Train, s.Valid, s.Test); err != nil {
			t.Error(err)
		}
		at := map[string]int{}
		for k, part := range [][]int{s.Train, s.Valid, s.Test} {
			eras := map[float64]bool{}
			for _, i := range part {
				if was, seen := at[tab.Group[i]]; seen && was != k {
					t.Fatalf("seed %d: the address of %s is in parts %d and %d", seed, tab.Group[i], was, k)
				}
				at[tab.Group[i]] = k
				eras[tab.Labels[i][0]] = true
			}
			if len(eras) != 3 {
				t.Errorf("seed %d: part %d has %d eras", seed, k, len(eras))
			}
		}
		if n := s.Leaks(tab.Keys()); n > 3 {
			t.Errorf("seed %d: %d sentences of training are tested too", seed, n)
		}
	}
	if len(hashes) != 20 {
		t.Errorf("%d splits of 20 seeds", len(hashes))
	}
}

// counts tells how many rows each class has, "" where there are no classes.
func counts(t *Table) string {
	if t.Kind != MultiClass {
		return ""
	}
	n := make([]int, len(t.Classes))
	for _, row := range t.Labels {
		n[int(row[0])]++
	}
	var list []string
	for k, name := range t.Classes {
		list = append(list, fmt.Sprintf("%s %d", name, n[k]))
	}
	return strings.Join(list, ", ")
}

// TestPresetsReadTheRealTexts checks rows, parts and classes of the files of GLUE, IMDB and AG News.
func TestPresetsReadTheRealTexts(t *testing.T) {
	dir := realFiles(t)
	for _, c := range []struct {
		name        string
		train, test int
		classes     string
	}{
		{"cola", 8551, 1043, "unacceptable 2850, acceptable 6744"},
		{"sst-2", 67349, 872, "negative 30208, positive 38013"},
		{"mrpc", 3668, 408, "not_equivalent 1323, equivalent 2753"},
		{"sts-b", 5749, 1500, ""},
		{"rte", 2490, 277, "entailment 1395, not_entailment 1372"},
		{"wnli", 635, 71, "not_entailment 363, entailment 343"},
		{"imdb", 5000, 5000, "negative 5000, positive 5000"},
		{"ag-news", 5000, 7600, "World 3159, Sports 3157, Business 3181, Sci/Tech 3103"},
	} {
		p, err := Resolve(c.name, dir, Columns{})
		if err != nil {
			t.Fatal(err)
		}
		tab, err := p.Read("", "")
		if err != nil {
			t.Fatal(err)
		}
		n := map[string]int{}
		for i, part := range tab.Part {
			n[part]++
			if (tab.Text[i][1] != "") != (len(p.Text) == 2) || tab.Text[i][0] == "" {
				t.Fatalf("%s: row %d is %q", c.name, i, tab.Text[i])
			}
		}
		if n["train"] != c.train || n["test"] != c.test || tab.Kind != p.Kind || len(tab.Notes) > 0 {
			t.Errorf("%s: parts %v of a %s task, notes %q", c.name, n, tab.Kind, tab.Notes)
		}
		if got := counts(tab); got != c.classes {
			t.Errorf("%s: %s", c.name, got)
		}
		if c.name == "sts-b" && (tab.Labels[0][0] != 5 || tab.Labels[1][0] != 3.8) {
			t.Errorf("sts-b: labels %v %v", tab.Labels[0], tab.Labels[1])
		}
		s, err := NewSplit(p.SplitKind, tab.Keys(), nil, tab.Part, 0)
		if err != nil || len(s.Train) != c.train-c.train/9 || len(s.Test) != c.test {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := tab.CheckSeen(s.Train, s.Valid, s.Test); err != nil {
			t.Error(err)
		}
		if line := `"Father Hood" is an overlooked little gem of a "road movie".`; c.name == "imdb" && !slices.ContainsFunc(tab.Text, func(s [2]string) bool { return strings.HasPrefix(s[0], line) }) {
			t.Error("imdb: quotes that belong to the text are gone")
		}
	}
	tab, err := readTable(filepath.Join(dir, "glue/QNLI/dev.tsv"), presetNamed(t, "qnli").Columns)
	if err != nil || counts(tab) != "entailment 2702, not_entailment 2761" {
		t.Errorf("qnli: %v", err)
	}
	tab, err = readTable(filepath.Join(dir, "glue/QQP/train_partial.tsv"), presetNamed(t, "qqp").Columns)
	if err != nil || counts(tab) != "not_duplicate 14750, duplicate 8747" || tab.Notes != nil {
		t.Errorf("qqp: %v %q", err, tab.Notes)
	}
}

func presetNamed(t *testing.T, name string) Preset {
	t.Helper()
	for _, p := range Presets() {
		if p.Name == name {
			return p
		}
	}
	t.Fatal("no preset", name)
	return Preset{}
}

// TestOfficialLayout reads MNLI, whose train and dev files differ in their columns, from a folder laid out as GLUE's own.
func TestOfficialLayout(t *testing.T) {
	t.Setenv("TAPWEIGHT_DATA", "")
	if _, err := Resolve("mnli", "", Columns{}); err == nil || !strings.Contains(err.Error(), "give the folder that holds MNLI/train.tsv and MNLI/dev_matched.tsv with --data DIR") {
		t.Error(err)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "glue/MNLI"), 0o755); err != nil {
		t.Fatal(err)
	}
	save := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, "glue/MNLI", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	save("train.tsv", "index\tsentence1\tsentence2\tlabel1\tgold_label\n0\ta\tb\tneutral\tentailment\n")
	if _, err := Resolve("mnli-mm", dir, Columns{}); err == nil || !strings.Contains(err.Error(), "dev_mismatched.tsv: no such file or directory; it consists of MNLI/train.tsv and MNLI/dev_mismatched.tsv") {
		t.Error(err)
	}
	save("dev_mismatched.tsv", "index\tgenre\tsentence1\tsentence2\tlabel1\tlabel2\tgold_label\n0\tx\tc\td\tneutral\tneutral\tcontradiction\n")
	for _, data := range []string{dir, filepath.Join(dir, "glue")} {
		p, err := Resolve("mnli-mm", data, Columns{})
		if err != nil {
			t.Fatal(err)
		}
		tab, err := p.Read("", "")
		if err != nil || !slices.Equal(tab.Text, [][2]string{{"a", "b"}, {"c", "d"}}) || tab.Labels[0][0] != 0 || tab.Labels[1][0] != 2 || tab.Part[1] != "test" {
			t.Errorf("%+v %v", tab, err)
		}
	}
}
