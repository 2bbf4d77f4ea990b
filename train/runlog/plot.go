package runlog

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"tapweight/model/checkpoint"
)

// palette holds colours that stay apart on white: the eight of Okabe and Ito, which colour-blind readers can tell apart too,
// and four more. Dashes tell repeated ones apart.
var palette = []color.RGBA{
	{0x00, 0x72, 0xb2, 255}, {0xd5, 0x5e, 0x00, 255}, {0x00, 0x9e, 0x73, 255}, {0xcc, 0x79, 0xa7, 255},
	{0xe6, 0x9f, 0x00, 255}, {0x56, 0xb4, 0xe9, 255}, {0x00, 0x00, 0x00, 255}, {0x8a, 0xb8, 0x17, 255},
	{0x7f, 0x3c, 0x8d, 255}, {0x8c, 0x56, 0x4b, 255}, {0x9a, 0x9a, 0x9a, 255}, {0xb0, 0x10, 0x30, 255},
}

// PlotWeights draws each objective's weight over the iterations into lambda.svg and lambda.png of dir, replaced atomically.
// lambda has one row per iteration and one column per name; iterations ascend. The legend gives the last weights, the largest
// first; a dotted line shows uniform weights.
func PlotWeights(dir string, names []string, iterations []int, lambda [][]float64) error {
	if len(iterations) == 0 || len(iterations) != len(lambda) || len(names) == 0 {
		return fmt.Errorf("plot of the weights: %d objectives, %d iterations, %d rows", len(names), len(iterations), len(lambda))
	}
	p := plot.New()
	p.Title.Text = "Weights of the pretraining objectives"
	p.Title.Padding = vg.Points(8)
	p.X.Label.Text, p.Y.Label.Text = "iteration", "weight λ"
	p.X.Padding, p.Y.Padding = 0, 0
	p.X.Tick.Marker = plot.TickerFunc(func(lo, hi float64) []plot.Tick { return ticks(lo, hi, 1) })
	p.Y.Tick.Marker = plot.TickerFunc(func(lo, hi float64) []plot.Tick { return ticks(lo, hi, 0) })
	for _, s := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		s.Font.Variant = "Sans"
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{220}, color.Gray{220}
	p.Add(grid)

	first, last := float64(iterations[0]), float64(iterations[len(iterations)-1])
	if first == last {
		first, last = first-0.5, last+0.5
	}
	uniform := 1 / float64(len(names))
	level, err := plotter.NewLine(plotter.XYs{{X: first, Y: uniform}, {X: last, Y: uniform}})
	if err != nil {
		return err
	}
	level.Color, level.Dashes = color.Gray{110}, []vg.Length{vg.Points(1.5), vg.Points(2.5)}
	p.Add(level)

	lines := make([]*plotter.Line, len(names))
	top := uniform
	for i := range names {
		xy := make(plotter.XYs, len(iterations))
		for t, it := range iterations {
			if len(lambda[t]) != len(names) {
				return fmt.Errorf("plot of the weights: %d weights at iteration %d for %d objectives", len(lambda[t]), it, len(names))
			}
			xy[t] = plotter.XY{X: float64(it), Y: lambda[t][i]}
			top = max(top, xy[t].Y)
		}
		if len(xy) == 1 { // a short level line: a single point would not be seen
			xy = plotter.XYs{{X: first, Y: xy[0].Y}, {X: last, Y: xy[0].Y}}
		}
		if lines[i], err = plotter.NewLine(xy); err != nil {
			return fmt.Errorf("plot of the weights: %s: %w", names[i], err)
		}
		lines[i].Color, lines[i].Width = palette[i%len(palette)], vg.Points(1.6)
		if i >= len(palette) {
			lines[i].Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
		}
		p.Add(lines[i])
	}
	p.X.Min, p.X.Max = first, last
	p.Y.Min, p.Y.Max = 0, 1.05*top

	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	final := lambda[len(lambda)-1]
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case final[a] > final[b]:
			return -1
		case final[a] < final[b]:
			return 1
		}
		return 0
	})
	legend := plot.NewLegend()
	legend.Top, legend.Left = true, true
	legend.TextStyle.Font.Variant, legend.TextStyle.Font.Size = "Sans", vg.Points(10)
	legend.Padding = vg.Points(3)
	for _, i := range order {
		legend.Add(fmt.Sprintf("%.3f  %s", final[i], names[i]), lines[i])
	}
	legend.Add(fmt.Sprintf("%.3f  uniform", uniform), level)

	for _, format := range []string{"svg", "png"} {
		if err := savePlot(filepath.Join(dir, "lambda."+format), format, p, legend); err != nil {
			return err
		}
	}
	return nil
}

// ticks puts labels at steps of 1, 2 or 5 times a power of ten, but not less than smallest: four to ten of them.
func ticks(lo, hi, smallest float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10(hi-lo)))
	switch steps := (hi - lo) / step; {
	case steps < 2:
		step /= 5
	case steps < 5:
		step /= 2
	}
	step = max(step, smallest)
	digits := max(0, -int(math.Floor(math.Log10(step))))
	var ts []plot.Tick
	for i := math.Ceil(lo / step); i*step <= hi; i++ {
		ts = append(ts, plot.Tick{Value: i * step, Label: strconv.FormatFloat(i*step, 'f', digits, 64)})
	}
	return ts
}

// savePlot draws a plot with its legend in a column of its own to the right.
func savePlot(path, format string, p *plot.Plot, legend plot.Legend) error {
	canvas, err := draw.NewFormattedCanvas(22*vg.Centimeter, 12*vg.Centimeter, format)
	if err != nil {
		return err
	}
	page := draw.New(canvas)
	page.SetColor(color.White)
	page.Fill(page.Rectangle.Path())
	page = draw.Crop(page, vg.Points(8), -vg.Points(8), vg.Points(8), -vg.Points(8))
	column := legend.Rectangle(page).Size().X + vg.Points(4)
	p.Draw(draw.Crop(page, 0, -column-vg.Points(8), 0, 0))
	legend.Draw(draw.Crop(page, page.Size().X-column, 0, 0, -vg.Points(24)))
	return checkpoint.AtomicWrite(path, func(w io.Writer) error {
		_, err := canvas.WriteTo(w)
		return err
	})
}
