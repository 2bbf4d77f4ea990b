package runlog

import (
	"fmt"
	"image/color"
	"io"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"tapweight/model/checkpoint"
)

// palette holds colours that stay apart in print and for most colour-blind readers; dashes tell repeated ones apart.
var palette = []color.RGBA{
	{0x00, 0x72, 0xb2, 255}, {0xd5, 0x5e, 0x00, 255}, {0x00, 0x9e, 0x73, 255}, {0xcc, 0x79, 0xa7, 255}, {0xe6, 0x9f, 0x00, 255},
	{0x56, 0xb4, 0xe9, 255}, {0x7f, 0x3c, 0x8d, 255}, {0x6b, 0x6b, 0x6b, 255},
}

// PlotWeights draws each objective's weight over the iterations into lambda.svg and lambda.png.
func PlotWeights(dir string, names []string, iterations []int, lambda [][]float64) error {
	p := plot.New()
	p.Title.Text = "Weight of each pretraining objective"
	p.X.Label.Text, p.Y.Label.Text = "iteration", "λ"
	p.Y.Min = 0
	p.Add(plotter.NewGrid())
	top := 0.0
	last := 1
	for i, name := range names {
		xy := make(plotter.XYs, len(iterations))
		for t, it := range iterations {
			xy[t] = plotter.XY{X: float64(it), Y: lambda[t][i]}
			top = max(top, lambda[t][i])
			last = max(last, it)
		}
		l, err := plotter.NewLine(xy)
		if err != nil {
			return err
		}
		l.Color, l.Width = palette[i%len(palette)], vg.Points(1.8)
		if i >= len(palette) {
			l.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
		}
		p.Add(l)
		p.Legend.Add(fmt.Sprintf("%s %.3f", name, xy[len(xy)-1].Y), l)
	}
	p.X.Max = float64(last)
	// The legend stands in a band of its own above the lines.
	p.Y.Max = top * (1.1 + 0.09*float64(len(names)))
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.XOffs, p.Legend.YOffs = vg.Points(8), -vg.Points(4)
	for _, format := range []string{"svg", "png"} {
		w, err := p.WriterTo(16*vg.Centimeter, 12*vg.Centimeter, format)
		if err != nil {
			return err
		}
		err = checkpoint.AtomicWrite(filepath.Join(dir, "lambda."+format), func(out io.Writer) error {
			_, err := w.WriteTo(out)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
