package data

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// records reads the rows of a table one by one, the names of the columns first. A record is valid until the next.
type records interface {
	Read() ([]string, error)
	FieldPos(field int) (line, column int)
}

// ending returns what a path ends in, .gz aside.
func ending(path string) string { return filepath.Ext(strings.TrimSuffix(path, ".gz")) }

// isTable reports whether a path is that of a table.
func isTable(path string) bool {
	return slices.Contains([]string{".csv", ".tsv", ".jsonl"}, ending(path))
}

// readRecords returns the reader for a path's ending. Without a header every row has as many fields as there are names. Of a
// JSON object only the keys in use must be there.
func readRecords(path string, content []byte, c Columns) records {
	switch ending(path) {
	case ".tsv":
		return &tabbed{lines: scanLines(content), fields: len(c.Names)}
	case ".jsonl":
		return &jsonLines{lines: scanLines(content), keys: c.used()}
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, byteOrderMark)))
	r.ReuseRecord = true
	r.FieldsPerRecord = len(c.Names)
	return r
}

// maxLine is the longest line of a .smi, .tsv, .jsonl or .txt file.
const maxLine = 1 << 20

// scanLines reads content line by line.
func scanLines(content []byte) *bufio.Scanner {
	s := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(content, byteOrderMark)))
	s.Buffer(nil, maxLine)
	return s
}

// tabbed reads tab-separated rows. Quotes are ordinary text there: were they to join lines, as in CSV, a lone one (5" pipe)
// would swallow what follows.
type tabbed struct {
	lines   *bufio.Scanner
	line    int
	fields  int // of every row, 0 before the first
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
		for _, f := range record {
			r.columns = append(r.columns, at)
			at += len(f) + 1
		}
		if r.fields == 0 {
			r.fields = len(record)
		}
		if len(record) != r.fields {
			return record, placed(r.line, 1, csv.ErrFieldCount)
		}
		return record, nil
	}
	return nil, atEnd(r.lines, r.line)
}

func (r *tabbed) FieldPos(field int) (line, column int) { return r.line, r.columns[field] }

// unquoted takes the quotes off a field of a .tsv file that they surround: some programs put them around every name and value.
func unquoted(s string) string {
	if n := len(s); n >= 2 && s[0] == '"' && s[n-1] == '"' {
		return strings.ReplaceAll(s[1:n-1], `""`, `"`)
	}
	return s
}

// jsonLines reads a JSON object a line. The keys of the first are the columns. null is a blank, true and false are 1 and 0.
type jsonLines struct {
	lines   *bufio.Scanner
	line    int
	keys    []string
	header  []string
	first   []string // the record of the first object, until it is read
	columns []int    // of each field: where its key ends
}

func (r *jsonLines) Read() ([]string, error) {
	if record := r.first; record != nil {
		r.first = nil
		return record, nil
	}
	for r.lines.Scan() {
		r.line++
		if text := bytes.TrimSpace(r.lines.Bytes()); len(text) > 0 {
			return r.object(r.lines.Bytes())
		}
	}
	return nil, atEnd(r.lines, r.line)
}

// object reads one line. That of the first gives the header and is kept for the next call.
func (r *jsonLines) object(text []byte) ([]string, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	fail := func(err error) error {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the line ends within the object")
		}
		return placed(r.line, int(d.InputOffset())+1, err)
	}
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fail(errors.New("not a JSON object; each line must be one"))
	}
	names, values, at := []string{}, map[string]json.RawMessage{}, map[string]int{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, fail(err)
		}
		name := t.(string) // the decoder takes nothing else for a key
		if _, twice := values[name]; twice {
			return nil, fail(fmt.Errorf("key %q is there twice", name))
		}
		names, at[name] = append(names, name), int(d.InputOffset())+1
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, fail(err)
		}
		values[name] = v
	}
	if _, err := d.Token(); err != nil {
		return nil, fail(err)
	}
	if rest := bytes.TrimSpace(text[d.InputOffset():]); len(rest) > 0 {
		return nil, fail(errors.New("text after the object"))
	}
	top := r.header == nil
	if top {
		r.header = names
	}
	record := make([]string, len(r.header))
	r.columns = r.columns[:0]
	for i, name := range r.header {
		r.columns = append(r.columns, at[name])
		if r.keys != nil && !slices.Contains(r.keys, name) {
			continue
		}
		v, ok := values[name]
		if !ok {
			return nil, placed(r.line, 1, fmt.Errorf("no key %q; the nearest is %q, there are: %s", name, Nearest(name, names), strings.Join(names, ", ")))
		}
		var err error
		if record[i], err = scalar(v); err != nil {
			return nil, placed(r.line, at[name], fmt.Errorf("key %q: %w", name, err))
		}
	}
	if top {
		r.first = record
		return r.header, nil
	}
	return record, nil
}

func (r *jsonLines) FieldPos(field int) (line, column int) { return r.line, r.columns[field] }

// scalar is a JSON value as a table would hold it.
func scalar(v json.RawMessage) (string, error) {
	switch v[0] {
	case '"':
		var s string
		return s, json.Unmarshal(v, &s)
	case '{':
		return "", errors.New("an object is neither text nor number")
	case '[':
		return "", errors.New("a list is neither text nor number")
	case 'n':
		return "", nil
	case 't':
		return "1", nil
	case 'f':
		return "0", nil
	}
	return string(v), nil
}

// placed places an error the way encoding/csv does.
func placed(line, column int, err error) error {
	return &csv.ParseError{StartLine: line, Line: line, Column: column, Err: err}
}

// atEnd tells why there is no further line.
func atEnd(lines *bufio.Scanner, line int) error {
	if err := lines.Err(); err != nil {
		return placed(line+1, 1, err)
	}
	return io.EOF
}

// syntaxError places what a reader found wrong; record is the row of a wrong number of fields.
func syntaxError(path string, record []string, want int, err error) error {
	var at *csv.ParseError
	switch {
	case errors.Is(err, csv.ErrFieldCount) && errors.As(err, &at):
		hint := "in CSV, put quotes around a field that holds a comma"
		if ending(path) == ".tsv" {
			hint = "in TSV, no field can hold a tab"
		}
		return fmt.Errorf("%s:%d:%d: %d fields where the header has %d; %s", path, at.Line, at.Column, len(record), want, hint)
	case errors.As(err, &at):
		return fmt.Errorf("%s:%d:%d: %w", path, at.Line, at.Column, at.Err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// checkText reports the first byte of content that is no text: not UTF-8, or NUL.
func checkText(path string, content []byte) error {
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(content, []byte(mark)) {
			return fmt.Errorf("%s: UTF-16, not UTF-8; convert it, for example with iconv -f UTF-16 -t UTF-8", path)
		}
	}
	if utf8.Valid(content) && bytes.IndexByte(content, 0) < 0 {
		return nil
	}
	content = bytes.TrimPrefix(content, byteOrderMark)
	i := 0
	for i < len(content) && content[i] != 0 {
		r, size := utf8.DecodeRune(content[i:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		i += size
	}
	line, column := 1+bytes.Count(content[:i], []byte("\n")), i-bytes.LastIndexByte(content[:i], '\n')
	if content[i] == 0 {
		return fmt.Errorf("%s:%d:%d: a NUL byte; is this a text file?", path, line, column)
	}
	return fmt.Errorf("%s:%d:%d: byte %#02x is not UTF-8; convert the file, for example with iconv -f CP1252 -t UTF-8", path, line, column, content[i])
}
