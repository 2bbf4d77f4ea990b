// Package data reads labelled tables of molecules or texts and what there is to pretrain on, knows the sets of MoleculeNet and
// GLUE, splits them and orders batches.
//
// Every error names the file and, where there is one, the line and column. Nothing here depends on a model.
package data

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
)

// Table is a labelled file, or several read as one.
type Table struct {
	SMILES     []string    // of molecules
	Text       [][2]string // of texts; the second is empty unless they come in pairs
	Line       []int       // 1-based line of each row, counted on from file to file: see Place
	Tasks      []string    // names of the label columns
	Kind       Kind        // of the labels
	Classes    []string    // of a multiclass task, whose labels are indices into it
	Labels     [][]float64 // [row][task], NaN = missing
	Part       []string    // train, valid or test for each row, if the user says which
	Group      []string    // of each row, if there is a column of groups
	ContentKey string      // sha256 of the decompressed content
	Notes      []string    // what a user should know of rows that are odd but no error
	files      []file
	spelled    []spelling // of the one label column whose values are yet to be understood
}

// file is one of a table's files.
type file struct {
	path   string
	before int // lines of the files before it
}

// Place returns the file and the line in it that a Line stands for.
func (t *Table) Place(line int) (path string, at int) {
	f := t.files[0]
	for _, next := range t.files[1:] {
		if line > next.before {
			f = next
		}
	}
	return f.path, line - f.before
}

// Row returns the row of a Line.
func (t *Table) Row(line int) int {
	row, _ := slices.BinarySearch(t.Line, line)
	return row
}

// Keys returns what tells one row from another: its SMILES, or its texts.
func (t *Table) Keys() []string {
	if t.SMILES != nil {
		return t.SMILES
	}
	keys := make([]string, len(t.Text))
	for i, text := range t.Text {
		keys[i] = strings.TrimRight(text[0]+"\t"+text[1], "\t")
	}
	return keys
}

// Columns says which columns of a table to read, and how.
type Columns struct {
	SMILES  string   // name of the SMILES column; of no account where there is a text column
	Text    []string // name of the text column, or of the two of a pair; both may be empty, and Notes says how often
	Labels  []string // names of the label columns; "*" alone = all but the others named here
	Split   string   // name of a column with train, valid or test; "" = none
	Group   string   // name of a column that says which rows belong together; "" = none
	Kind    Kind     // of the labels; "" = whatever fits them
	Classes []string // of a multiclass task, in order; nil = the labels that occur, sorted
	Codes   []string // how the file spells Classes; nil = just so
	Names   []string // of the columns of a file without header; text columns of one name are joined by a space
	Ragged  bool     // rows of a wrong number of fields are left out, and Notes says how many
}

// Modality is what a dataset is made of.
type Modality string

// Modalities.
const (
	Molecules Modality = "molecules"
	Texts     Modality = "texts"
)

// Modality tells molecules from texts: those have a text column.
func (c Columns) Modality() Modality {
	if len(c.Text) > 0 {
		return Texts
	}
	return Molecules
}

// byteOrderMark is what some editors put before UTF-8 text.
var byteOrderMark = []byte("\xef\xbb\xbf")

// readAll returns the decompressed content of a file, "embedded:" files included.
func readAll(path string) ([]byte, error) {
	if name, ok := strings.CutPrefix(path, embeddedPrefix); ok {
		return demoFiles.ReadFile("demo/" + name)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(path, ".gz") {
		return raw, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%s: not a gzip file: %w", path, err)
	}
	content, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("%s: damaged gzip file: %w", path, err)
	}
	return content, nil
}

// keyOf identifies content.
func keyOf(content []byte) string {
	h := sha256.Sum256(content)
	return hex.EncodeToString(h[:])
}

// Nearest returns the candidate with the least edit distance to name.
func Nearest(name string, candidates []string) string {
	best, least := "", math.MaxInt
	for _, c := range candidates {
		if d := editDistance(strings.ToLower(name), strings.ToLower(c)); d < least {
			best, least = c, d
		}
	}
	return best
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// source is a file of a table and the part its rows are for, "" = its split column says.
type source struct {
	path, part string
	columns    Columns
}

func readFiles(sources []source) (*Table, error) {
	t := &Table{}
	for i, s := range sources {
		content, err := readAll(s.path)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			s.columns.Labels = t.Tasks
		}
		part, err := parseTable(s.path, content, s.columns)
		if err != nil {
			return nil, err
		}
		before := 0
		if i == 0 {
			t.Tasks, t.Classes = part.Tasks, part.Classes
		} else {
			before = t.Line[len(t.Line)-1]
		}
		t.files = append(t.files, file{s.path, before})
		t.ContentKey += part.ContentKey
		t.SMILES, t.Text, t.Group = append(t.SMILES, part.SMILES...), append(t.Text, part.Text...), append(t.Group, part.Group...)
		t.Labels, t.spelled, t.Notes = append(t.Labels, part.Labels...), append(t.spelled, part.spelled...), append(t.Notes, part.Notes...)
		if s.part == "" {
			t.Part = part.Part
		}
		for _, line := range part.Line {
			t.Line = append(t.Line, before+line)
			if s.part != "" {
				t.Part = append(t.Part, s.part)
			}
		}
	}
	return t, t.understand(sources[0].columns.Kind)
}

func parseTable(path string, content []byte, c Columns) (*Table, error) {
	if c.Modality() == Texts {
		if err := checkText(path, content); err != nil {
			return nil, err
		}
	}
	r, err := newRows(path, content, c)
	if err != nil {
		return nil, err
	}
	t := &Table{ContentKey: keyOf(content), files: []file{{path, 0}}, Classes: r.classes()}
	for _, i := range r.labels {
		t.Tasks = append(t.Tasks, r.header[i])
	}
	ragged, blank := note{}, note{}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var at *csv.ParseError
		if c.Ragged && errors.Is(err, csv.ErrFieldCount) && errors.As(err, &at) {
			ragged.add(at.Line)
			continue
		}
		if err != nil {
			return nil, syntaxError(path, record, len(r.header), err)
		}
		line, _ := r.FieldPos(r.key())
		t.Line = append(t.Line, line)
		if c.Modality() == Texts {
			text, err := r.text(record)
			if err != nil {
				return nil, err
			}
			for _, s := range text[:len(r.texts)] {
				if strings.TrimSpace(s) == "" {
					blank.add(line)
				}
			}
			t.Text = append(t.Text, text)
		} else {
			t.SMILES = append(t.SMILES, r.value(record, r.smiles))
		}
		labels, spelled, err := r.label(record)
		if err != nil {
			return nil, err
		}
		t.Labels, t.spelled = append(t.Labels, labels), append(t.spelled, spelled...)
		if r.split >= 0 {
			part, err := parsePart(r.value(record, r.split))
			if err != nil {
				return nil, r.fail(r.split, err)
			}
			t.Part = append(t.Part, part)
		}
		if r.group >= 0 {
			t.Group = append(t.Group, r.value(record, r.group))
		}
	}
	if len(t.Line) == 0 {
		return nil, fmt.Errorf("%s: no rows", path)
	}
	t.Notes = append(ragged.say(path, "rows with a wrong number of fields, left out"), blank.say(path, "empty texts")...)
	return t, nil
}

// note counts what is odd.
type note struct{ n, first int }

func (o *note) add(line int) {
	if o.n == 0 {
		o.first = line
	}
	o.n++
}

func (o *note) say(path, what string) []string {
	if o.n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: %s: %d, the first in line %d", path, what, o.n, o.first)}
}

// Pool is an unlabelled file of molecules.
type Pool struct {
	SMILES     []string
	Line       []int
	ContentKey string
}

// ReadPool reads the first field of every line of a .smi file (plain or .gz), or the SMILES column of a table: all molecules,
// or limit of them (0 = all), spread evenly over the file, since files of molecules are often sorted.
func ReadPool(path, smilesColumn string, limit int) (*Pool, error) {
	content, err := readAll(path)
	if err != nil {
		return nil, err
	}
	return parsePool(path, content, smilesColumn, limit)
}

func parsePool(path string, content []byte, smilesColumn string, limit int) (*Pool, error) {
	p := &Pool{ContentKey: fmt.Sprintf("%s spread %d", keyOf(content), limit)}
	if isTable(path) {
		t, err := parseTable(path, content, Columns{SMILES: smilesColumn})
		if err != nil {
			return nil, err
		}
		p.SMILES, p.Line = t.SMILES, t.Line
	} else {
		s := scanLines(content)
		n := 1
		for ; s.Scan(); n++ {
			if f := strings.Fields(s.Text()); len(f) > 0 {
				p.SMILES, p.Line = append(p.SMILES, f[0]), append(p.Line, n)
			}
		}
		if err := s.Err(); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	if n := len(p.SMILES); limit > 0 && n > limit {
		for i := range limit {
			p.SMILES[i], p.Line[i] = p.SMILES[i*n/limit], p.Line[i*n/limit]
		}
		p.SMILES, p.Line = p.SMILES[:limit], p.Line[:limit]
	}
	if len(p.SMILES) == 0 {
		return nil, fmt.Errorf("%s: the pretraining pool is empty", path)
	}
	return p, nil
}
