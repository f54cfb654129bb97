package volume

import (
	"errors"
	"strings"
)

var (
	// ErrCorrupt is returned when stored bytes are not what was written: in
	// the bucket, in the local store, or in a record that refers to them.
	ErrCorrupt = errors.New("graft: corrupt data")

	// ErrVersion is returned for a record of a format version, or with a
	// required feature, that this version of graft does not know.
	ErrVersion = errors.New("graft: unknown format version")
)

// Error carries the place of a failure. Its fields are zero where they say
// nothing.
type Error struct {
	Op     string   // what was done, as "read frame"
	Volume VolumeID // the Volume it was done to
	LSN    LSN      // and the commit
	Key    string   // the object's key in the bucket
	Err    error    // the cause
}

// Error gives the cause with its place.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("graft: ")
	b.WriteString(e.Op)
	if !e.Volume.IsZero() {
		b.WriteString(" of volume " + e.Volume.String())
	}
	if !e.LSN.IsZero() {
		b.WriteString(" at LSN " + e.LSN.String())
	}
	if e.Key != "" {
		b.WriteString(" in " + e.Key)
	}
	b.WriteString(": ")
	b.WriteString(strings.TrimPrefix(e.Err.Error(), "graft: "))
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
