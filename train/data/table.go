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

// Table is a labelled file.
type Table struct {
	Path       string
	SMILES     []string
	Line       []int       // 1-based line of each row
	Tasks      []string    // names of the label columns
	Labels     [][]float64 // [row][task], NaN = missing
	Part       []string    // the split column's value of each row, if one was asked for
	ContentKey string      // sha256 of the decompressed content
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

// nearest returns the candidate with the least edit distance to name.
func nearest(name string, candidates []string) string {
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
	return parseTable(path, content, c)
}

func parseTable(path string, content []byte, c Columns) (*Table, error) {
	t := &Table{Path: path, ContentKey: keyOf(content)}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, byteOrderMark)))
	r.ReuseRecord = true
	if base := strings.TrimSuffix(path, ".gz"); strings.HasSuffix(base, ".tsv") {
		r.Comma, r.LazyQuotes = '\t', true
	}
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
		return 0, fmt.Errorf("%s: no column %q; the nearest is %q, there are: %s", path, name, nearest(name, header), strings.Join(header, ", "))
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
			t.Part = append(t.Part, strings.ToLower(strings.TrimSpace(record[split])))
		}
	}
	if len(t.SMILES) == 0 {
		return nil, fmt.Errorf("%s: no rows", path)
	}
	for j, name := range t.Tasks {
		if !slices.ContainsFunc(t.Labels, func(row []float64) bool { return !math.IsNaN(row[j]) }) {
			return nil, fmt.Errorf("%s: every label of column %q is missing", path, name)
		}
	}
	return t, nil
}

// syntaxError places what the CSV reader found wrong; record is the row of a wrong number of fields.
func syntaxError(path string, record []string, want int, err error) error {
	var at *csv.ParseError
	switch {
	case errors.Is(err, csv.ErrFieldCount) && errors.As(err, &at):
		return fmt.Errorf("%s:%d:%d: %d fields where the header has %d; put quotes around a field that holds the separator", path, at.Line, at.Column, len(record), want)
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
	Path       string
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
	p := &Pool{Path: path, ContentKey: fmt.Sprintf("%s spread %d", keyOf(content), limit)}
	base := strings.TrimSuffix(path, ".gz")
	if ext := filepath.Ext(base); ext == ".csv" || ext == ".tsv" {
		t, err := parseTable(path, content, Columns{SMILES: smilesColumn})
		if err != nil {
			return nil, err
		}
		p.SMILES, p.Line = t.SMILES, t.Line
	} else {
		s := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(content, byteOrderMark)))
		s.Buffer(nil, 1<<20)
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
