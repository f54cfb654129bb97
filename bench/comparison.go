package main

import (
	"fmt"
	"math"
	"strings"
)

// comparison is one workload on several systems. The first of them is graft.
type comparison struct {
	Name      string     `json:"name"`
	At        float64    `json:"at,omitempty"` // of a curve: commits or megabytes
	What      string     `json:"what"`         // the systems did
	Standings []standing `json:"standings"`
	Note      string     `json:"note,omitempty"`
}

// standing is how a system did: figures of the same metrics, in the same order,
// as those of the others. Of all metrics less is better.
type standing struct {
	System  string   `json:"system"`
	Figures []figure `json:"figures,omitempty"`
	Note    string   `json:"note,omitempty"`
	Missing string   `json:"missing,omitempty"` // why there are no figures
}

// figure is one metric, with a sample for each round.
type figure struct {
	Metric string `json:"metric"`
	series
}

// rank is how one system stands to another.
type rank string

const (
	better   rank = "better"
	even     rank = "even"
	worse    rank = "worse"
	unranked rank = "too noisy to rank"
)

// ranked holds graft's figures to those of a peer. The ratio is graft's over the
// peer's: below 1 graft is better. They are too noisy when the middle half of the
// ratios, round by round, has both sides of 1 in it by more than the slack; a
// single round that went wrong does not make them so.
func ranked(graft, peer series) (r rank, ratio float64) {
	ratios := over(graft, peer)
	ratio = ratios.median()
	switch low, high := ratios.quantile(0.25), ratios.quantile(0.75); {
	case peer.median() == 0 && graft.median() == 0:
		return even, 1
	case graft.Unit == cores && max(graft.median(), peer.median()) < idleCores:
		return even, ratio
	case peer.median() == 0:
		return worse, math.Inf(1)
	case low < 1/slack && high > slack:
		return unranked, ratio
	case ratio < 1/slack:
		return better, ratio
	case ratio > slack:
		return worse, ratio
	}
	return even, ratio
}

// idleCores is so little of a processor that less is no better.
const idleCores = 0.01

// loss is a metric in which a peer does better than graft.
type loss struct {
	workload, metric, peer string
	graft, other           series
	ratio                  float64 // graft's over the peer's
	rank                   rank    // worse or unranked
}

// losses gives what graft loses, and what is too noisy to say.
func (c comparison) losses() (all []loss) {
	if len(c.Standings) == 0 {
		return nil
	}
	graft := c.Standings[0]
	for _, peer := range c.Standings[1:] {
		for i, f := range peer.Figures {
			if i >= len(graft.Figures) || peer.isGraft() {
				break
			}
			r, ratio := ranked(graft.Figures[i].series, f.series)
			if r == worse || r == unranked {
				all = append(all, loss{c.Name, f.Metric, peer.System, graft.Figures[i].series, f.series, ratio, r})
			}
		}
	}
	return all
}

// isGraft tells whether the system is graft, in whatever way.
func (s standing) isGraft() bool {
	return strings.HasPrefix(s.System, subjectName)
}

const (
	subjectName = "graft"
	onWasm2go   = ", wasm2go"
)

// line tells people who wait what came out.
func (c comparison) line(name string) string {
	s := name + ":"
	for _, standing := range c.Standings {
		s += fmt.Sprintf(" %s", standing.System)
		if standing.Missing != "" {
			s += " is missing: " + standing.Missing
		}
		for _, f := range standing.Figures {
			s += fmt.Sprintf(" %v", f.series)
		}
		s += ";"
	}
	return s
}

// relative is a median of a peer beside graft's: how many times it is. Of graft
// itself and of what cannot be compared it is "".
func (c comparison) relative(system, metric int) string {
	graft, peer := c.Standings[0], c.Standings[system]
	if system == 0 || metric >= len(graft.Figures) || metric >= len(peer.Figures) {
		return ""
	}
	r, ratio := ranked(graft.Figures[metric].series, peer.Figures[metric].series)
	switch {
	case r == unranked:
		return string(unranked)
	case math.IsInf(ratio, 0) || ratio == 0 || math.IsNaN(ratio):
		return ""
	}
	return times(1/ratio) + " ×"
}

// times writes a factor with two digits or so.
func times(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.2g", v)
}
