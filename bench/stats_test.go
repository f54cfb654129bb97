package main

import (
	"math"
	"testing"
)

func TestQuantile(t *testing.T) {
	for _, test := range []struct {
		samples []float64
		q, want float64
	}{
		{[]float64{7}, 0.5, 7},
		{[]float64{7}, 0.25, 7},
		{[]float64{4, 1}, 0.5, 2.5},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{3, 1, 2}, 0.25, 1.5},
		{[]float64{5, 4, 3, 2, 1}, 0.25, 2},
		{[]float64{5, 4, 3, 2, 1}, 0.75, 4},
		{[]float64{5, 4, 3, 2, 1}, 1, 5},
	} {
		if got := (series{Samples: test.samples}).quantile(test.q); got != test.want {
			t.Errorf("quantile %v of %v is %v, not %v", test.q, test.samples, got, test.want)
		}
	}
	if v := (series{}).median(); !math.IsNaN(v) {
		t.Errorf("the median of nothing is %v", v)
	}
}

func TestJudge(t *testing.T) {
	faster := target{relation: atLeast, bound: 1, unit: ratio}
	slower := target{relation: atMost, bound: 1, unit: ratio}
	under := target{relation: below, bound: 1, unit: ratio}
	nothing := target{relation: atMost, unit: requests}
	for _, test := range []struct {
		target  target
		figures []float64
		want    verdict
	}{
		{target{}, []float64{1}, none},
		{faster, nil, none},
		{faster, []float64{1}, few},
		{faster, []float64{0.5, 0.6}, few},
		{faster, []float64{1, 1, 1}, met},
		{faster, []float64{0.99, 0.99, 0.99}, missed},
		{slower, []float64{1, 1, 1}, met},
		{slower, []float64{1.01, 1.01, 1.01}, missed},
		{under, []float64{1, 1, 1}, missed},
		{under, []float64{0.99, 0.99, 0.99}, met},
		{faster, []float64{0.5, 1.1, 1.5}, noisy},
		{faster, []float64{0.97, 1.01, 1.5}, met}, // hardly below
		{faster, []float64{0.5, 0.9, 1.05}, missed},
		{faster, []float64{0.1, 1.5, 1.5, 1.6, 1.5}, met}, // one round went wrong
		{faster, []float64{0.6, 0.7, 0.8, 0.7, 3}, missed},
		{slower, []float64{0.5, 0.6, 1.2, 1.5, 1.6}, noisy},
		{nothing, []float64{0, 0, 0}, met},
		{nothing, []float64{1, 0, 1}, missed},
	} {
		if got := judge(series{Unit: ratio, Samples: test.figures}, test.target); got != test.want {
			t.Errorf("%v %v: %s, not %s", test.target, test.figures, got, test.want)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, test := range []struct {
		unit unit
		v    float64
		want string
	}{
		{seconds, 0, "0.00 ns"},
		{seconds, 12.34e-9, "12.3 ns"},
		{seconds, 4.321e-6, "4.32 µs"},
		{seconds, 0.999, "999 ms"},
		{seconds, 75, "75.0 s"},
		{octets, 12, "12.0 B"},
		{octets, 64 << 20, "64.0 MiB"},
		{octets, -3 << 20, "-3.00 MiB"},
		{octets, 1 << 31, "2.00 GiB"},
		{ratio, 0.8, "0.80"},
		{share, 0.8, "80 %"},
		{requests, 20_003, "20003"},
		{requests, 1.0512, "1.05"},
		{requests, 0, "0"},
	} {
		if got := test.unit.format(test.v); got != test.want {
			t.Errorf("%v %s is %q, not %q", test.v, test.unit, got, test.want)
		}
	}
	for want, got := range map[string]target{
		"-":          {},
		"≥ 0.8":      {relation: atLeast, bound: 0.8, unit: ratio},
		"≤ 64.0 MiB": {relation: atMost, bound: 64 << 20, unit: octets},
		"≤ 10":       {relation: atMost, bound: 10, unit: requests},
		"< 3":        {relation: below, bound: 3, unit: ratio},
		"so much":    {relation: atMost, bound: 1, unit: share, text: "so much"},
	} {
		if got.String() != want {
			t.Errorf("target %q, not %q", got, want)
		}
	}
}
