package main

import (
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// plotPart draws the plots of a part, and gives their names.
func plotPart(p part, all []saved, dir string) (names []string, err error) {
	if p != growthPart {
		name := string(p) + ".svg"
		drawn, err := plotRatios(all, filepath.Join(dir, name))
		if err != nil || !drawn {
			return nil, err
		}
		return []string{name}, nil
	}
	for _, s := range all {
		for i, f := range s.Compared[0].Standings[0].Figures[:min(curves, len(s.Compared[0].Standings[0].Figures))] {
			name := strings.ReplaceAll(fmt.Sprintf("%s-%s.svg", s.Workload, f.Metric), " ", "-")
			if err := plotCurve(s, i, filepath.Join(dir, name)); err != nil {
				return names, err
			}
			names = append(names, name)
		}
	}
	return names, nil
}

// curves is how many metrics are drawn: the time and the requests.
const curves = 2

// hues are colours that the colour-blind can tell, in the order of systems.
var hues = []color.Color{
	color.RGBA{0, 0, 0, 255}, color.RGBA{230, 159, 0, 255}, color.RGBA{86, 180, 233, 255}, color.RGBA{0, 158, 115, 255},
	color.RGBA{213, 94, 0, 255}, color.RGBA{0, 114, 178, 255}, color.RGBA{204, 121, 167, 255}, color.RGBA{120, 120, 120, 255},
}

var shapes = []draw.GlyphDrawer{
	draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.PyramidGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{}, draw.CrossGlyph{}, draw.PlusGlyph{},
}

func glyph(i int) draw.GlyphStyle {
	return draw.GlyphStyle{Color: hues[i%len(hues)], Shape: shapes[(i+i/len(hues))%len(shapes)], Radius: vg.Points(4)}
}

// dots are the positions of a system's marks.
type dots struct {
	system string
	at     plotter.XYs
}

// ratioDots gives for each peer how many times graft's it is, in the first metric of
// each comparison, as the table has it: what it does not rank has no mark. The first
// comparison is the lowest line.
func ratioDots(all []comparison) (marks []dots) {
	for line, c := range all {
		c = c.common()
		graft := c.Standings[0]
		for _, s := range c.Standings[1:] {
			if len(s.Figures) == 0 || len(graft.Figures) == 0 {
				continue
			}
			r, ratio := ranked(graft.Figures[0].series, s.Figures[0].series)
			ratio = 1 / ratio
			if r == unranked || r == unknown || !(ratio > 0) || math.IsInf(ratio, 0) { // the axis is logarithmic
				continue
			}
			i := slices.IndexFunc(marks, func(d dots) bool { return d.system == s.System })
			if i < 0 {
				i = len(marks)
				marks = append(marks, dots{system: s.System})
			}
			marks[i].at = append(marks[i].at, plotter.XY{X: ratio, Y: float64(line)})
		}
	}
	return marks
}

// plotRatios draws a line for each comparison with a mark for each system.
func plotRatios(all []saved, path string) (drawn bool, err error) {
	var lines []comparison
	for _, s := range slices.Backward(all) {
		for _, c := range slices.Backward(s.Compared) {
			lines = append(lines, c)
		}
	}
	marks := ratioDots(lines)
	if len(marks) == 0 {
		return false, nil
	}
	p, legend := plot.New(), plot.NewLegend()
	p.X.Label.Text = "times graft's (right of 1: graft is better)"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: 3}
	var names []string
	for _, c := range lines {
		names = append(names, c.Name+", "+c.Standings[0].Figures[0].Metric)
	}
	p.NominalY(names...)
	p.Add(plotter.NewGrid())
	unity, err := plotter.NewLine(plotter.XYs{{X: 1, Y: -0.5}, {X: 1, Y: float64(len(lines)) - 0.5}})
	if err != nil {
		return false, err
	}
	unity.Width = vg.Points(1.5)
	p.Add(unity)
	legend.Add(subjectName, unity)
	for i, m := range marks {
		s, err := plotter.NewScatter(m.at)
		if err != nil {
			return false, err
		}
		s.GlyphStyle = glyph(i + 1)
		p.Add(s)
		legend.Add(m.system, s)
	}
	// The axis ends at powers of ten.
	p.X.Min, p.X.Max = math.Pow(10, math.Floor(math.Log10(min(p.X.Min, 0.99)))), math.Pow(10, math.Ceil(math.Log10(max(p.X.Max, 1.01))))
	return true, writePlot(p, legend, 20*vg.Centimeter, vg.Length(2+0.7*float64(max(len(lines), len(marks))))*vg.Centimeter, path)
}

// curveAxes are what grows.
var curveAxes = map[string]string{"growth-history": "commits", "growth-size": "megabytes"}

// plotCurve draws a metric of a workload over what grows.
func plotCurve(s saved, metric int, path string) error {
	p, legend := plot.New(), plot.NewLegend()
	first := s.Compared[0].Standings[0].Figures[metric]
	p.Y.Label.Text = first.Metric
	if first.Unit == seconds {
		p.Y.Label.Text += " in seconds"
	}
	p.X.Label.Text = curveAxes[s.Workload]
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: 6}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: 3}
	p.Add(plotter.NewGrid())
	for i, system := range s.Compared[0].Standings {
		var curve plotter.XYs
		for _, c := range s.Compared {
			if figures := c.common().Standings[i].Figures; metric < len(figures) && figures[metric].median() > 0 {
				curve = append(curve, plotter.XY{X: c.At, Y: figures[metric].median()})
			}
		}
		if len(curve) == 0 {
			continue
		}
		l, points, err := plotter.NewLinePoints(curve)
		if err != nil {
			return err
		}
		l.Color, points.GlyphStyle = hues[i%len(hues)], glyph(i)
		p.Add(l, points)
		legend.Add(system.System, l, points)
	}
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Min, axis.Max = math.Pow(10, math.Floor(math.Log10(axis.Min))), math.Pow(10, math.Ceil(math.Log10(axis.Max*1.01)))
	}
	return writePlot(p, legend, 14*vg.Centimeter, 9*vg.Centimeter, path)
}

// writePlot writes a plot of so much, with its legend to the right.
func writePlot(p *plot.Plot, legend plot.Legend, width, height vg.Length, path string) error {
	const right = 6.5 * vg.Centimeter
	c := vgsvg.New(width+right, height)
	all := draw.New(c)
	all.SetColor(color.White)
	all.Fill(all.Rectangle.Path())
	p.Draw(draw.Crop(all, vg.Points(5), -right, vg.Points(5), -vg.Points(10)))
	legend.Top, legend.Left, legend.Padding = true, true, vg.Points(2)
	legend.Draw(draw.Crop(all, width+vg.Points(10), 0, 0, -vg.Points(10)))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := c.WriteTo(f); err != nil {
		_ = f.Close() // the first error says it
		return err
	}
	return f.Close()
}
