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
	unknown  rank = tooFew
)

// ranked holds graft's figures to those of a peer. The ratio is graft's over the
// peer's: below 1 graft is better. They are too noisy when the middle half of the
// ratios, round by round, has both sides of 1 in it by more than the slack; a
// single round that went wrong does not make them so. And when the medians say the
// contrary of the ratios. What has fewer than minRounds in common is not ranked.
func ranked(graft, peer series) (r rank, ratio float64) {
	ratios := over(graft, peer)
	ratio = ratios.median()
	switch low, high := ratios.quantile(0.25), ratios.quantile(0.75); {
	case len(ratios.Samples) < minRounds:
		return unknown, ratio
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

// common is the comparison by the rounds that all took part in, so that a cell, its
// ratio and its mark in a plot are of the same rounds. Who took part in fewer than
// minRounds is not ranked and keeps others from nothing.
func (c comparison) common() comparison {
	standings := slices.Clone(c.Standings)
	for metric := range c.metrics() {
		rounds := math.MaxInt
		for _, s := range standings {
			if n := s.rounds(metric); n >= minRounds {
				rounds = min(rounds, n)
			}
		}
		for i, s := range standings {
			if n := s.rounds(metric); n > rounds {
				standings[i].Figures = slices.Clone(s.Figures)
				standings[i].Figures[metric].Samples = s.Figures[metric].Samples[:rounds]
			}
		}
	}
	c.Standings = standings
	return c
}

// metrics is how many there are.
func (c comparison) metrics() int {
	if len(c.Standings) == 0 {
		return 0
	}
	return len(c.Standings[0].Figures)
}

// rounds is how many samples there are of a metric.
func (s standing) rounds(metric int) int {
	if metric >= len(s.Figures) {
		return 0
	}
	return len(s.Figures[metric].Samples)
}

// loss is a metric in which peers do better than graft.
type loss struct {
	workload, metric string
	system           string // graft, on one of its engines
	graft            series
	peers            []winner // most first
}

// winner is a peer that does better, or may.
type winner struct {
	system string
	figure series
	ratio  float64 // graft's over the peer's
	why    rank    // it may do better
}

// most is by how much graft loses to the best of them.
func (l loss) most() float64 { return l.peers[0].ratio }

// losses gives what graft loses, and what cannot be said. On each of its engines it
// is held to peers: on the default one to all, on the other one to those of that engine.
func (c comparison) losses() (lost, unclear []loss) {
	c = c.common()
	for i, graft := range c.Standings {
		var peers []standing
		switch {
		case i == 0:
			peers = slices.DeleteFunc(slices.Clone(c.Standings), standing.isGraft)
		case graft.System == subjectName+onWasm2go:
			other := func(s standing) bool { return s.isGraft() || !strings.HasPrefix(s.System, wasm2goProgram) }
			peers = slices.DeleteFunc(slices.Clone(c.Standings), other)
		}
		l, u := graft.lossesTo(peers, c.Name)
		lost, unclear = append(lost, l...), append(unclear, u...)
	}
	return lost, unclear
}

// lossesTo gives what graft loses to peers in a workload, and what cannot be said.
func (s standing) lossesTo(peers []standing, workload string) (lost, unclear []loss) {
	for i, f := range s.Figures {
		var above, dim []winner
		for _, peer := range peers {
			if i >= len(peer.Figures) {
				continue
			}
			switch r, ratio := ranked(f.series, peer.Figures[i].series); r {
			case worse:
				above = append(above, winner{peer.System, peer.Figures[i].series, ratio, r})
			case unranked, unknown:
				dim = append(dim, winner{peer.System, peer.Figures[i].series, ratio, r})
			}
		}
		slices.SortStableFunc(above, func(a, b winner) int { return cmp.Compare(b.ratio, a.ratio) })
		if len(above) > 0 {
			lost = append(lost, loss{workload, f.Metric, s.System, f.series, above})
		}
		if len(dim) > 0 {
			unclear = append(unclear, loss{workload, f.Metric, s.System, f.series, dim})
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
// itself and of what cannot be compared it is "". The comparison is a common one.
func (c comparison) relative(system, metric int) string {
	graft, peer := c.Standings[0], c.Standings[system]
	if system == 0 || metric >= len(graft.Figures) || metric >= len(peer.Figures) {
		return ""
	}
	r, ratio := ranked(graft.Figures[metric].series, peer.Figures[metric].series)
	switch {
	case r == unranked || r == unknown:
		return string(r)
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
