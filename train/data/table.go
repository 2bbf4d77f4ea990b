// Package data reads labelled tables and pools of molecules, knows the MoleculeNet sets, splits them and orders batches.
//
// Every error names the file and, where there is one, the line and column. Nothing here depends on a model.
package data

import (
	"bufio"
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
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Table is a labelled file, or several read as one.
type Table struct {
	SMILES     []string
	Line       []int       // 1-based line of each row, counted on from file to file: see Place
	Tasks      []string    // names of the label columns
	Labels     [][]float64 // [row][task], NaN = missing
	Part       []string    // train, valid or test for each row, if the user says which
	ContentKey string      // sha256 of the decompressed content
	files      []file
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

// Columns says which columns of a table to read.
type Columns struct {
	SMILES string   // name of the SMILES column
	Labels []string // names of the label columns; "*" alone = all but the SMILES and split columns
	Split  string   // name of a column with train, valid or test; "" = none
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

// ReadTable reads a CSV or TSV file, plain or .gz.
func ReadTable(path string, c Columns) (*Table, error) {
	content, err := readAll(path)
	if err != nil {
		return nil, err
	}
	t, err := parseTable(path, content, c)
	if err != nil {
		return nil, err
	}
	return t, t.checkLabels()
}

// ReadParts reads the parts of a split from a file each, all with the columns of the first.
func ReadParts(train, valid, test string, c Columns) (*Table, error) {
	t := &Table{}
	for i, path := range []string{train, valid, test} {
		content, err := readAll(path)
		if err != nil {
			return nil, err
		}
		part, err := parseTable(path, content, c)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			t.Tasks, c.Labels = part.Tasks, part.Tasks
		}
		before := 0
		if i > 0 {
			before = t.Line[len(t.Line)-1]
		}
		t.files = append(t.files, file{path, before})
		t.ContentKey += part.ContentKey
		t.SMILES, t.Labels = append(t.SMILES, part.SMILES...), append(t.Labels, part.Labels...)
		for _, line := range part.Line {
			t.Line, t.Part = append(t.Line, before+line), append(t.Part, parts[i])
		}
	}
	return t, t.checkLabels()
}

// checkLabels reports a task without any label.
func (t *Table) checkLabels() error {
	for j, name := range t.Tasks {
		if !slices.ContainsFunc(t.Labels, func(row []float64) bool { return !math.IsNaN(row[j]) }) {
			return fmt.Errorf("%s: every label of column %q is missing", t.files[0].path, name)
		}
	}
	return nil
}

// records reads the rows of a table one by one. A record is valid until the next.
type records interface {
	Read() ([]string, error)
	FieldPos(field int) (line, column int)
}

// tabbed reads tab-separated rows. Quotes are ordinary text there, save around a whole field: were they to join lines, as in
// CSV, a lone one (5" pipe) would swallow what follows.
type tabbed struct {
	lines   *bufio.Scanner
	line    int
	fields  int // of the header, 0 before it
	columns []int
}

func (r *tabbed) Read() ([]string, error) {
	for r.lines.Scan() {
		r.line++
		text := r.lines.Text()
		if text == "" {
			continue
		}
		record := strings.Split(text, "\t")
		r.columns = r.columns[:0]
		at := 1
		for i, f := range record {
			r.columns = append(r.columns, at)
			at += len(f) + 1
			if n := len(f); n >= 2 && f[0] == '"' && f[n-1] == '"' {
				record[i] = strings.ReplaceAll(f[1:n-1], `""`, `"`)
			}
		}
		if r.fields == 0 {
			r.fields = len(record)
		}
		if len(record) != r.fields {
			return record, &csv.ParseError{StartLine: r.line, Line: r.line, Column: 1, Err: csv.ErrFieldCount}
		}
		return record, nil
	}
	if err := r.lines.Err(); err != nil {
		return nil, &csv.ParseError{StartLine: r.line + 1, Line: r.line + 1, Column: 1, Err: err}
	}
	return nil, io.EOF
}

func (r *tabbed) FieldPos(field int) (line, column int) { return r.line, r.columns[field] }

// maxLine is the longest line of a .smi or .tsv file.
const maxLine = 1 << 20

// scanLines reads content line by line.
func scanLines(content []byte) *bufio.Scanner {
	s := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(content, byteOrderMark)))
	s.Buffer(nil, maxLine)
	return s
}

// readRecords returns the reader for a path's ending.
func readRecords(path string, content []byte) records {
	if strings.HasSuffix(strings.TrimSuffix(path, ".gz"), ".tsv") {
		return &tabbed{lines: scanLines(content)}
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, byteOrderMark)))
	r.ReuseRecord = true
	return r
}

func parseTable(path string, content []byte, c Columns) (*Table, error) {
	t := &Table{ContentKey: keyOf(content), files: []file{{path, 0}}}
	r := readRecords(path, content)
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: empty file", path)
	}
	if err != nil {
		return nil, syntaxError(path, nil, 0, err)
	}
	header = slices.Clone(header)
	for i := range header {
		header[i] = strings.TrimSpace(header[i])
	}
	find := func(name string) (int, error) {
		if i := slices.Index(header, name); i >= 0 {
			return i, nil
		}
		return 0, fmt.Errorf("%s: no column %q; the nearest is %q, there are: %s", path, name, Nearest(name, header), strings.Join(header, ", "))
	}
	smiles, err := find(c.SMILES)
	if err != nil {
		return nil, err
	}
	split := -1
	if c.Split != "" {
		if split, err = find(c.Split); err != nil {
			return nil, err
		}
	}
	var columns []int
	if len(c.Labels) == 1 && c.Labels[0] == "*" {
		for i := range header {
			if i != smiles && i != split {
				columns = append(columns, i)
			}
		}
	} else {
		for _, name := range c.Labels {
			i, err := find(name)
			if err != nil {
				return nil, err
			}
			columns = append(columns, i)
		}
	}
	for _, i := range columns {
		t.Tasks = append(t.Tasks, header[i])
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, syntaxError(path, record, len(header), err)
		}
		line, _ := r.FieldPos(smiles)
		row := make([]float64, len(columns))
		for j, i := range columns {
			if row[j], err = parseLabel(record[i]); err != nil {
				line, col := r.FieldPos(i)
				return nil, fmt.Errorf("%s:%d:%d: column %q: %w", path, line, col, header[i], err)
			}
		}
		t.SMILES, t.Line, t.Labels = append(t.SMILES, strings.TrimSpace(record[smiles])), append(t.Line, line), append(t.Labels, row)
		if split >= 0 {
			part, err := parsePart(record[split])
			if err != nil {
				line, col := r.FieldPos(split)
				return nil, fmt.Errorf("%s:%d:%d: column %q: %w", path, line, col, c.Split, err)
			}
			t.Part = append(t.Part, part)
		}
	}
	if len(t.SMILES) == 0 {
		return nil, fmt.Errorf("%s: no rows", path)
	}
	return t, nil
}

// syntaxError places what the CSV reader found wrong; record is the row of a wrong number of fields.
func syntaxError(path string, record []string, want int, err error) error {
	var at *csv.ParseError
	switch {
	case errors.Is(err, csv.ErrFieldCount) && errors.As(err, &at):
		return fmt.Errorf("%s:%d:%d: %d fields where the header has %d; in CSV, put quotes around a field that holds a comma", path, at.Line, at.Column, len(record), want)
	case errors.As(err, &at):
		return fmt.Errorf("%s:%d:%d: %w", path, at.Line, at.Column, at.Err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// parseLabel reads a number; blank means missing.
func parseLabel(s string) (float64, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number; leave the field blank where the label is missing", s)
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a finite number; leave the field blank where the label is missing", s)
	}
	return v, nil
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
	base := strings.TrimSuffix(path, ".gz")
	if ext := filepath.Ext(base); ext == ".csv" || ext == ".tsv" {
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

// Row is a molecule of a file.
type Row struct {
	Line   int
	SMILES string
}
