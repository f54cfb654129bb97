package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
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
// single round that went wrong does not make them so. And when the medians say the
// contrary of the ratios.
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
	case math.Abs(ratio-1) > slack-1 && (ratio > 1) != (graft.median() > peer.median()):
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

// loss is a metric in which peers do better than graft.
type loss struct {
	workload, metric string
	graft            series
	peers            []winner // most first
}

// winner is a peer that does better, or may.
type winner struct {
	system string
	figure series
	ratio  float64 // graft's over the peer's
}

// most is by how much graft loses to the best of them.
func (l loss) most() float64 { return l.peers[0].ratio }

// losses gives what graft loses, and what is too noisy to say.
func (c comparison) losses() (lost, unclear []loss) {
	if len(c.Standings) == 0 {
		return nil, nil
	}
	for i, f := range c.Standings[0].Figures {
		var better, noisy []winner
		for _, peer := range c.Standings[1:] {
			if i >= len(peer.Figures) || peer.isGraft() {
				continue
			}
			switch r, ratio := ranked(f.series, peer.Figures[i].series); r {
			case worse:
				better = append(better, winner{peer.System, peer.Figures[i].series, ratio})
			case unranked:
				noisy = append(noisy, winner{peer.System, peer.Figures[i].series, ratio})
			}
		}
		slices.SortStableFunc(better, func(a, b winner) int { return cmp.Compare(b.ratio, a.ratio) })
		if len(better) > 0 {
			lost = append(lost, loss{c.Name, f.Metric, f.series, better})
		}
		if len(noisy) > 0 {
			unclear = append(unclear, loss{c.Name, f.Metric, f.series, noisy})
		}
	}
	return lost, unclear
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
