package sync

import (
	"fmt"
	"testing"
)

// A Graft that fails is left alone for up to twice as long each time, by chance, up to
// a bound; one success makes it as any other.
func TestPace(t *testing.T) {
	longest := func(n int) int { return n - 1 }
	shortest := func(int) int { return 0 }
	for name, tt := range map[string]struct {
		random func(int) int
		went   string // how each sync went that was due: f failed, s did not
		want   string // the ticks between them
	}{
		"it goes well":          {longest, "ssss", "[0 0 0 0]"},
		"it goes on failing":    {longest, "ffffffffffffff", "[1 3 7 15 31 63 63 63 63 63 63 63 63 63]"},
		"by chance, at once":    {shortest, "fffff", "[0 0 0 0 0]"},
		"it recovers":           {longest, "fffsfs", "[1 3 7 0 1 0]"},
		"one failure at a time": {longest, "fsfsf", "[1 0 1 0 1]"},
	} {
		var p pace
		var pauses []int
		for _, how := range tt.went {
			if !p.due() {
				t.Fatalf("%s: not due after its pause", name)
			}
			p.done(how == 'f', tt.random)
			n := p.pause
			pauses = append(pauses, n)
			for i := range n {
				if p.due() {
					t.Errorf("%s: due after %d ticks of a pause of %d", name, i, n)
				}
			}
		}
		if got := fmt.Sprint(pauses); got != tt.want {
			t.Errorf("%s: pauses %s, want %s", name, got, tt.want)
		}
	}
}
