package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// unit is what samples are measured in.
type unit string

const (
	seconds  unit = "s"
	octets   unit = "B"
	ratio    unit = "ratio"
	share    unit = "share" // of what is allowed
	requests unit = "requests"
	dollars  unit = "$"
	cores    unit = "cores" // of a processor that are in use
)

// format writes v with three digits or so.
func (u unit) format(v float64) string {
	switch u {
	case seconds:
		return scaled(v, []scale{{1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}, {1e-9, "ns"}})
	case octets:
		return scaled(v, []scale{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}, {1, "B"}})
	case dollars:
		return "$" + strconv.FormatFloat(v, 'g', 3, 64)
	case cores:
		return fmt.Sprintf("%.1f %%", 100*v)
	case share:
		return fmt.Sprintf("%.0f %%", 100*v)
	case requests:
		return strconv.FormatFloat(math.Round(100*v)/100, 'f', -1, 64)
	}
	return fmt.Sprintf("%.2f", v)
}

type scale struct {
	size float64
	name string
}

// scaled writes v in the largest of the scales, which descend, that it reaches.
func scaled(v float64, scales []scale) string {
	s := scales[len(scales)-1]
	if i := slices.IndexFunc(scales, func(s scale) bool { return math.Abs(v) >= s.size }); i >= 0 {
		s = scales[i]
	}
	v /= s.size
	digits := 2
	if math.Abs(v) >= 100 {
		digits = 0
	} else if math.Abs(v) >= 10 {
		digits = 1
	}
	return fmt.Sprintf("%.*f %s", digits, v, s.name)
}

// series is one sample for each round.
type series struct {
	Unit    unit      `json:"unit,omitempty"`
	Samples []float64 `json:"samples,omitempty"`
}

// quantile gives the sample below which the part q of the samples lies, between
// two samples by interpolation.
func (s series) quantile(q float64) float64 {
	if len(s.Samples) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s.Samples))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

func (s series) median() float64 { return s.quantile(0.5) }

// String is the median and, of more samples than one, the spread.
func (s series) String() string {
	switch len(s.Samples) {
	case 0:
		return "-"
	case 1:
		return s.Unit.format(s.Samples[0])
	}
	return fmt.Sprintf("%s (%s..%s)", s.Unit.format(s.median()), s.Unit.format(slices.Min(s.Samples)), s.Unit.format(slices.Max(s.Samples)))
}

// middle is the median alone.
func (s series) middle() string {
	if len(s.Samples) == 0 {
		return "-"
	}
	return s.Unit.format(s.median())
}

// combine computes a series from two, round by round.
func combine(u unit, a, b series, f func(a, b float64) float64) series {
	s := series{Unit: u}
	for i := range min(len(a.Samples), len(b.Samples)) {
		s.Samples = append(s.Samples, f(a.Samples[i], b.Samples[i]))
	}
	return s
}

// over is a divided by b, round by round.
func over(a, b series) series {
	return combine(ratio, a, b, func(a, b float64) float64 { return a / b })
}

// target is what a figure is held to. The zero value holds it to nothing.
type target struct {
	relation relation
	bound    float64
	unit     unit
	text     string // instead of relation and bound
}

type relation string

const (
	atLeast relation = "≥"
	atMost  relation = "≤"
	below   relation = "<"
)

func (t target) String() string {
	switch {
	case t.text != "":
		return t.text
	case t.relation == "":
		return "-"
	case t.unit == ratio:
		return fmt.Sprintf("%s %.3g", t.relation, t.bound)
	}
	return fmt.Sprintf("%s %s", t.relation, t.unit.format(t.bound))
}

func (t target) meets(v float64) bool {
	switch t.relation {
	case atLeast:
		return v >= t.bound
	case atMost:
		return v <= t.bound
	}
	return v < t.bound
}

// verdict is how a figure stands to its target.
type verdict string

const (
	met    verdict = "met"
	missed verdict = "missed"
	noisy  verdict = "too noisy to say"
	few    verdict = tooFew
	none   verdict = "-"
)

// minRounds is how many rounds it takes to tell a figure from noise: the middle half of two
// says nothing of a third.
const minRounds = 3

const tooFew = "too few rounds"

// slack is by how much the quartiles of a figure must lie on both sides of the
// target for the figure to be too noisy.
const slack = 1.05

// judge holds the median of the figures to the target. They are too noisy when
// their middle half reaches more than 5 % below the target and more than 5 %
// above it; a single round that went wrong does not make them so. Fewer than
// minRounds are not judged.
func judge(figures series, t target) verdict {
	if t.relation == "" || len(figures.Samples) == 0 {
		return none
	}
	if len(figures.Samples) < minRounds {
		return few
	}
	if figures.quantile(0.25) < t.bound/slack && figures.quantile(0.75) > t.bound*slack {
		return noisy
	}
	if t.meets(figures.median()) {
		return met
	}
	return missed
}

// fastest gives the index of the series with the lowest median.
func fastest(all []series) int {
	best := slices.MinFunc(all, func(a, b series) int { return cmp.Compare(a.median(), b.median()) })
	return slices.IndexFunc(all, func(s series) bool { return s.median() == best.median() })
}
