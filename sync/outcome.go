package sync

import (
	"bytes"
	"errors"

	"graft/objstore"
	"graft/volume"
)

// outcome is what became of a conditional put.
type outcome string

const (
	landed  outcome = "landed"
	taken   outcome = "taken" // by another, or by an earlier put of the same bytes
	refused outcome = "refused"
	unknown outcome = "unknown" // it may land at any later time
)

// outcomeOf reads the answer of a conditional put.
func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return landed
	case errors.Is(err, objstore.ErrExist):
		return taken
	case errors.Is(err, objstore.ErrRefused):
		return refused
	}
	return unknown
}

// isOurs tells whether what the bucket has at the LSN of a pending commit is that
// commit. What is neither that nor another commit is an error.
func isOurs(pending volume.Record, found []byte) (bool, error) {
	if bytes.Equal(found, pending.Bytes) {
		return true, nil
	}
	_, _, err := decodeCommit(pending.Commit.Volume, pending.Commit.LSN, found)
	return false, err
}
