package meter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// ErrBudget is returned when reading a page takes a request that the budget of the
// statement has no room for. That request was not made.
var ErrBudget = errors.New("graft: budget is spent")

// Budget bounds what a statement may take of the bucket. Zero is no bound.
type Budget struct {
	Requests int64
	Bytes    int64 // read
	None     bool  // no request at all
}

// IsZero tells whether b bounds nothing.
func (b Budget) IsZero() bool { return b == Budget{} }

// ParseBudget reads a number of bytes, as 10MB, or of requests, as 20requests.
func ParseBudget(text string) (Budget, error) {
	if digits, ok := strings.CutSuffix(text, "requests"); ok {
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 1 {
			return Budget{}, fmt.Errorf("%q is not a number of requests", text)
		}
		return Budget{Requests: n}, nil
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > 1<<50 {
		return Budget{}, fmt.Errorf("%q is not a size", text)
	}
	return Budget{Bytes: int64(n)}, nil
}

// String gives the form that ParseBudget reads, of one bound; or "".
func (b Budget) String() string {
	switch {
	case b.Requests > 0:
		return strconv.FormatInt(b.Requests, 10) + "requests"
	case b.Bytes > 0:
		return strconv.FormatInt(b.Bytes, 10) + "B"
	}
	return ""
}

// speculative is what of b is for requests that nobody has asked for yet: half of
// it, so that the rest is left for what is asked for.
func (b Budget) speculative() Budget {
	return Budget{Requests: b.Requests / 2, Bytes: b.Bytes / 2, None: b.None || b.Requests == 1 || b.Bytes == 1}
}

// check tells whether there is room for so much more.
func (b Budget) check(spentRequests, spentBytes, requests, bytes int64) error {
	if b.None {
		return fmt.Errorf("%w: no request is to be made", ErrBudget)
	}
	overRequests := b.Requests > 0 && spentRequests+requests > b.Requests
	overBytes := b.Bytes > 0 && (spentBytes >= b.Bytes || bytes > b.Bytes-spentBytes)
	if !overRequests && !overBytes {
		return nil
	}
	return fmt.Errorf("%w: budget=%s for each statement, of which %d requests and %d bytes are spent, has no room for the next %d bytes; "+
		"read fewer pages (an index, a LIMIT), raise budget, or run PRAGMA graft_hydrate first", ErrBudget, b, spentRequests, spentBytes, bytes)
}
