package data

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// all reports whether every column without another use is a label.
func (c Columns) all() bool { return len(c.Labels) == 1 && c.Labels[0] == "*" }

// used names the columns in use; nil = all.
func (c Columns) used() []string {
	if c.all() {
		return nil
	}
	used := slices.Concat(c.Text, c.Labels, []string{c.Split, c.Group})
	if c.Modality() == Molecules {
		used = append(used, c.SMILES)
	}
	return used
}

// codes returns how the file spells the classes.
func (c Columns) codes() []string {
	if c.Codes != nil {
		return c.Codes
	}
	return c.Classes
}

// rows reads a table whose columns are found.
type rows struct {
	records
	Columns
	path   string
	header []string
	texts  [][]int // columns of the text, or of the two of a pair
	labels []int   // columns

	smiles, split, group int // columns, -1 = none
}

func newRows(path string, content []byte, c Columns) (*rows, error) {
	r := &rows{records: readRecords(path, content, c), Columns: c, path: path, header: c.Names, smiles: -1, split: -1, group: -1}
	if c.Names == nil {
		header, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: empty file", path)
		}
		if err != nil {
			return nil, syntaxError(path, nil, 0, err)
		}
		for i := range header {
			r.header = append(r.header, r.value(header, i))
		}
	}
	if n := len(c.Text); n > 2 {
		return nil, fmt.Errorf("%s: %d text columns; there is one, or the two of a pair", path, n)
	}
	use := map[int]string{}
	find := func(name, as string) (int, error) {
		i := slices.Index(r.header, name)
		if i < 0 {
			return 0, r.missing(name, as)
		}
		if was, twice := use[i]; twice {
			return 0, fmt.Errorf("%s: column %q is named as %s and as %s", path, name, was, as)
		}
		use[i] = as
		return i, nil
	}
	for k, name := range c.Text {
		i, err := find(name, [2]string{"text", "second text"}[k])
		if err != nil {
			return nil, err
		}
		r.texts = append(r.texts, []int{i})
		for j := i + 1; j < len(c.Names); j++ {
			if c.Names[j] == name {
				r.texts[k], use[j] = append(r.texts[k], j), "text"
			}
		}
	}
	for _, column := range []struct {
		name, as string
		wanted   bool
		at       *int
	}{{c.SMILES, "SMILES", c.Modality() == Molecules, &r.smiles}, {c.Split, "split", c.Split != "", &r.split}, {c.Group, "group", c.Group != "", &r.group}} {
		if !column.wanted {
			continue
		}
		var err error
		if *column.at, err = find(column.name, column.as); err != nil {
			return nil, err
		}
	}
	names := c.Labels
	if c.all() {
		names = nil
		for i := range r.header {
			if use[i] == "" {
				r.labels = append(r.labels, i)
			}
		}
	}
	for _, name := range names {
		i, err := find(name, "label")
		if err != nil {
			return nil, err
		}
		r.labels = append(r.labels, i)
	}
	if n := len(r.labels); c.Kind == MultiClass && n > 1 {
		return nil, fmt.Errorf("%s: a %s task has one label column, not %d", path, MultiClass, n)
	}
	return r, nil
}

func (r *rows) missing(name, as string) error {
	hint := ""
	if as == "SMILES" {
		hint = "; if these are texts, name their column: --text NAME"
	}
	return fmt.Errorf("%s: no column %q; the nearest is %q, there are: %s%s", r.path, name, Nearest(name, r.header), strings.Join(r.header, ", "), hint)
}

// fail places an error at a column of the record last read.
func (r *rows) fail(column int, err error) error {
	line, at := r.FieldPos(column)
	return fmt.Errorf("%s:%d:%d: column %q: %w", r.path, line, at, r.header[column], err)
}

// key is the column whose line is the row's.
func (r *rows) key() int {
	if len(r.texts) > 0 {
		return r.texts[0][0]
	}
	return r.smiles
}

// value is a field other than text.
func (r *rows) value(record []string, column int) string {
	s := strings.TrimSpace(record[column])
	if ending(r.path) == ".tsv" {
		s = strings.TrimSpace(unquoted(s))
	}
	return s
}

// text returns the text of a record, or the pair.
func (r *rows) text(record []string) (text [2]string, err error) {
	for k, columns := range r.texts {
		var pieces []string
		for _, i := range columns {
			if strings.IndexByte(record[i], 0) >= 0 { // from \u0000; checkText has seen the rest
				return text, r.fail(i, errors.New("a NUL character; is this text?"))
			}
			pieces = append(pieces, record[i])
		}
		text[k] = strings.Join(pieces, " ")
	}
	return text, nil
}

// classes returns the classes that are known before the file is read.
func (r *rows) classes() []string {
	if r.Kind == MultiClass {
		return r.Columns.Classes
	}
	return nil
}

// label returns the labels of a record, or how they are spelled if what they mean depends on the rest of the file.
func (r *rows) label(record []string) (labels []float64, spelled []spelling, err error) {
	labels = make([]float64, len(r.labels))
	for j, i := range r.labels {
		s := r.value(record, i)
		switch {
		case r.classes() != nil:
			labels[j], err = r.class(s)
		case r.Kind == MultiClass, r.Kind == "" && len(r.labels) == 1 && r.Modality() == Texts:
			_, column := r.FieldPos(i)
			spelled = append(spelled, spelling{s, column})
		default:
			labels[j], err = parseLabel(s)
		}
		if err != nil {
			return nil, nil, r.fail(i, err)
		}
	}
	return labels, spelled, nil
}

// class is the index of a known class.
func (r *rows) class(s string) (float64, error) {
	if s == "" {
		return math.NaN(), nil
	}
	k := slices.Index(r.codes(), s)
	if k < 0 {
		return 0, fmt.Errorf("%q is not one of the classes %s", s, strings.Join(r.codes(), ", "))
	}
	return float64(k), nil
}
