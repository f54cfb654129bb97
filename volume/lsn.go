package volume

import (
	"fmt"
	"strconv"
)

// LSN is a log sequence number of a Volume: the first commit has 1, and each
// commit one more. Zero stands for the empty Volume before any commit.
type LSN uint64

// ParseLSN reads a decimal LSN of at least 1.
func ParseLSN(text string) (LSN, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("graft: LSN %q is not a whole number from 1", text)
	}
	return LSN(n), nil
}

func (l LSN) String() string { return strconv.FormatUint(uint64(l), 10) }

// IsZero tells whether l comes before every commit.
func (l LSN) IsZero() bool { return l == 0 }

// Next is the LSN of the commit after l.
func (l LSN) Next() LSN { return l + 1 }

// CommitKey is where commit l of Volume v lies in a bucket. The LSN stands in
// it as 16 hex digits of its complement, so that a listing in key order gives
// the newest commit first.
func CommitKey(v VolumeID, l LSN) string {
	return LogPrefix(v) + fmt.Sprintf("%016x", ^uint64(l))
}

// LogPrefix is what the keys of the commits of Volume v begin with.
func LogPrefix(v VolumeID) string { return fmt.Sprintf("volumes/%s/log/", v) }

// PinKey is the key of the object by which a fork tells that it uses Segments of
// Volume v.
func PinKey(v, fork VolumeID) string { return fmt.Sprintf("volumes/%s/pins/%s", v, fork) }

// FloorPrefix is what the keys of the floors of Volume v begin with: the LSN
// follows as in CommitKey.
func FloorPrefix(v VolumeID) string { return fmt.Sprintf("volumes/%s/floors/", v) }

// LSNRange is the commits from First to Last, both included; it is empty when
// Last is before First.
type LSNRange struct{ First, Last LSN }

// IsZero tells whether r is empty.
func (r LSNRange) IsZero() bool { return r.Last < r.First || r.Last == 0 }

// Len is the number of commits in r.
func (r LSNRange) Len() uint64 {
	if r.IsZero() {
		return 0
	}
	return uint64(r.Last-r.First) + 1
}

// String gives "first..last", or "empty".
func (r LSNRange) String() string {
	if r.IsZero() {
		return "empty"
	}
	return r.First.String() + ".." + r.Last.String()
}
