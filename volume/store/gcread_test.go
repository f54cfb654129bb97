package store

import (
	"context"
	"errors"
	"testing"

	"graft/volume"
)

// Badger removes a file of its value log, once what lives in it was written anew,
// although somebody has just found a value there.
func TestReadFindsAValueThatMoves(t *testing.T) {
	kept := volume.NewSegmentID()
	s := openNew(t)
	looks := 0
	want := pages(1, 1, 0)
	must(t, s.Stage(kept, want))
	must(t, s.Stage(volume.NewSegmentID(), pages(1, 5000, 1)))
	live := Live{Pages: NewPageRefSet()}
	live.Pages.Add(PageRef{kept, 1})
	_, err := s.Sweep(context.Background(), func(context.Context) (Live, error) { return live, nil })
	must(t, errors.Join(err, s.flushMemtables(), dbOf(s).Flatten(1)))
	s.opts.midRead = func() {
		if looks++; looks == 1 {
			must(t, s.collect())
		}
	}
	b, err := s.getBadger(keyPage(kept, 1))
	if err != nil || volume.Page(b) != *want[0].Page {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if looks < 2 {
		t.Error("the value did not move")
	}
}
