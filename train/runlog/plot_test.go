package runlog

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot"
)

// svgTexts returns the texts of a picture in order and checks that it is well-formed.
func svgTexts(t *testing.T, path string) (texts []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dec := xml.NewDecoder(bytes.NewReader(data))
	in := false
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return texts
		} else if err != nil {
			t.Fatal(err)
		}
		switch x := tok.(type) {
		case xml.StartElement:
			in = x.Name.Local == "text"
		case xml.CharData:
			if in {
				texts = append(texts, strings.TrimSpace(string(x)))
			}
		case xml.EndElement:
			in = false
		}
	}
}

func TestPlotWeights(t *testing.T) {
	names := []string{"cluster-100", "mask-atom", "contrast"}
	dir := t.TempDir()
	for _, c := range []struct {
		iterations []int
		lambda     [][]float64
		legend     []string
	}{
		{[]int{1, 2, 40}, [][]float64{{0.3, 0.3, 0.4}, {0.2, 0.4, 0.4}, {0.2, 0.1, 0.7}}, []string{"0.700  contrast", "0.200  cluster-100", "0.100  mask-atom", "0.333  uniform"}},
		{[]int{7}, [][]float64{{0.5, 0.2, 0.3}}, []string{"0.500  cluster-100", "0.300  contrast", "0.200  mask-atom", "0.333  uniform"}},
	} {
		if err := PlotWeights(dir, names, c.iterations, c.lambda); err != nil {
			t.Fatal(err)
		}
		texts := svgTexts(t, filepath.Join(dir, "lambda.svg"))
		if n := len(texts) - len(c.legend); n < 0 || !slices.Equal(texts[n:], c.legend) {
			t.Errorf("the legend is not %q: %q", c.legend, texts)
		}
		for _, label := range []string{"iteration", "weight λ", "0.0", fmt.Sprint(c.iterations[len(c.iterations)-1])} {
			if !slices.Contains(texts, label) {
				t.Errorf("no %q among %q", label, texts)
			}
		}
		f, err := os.Open(filepath.Join(dir, "lambda.png"))
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		// Every line is there in its colour, left of the legend.
		for i := range names {
			found := false
			for y := range img.Bounds().Dy() {
				for x := range img.Bounds().Dx() * 2 / 3 {
					r, g, b, _ := img.At(x, y).RGBA()
					found = found || r>>8 == uint32(palette[i].R) && g>>8 == uint32(palette[i].G) && b>>8 == uint32(palette[i].B)
				}
			}
			if !found {
				t.Errorf("%s is not drawn", names[i])
			}
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("%v, %v", files, err)
	}
}

func TestPlotRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		iterations []int
		lambda     [][]float64
	}{
		"no iteration":      {nil, nil},
		"rows":              {[]int{1, 2}, [][]float64{{0.5, 0.5}}},
		"columns":           {[]int{1}, [][]float64{{1}}},
		"undefined weights": {[]int{1, 2}, [][]float64{{0.5, 0.5}, {math.NaN(), 0.5}}},
	} {
		dir := t.TempDir()
		if err := PlotWeights(dir, []string{"a", "b"}, c.iterations, c.lambda); err == nil || !strings.HasPrefix(err.Error(), "plot of the weights: ") {
			t.Errorf("%s: %v", name, err)
		}
		if files, _ := os.ReadDir(dir); len(files) > 0 {
			t.Errorf("%s: left %v", name, files)
		}
	}
	if err := PlotWeights(filepath.Join(t.TempDir(), "none"), []string{"a"}, []int{1}, [][]float64{{1}}); err == nil {
		t.Error("drawn into a folder that is not there")
	}
}

func TestPalette(t *testing.T) {
	for i, a := range palette {
		for _, b := range palette[:i] {
			d := math.Abs(float64(a.R)-float64(b.R)) + math.Abs(float64(a.G)-float64(b.G)) + math.Abs(float64(a.B)-float64(b.B))
			if !(d >= 80) { // the two oranges of Okabe and Ito differ by 82
				t.Errorf("%v and %v differ by %g only", a, b, d)
			}
		}
	}
}

func TestTicks(t *testing.T) {
	labels := func(ts []plot.Tick) (s []string) {
		for _, x := range ts {
			s = append(s, x.Label)
		}
		return s
	}
	for _, c := range []struct {
		lo, hi, smallest float64
		want             string
	}{
		{0, 0.525, 0, "0.0 0.1 0.2 0.3 0.4 0.5"},
		{0, 0.23, 0, "0.00 0.05 0.10 0.15 0.20"},
		{0, 1.05, 0, "0.0 0.2 0.4 0.6 0.8 1.0"},
		{1, 200, 1, "20 40 60 80 100 120 140 160 180 200"},
		{0.5, 1.5, 1, "1"},
		{1, 3, 1, "1 2 3"},
		{1, 30000, 1, "5000 10000 15000 20000 25000 30000"},
	} {
		if got := strings.Join(labels(ticks(c.lo, c.hi, c.smallest)), " "); got != c.want {
			t.Errorf("[%g, %g]: %q, want %q", c.lo, c.hi, got, c.want)
		}
	}
}
