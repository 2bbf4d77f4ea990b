package data

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func TestSentences(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"  one  ", "one"},
		{"A b. C d! E? F", "A b.|C d!|E?|F"},
		{"It cost $3.50. He paid.", "It cost $3.50.|He paid."},
		{"Wait... what? No. 5 left, no. He said no. 5 left.", "Wait... what?|No. 5 left, no.|He said no. 5 left."},
		{"Wait... What", "Wait...|What"},
		{`He said "no." She left (at last!) (He stayed.) “Why?” Silence.`, `He said "no."|She left (at last!)|(He stayed.)|“Why?”|Silence.`},
		{"Dr. Smith met J. R. Jones of the U.S. Navy vs. Mr. X. They talked.", "Dr. Smith met J. R. Jones of the U.S. Navy vs. Mr. X. They talked."},
		{"So did I. Then we left, e.g. home.", "So did I.|Then we left, e.g. home."},
		{"On Jan. 3 it rained. 40 people came.", "On Jan. 3 it rained.|40 people came."},
		{"1. Introduction. 2. Methods", "1. Introduction.|2. Methods"},
		{"In 1999. Then", "In 1999.|Then"},
		{"tokenised text . Next , \" quoted . \"", "tokenised text .|Next , \" quoted . \""},
		{"Line one.\n\nÉtude two.\tThree", "Line one.|Étude two.|Three"},
		{"no capital. here", "no capital. here"},
		{"a.B c.", "a.B c."},
	} {
		if got := strings.Join(Sentences(c.text), "|"); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

// documents shows a corpus: segments of a document by /, documents by |.
func documents(c *Corpus) string {
	var docs []string
	for _, d := range c.documents() {
		docs = append(docs, strings.Join(d, "/"))
	}
	return strings.Join(docs, "|")
}

func TestReadCorpus(t *testing.T) {
	for _, c := range []struct {
		name, content string
		text          []string
		limit         int
		want          string
	}{
		{"lines.txt", "\xef\xbb\xbfa\r\n b \nc\n\n", nil, 0, "a|b|c"},
		{"docs.txt", "\n\na\nb\n \n\t\nc\n\nd\ne", nil, 0, "a/b|c|d/e"},
		{"docs.txt", "a\nb\n\nc\n\nd\ne\n", nil, 3, "a/b"},
		{"docs.txt", "a\n\nb\n\nc\n\nd\n", nil, 2, "a|c"},
		{"long.txt", "a\nb\nc\n\nd\n", nil, 2, "a/b"},
		{"t.csv", "y,text\n1,a\n2,\"b\n\nc\"\n3,\n", []string{"text"}, 0, "a|b\n\nc"},
		{"t.tsv", "p\tq\na\tb\nc\td\n", []string{"p", "q"}, 0, "a|b|c|d"},
		{"t.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"}\n", []string{"text"}, 1, "a"},
	} {
		got, err := ReadCorpus(write(t, c.name, c.content), c.text, c.limit)
		if err != nil || documents(got) != c.want {
			t.Errorf("%s %q: %v, want %q", c.name, c.content, err, c.want)
			if err == nil {
				t.Errorf("got %q", documents(got))
			}
		}
	}
	for _, c := range []struct{ name, content, want string }{
		{"e.txt", "", "empty file"},
		{"e.txt", "\n \n", "e.txt: the pretraining pool is empty"},
		{"e.txt", "a\nb\xff\n", "e.txt:2:2: byte 0xff is not UTF-8"},
		{"e.txt", "a\n" + strings.Repeat("x", maxLine+1), "e.txt:2: "},
		{"e.tsv", "text\na\n", "e.tsv: say which column holds the text with --text"},
	} {
		if _, err := ReadCorpus(write(t, c.name, c.content), nil, 0); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20q: %v, want %q", c.content, err, c.want)
		}
	}
}

// TestCorpusKeepsDocumentsApart: sentences stay in the document of their text, and joining mixes none.
func TestCorpusKeepsDocumentsApart(t *testing.T) {
	tab, err := readTable(write(t, "t.csv", "p,q,y\nOne. Two.,Three,1\nFour. Five? Six,,0\n"), Columns{Text: []string{"p", "q"}, Labels: []string{"y"}})
	if err != nil {
		t.Fatal(err)
	}
	c := tab.Corpus([]int{0, 1}).Sentences()
	if got := documents(c); got != "One./Two.|Three|Four./Five?/Six" {
		t.Error(got)
	}
	if !slices.Equal(c.Doc, []int32{0, 0, 1, 2, 2, 2}) {
		t.Error(c.Doc)
	}
	only := tab.Corpus([]int{1})
	both := only.Join(c)
	if got := documents(both); got != "Four. Five? Six|One./Two.|Three|Four./Five?/Six" {
		t.Error(got)
	}
	moved := &Corpus{Segments: both.Segments, Doc: slices.Clone(both.Doc)}
	moved.Doc[1]--
	if both.Key() == moved.Key() || both.Key() != only.Join(c).Key() {
		t.Error("the key does not follow the content")
	}
}

// TestReadTexts keeps a row for every line, so that embeddings can be put beside them.
func TestReadTexts(t *testing.T) {
	tab, err := ReadTexts(write(t, "in.txt", "a\n\n b \n"), nil)
	if err != nil || !slices.Equal(tab.Text, [][2]string{{"a"}, {""}, {" b "}}) || !slices.Equal(tab.Line, []int{1, 2, 3}) || len(tab.Notes) != 1 {
		t.Errorf("%+v %v", tab, err)
	}
	tab, err = ReadTexts(write(t, "in.csv", "y,text\n,a\nx,b\n"), []string{"text"})
	if err != nil || !slices.Equal(tab.Text, [][2]string{{"a"}, {"b"}}) || tab.Tasks != nil {
		t.Errorf("%+v %v", tab, err)
	}
}

// TestRealCorpora counts documents and sentences of plain text of three layouts.
func TestRealCorpora(t *testing.T) {
	dir := realFiles(t)
	for _, c := range []struct {
		file                           string
		documents, segments, sentences int
	}{
		{"text/abc_science.txt", 764, 15744, 17570}, {"text/wikitext-2.valid.txt", 1160, 2461, 7806}, {"tap/imdb/unsup_10000.txt.gz", 10000, 10000, 100564},
	} {
		corpus, err := ReadCorpus(filepath.Join(dir, c.file), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(len(corpus.documents()), corpus.Len(), corpus.Sentences().Len())
		if want := fmt.Sprint(c.documents, c.segments, c.sentences); got != want {
			t.Errorf("%s: %s documents, segments, sentences; want %s", c.file, got, want)
		}
	}
	p, err := Resolve("imdb", dir, Columns{})
	if err != nil || !strings.HasSuffix(p.Pool, "unsup_10000.txt.gz") {
		t.Errorf("the pool of IMDB is %q: %v", p.Pool, err)
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("text,y\na,1\n"), "f.csv")
	f.Add([]byte("text\ty\n\"a\"\tno\n"), "f.tsv")
	f.Add([]byte(`{"text":"a","y":null}`+"\n"), "f.jsonl")
	f.Fuzz(func(t *testing.T, content []byte, path string) {
		tab, err := parseTable(path, content, Columns{Text: []string{"text"}, Labels: []string{"*"}})
		if err == nil {
			err = tab.understand("")
		}
		if err != nil {
			if strings.Contains(err.Error(), "\n") && !strings.Contains(string(content), "\n") && !strings.Contains(string(content), `\`) && !strings.Contains(path, "\n") {
				t.Fatalf("an error of several lines: %v", err)
			}
			return
		}
		if len(tab.Text) != len(tab.Labels) || len(tab.Line) != len(tab.Text) || !slices.IsSorted(tab.Line) {
			t.Fatalf("%d texts, %d labels, lines %v", len(tab.Text), len(tab.Labels), tab.Line)
		}
		if len(tab.Classes) > 0 && tab.Kind != MultiClass || tab.Kind == MultiClass && len(tab.Classes) < 2 {
			t.Fatalf("a %s task of classes %q", tab.Kind, tab.Classes)
		}
		if !slices.Equal(parseAgain(t, path, content).Text, tab.Text) {
			t.Fatal("other texts at the second reading")
		}
	})
}

func parseAgain(t *testing.T, path string, content []byte) *Table {
	t.Helper()
	tab, err := parseTable(path, content, Columns{Text: []string{"text"}})
	if err != nil {
		t.Fatalf("without labels: %v", err)
	}
	return tab
}

func FuzzCorpus(f *testing.F) {
	f.Add([]byte("One. Two!\n\nThree (\"Four?\") Five\n"), "f.txt", 2)
	f.Add([]byte("text\na. B\n"), "f.csv", 0)
	f.Fuzz(func(t *testing.T, content []byte, path string, limit int) {
		c, err := parseCorpus(path, content, []string{"text"}, limit)
		if err != nil {
			return
		}
		if c.Len() == 0 || len(c.Doc) != c.Len() || c.Doc[0] != 0 || !slices.IsSorted(c.Doc) || limit > 0 && c.Len() > limit {
			t.Fatalf("%d segments of documents %v, limit %d", c.Len(), c.Doc, limit)
		}
		s := c.Sentences()
		if solid(s) != solid(c) || int(s.Doc[s.Len()-1]) != len(c.documents())-1 {
			t.Fatalf("%q became %q", documents(c), documents(s))
		}
		if again := s.Sentences(); !slices.Equal(again.Segments, s.Segments) {
			t.Fatalf("%q were cut again: %q", s.Segments, again.Segments)
		}
	})
}

// solid is a corpus without white space.
func solid(c *Corpus) string {
	return strings.Join(strings.FieldsFunc(strings.Join(c.Segments, " "), unicode.IsSpace), "")
}
