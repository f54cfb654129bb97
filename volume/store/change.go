package store

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"graft/volume"
	"graft/volume/store/journal"
)

// MaxChangePages is the most pages that fit into one Change. Stage the others
// before.
const MaxChangePages = 256

// Tag is a name for a Graft.
type Tag struct {
	Name  string
	Graft volume.VolumeID
}

// Change is a set of writes that happen together or not at all. Its zero value
// changes nothing. Who applies a Change does not change its parts afterwards.
type Change struct {
	Tags     []Tag
	Grafts   []volume.GraftState
	Commits  []volume.Record
	Segments []volume.SegmentState
	Segment  volume.SegmentID   // where Pages belong
	Pages    []volume.PageEntry // at most MaxChangePages, in the order of their indexes
	Replaced []PageRef          // pages that newer ones take the place of, in the same order; or some of them

	DeleteTags   []string
	DeleteGrafts []volume.VolumeID // their states; what they had is swept later

	// Relaxed lets Apply return before the Change is durable: a power cut may
	// take it back, together with every later Change. The next Change that is
	// not Relaxed, or Sync, makes it durable.
	Relaxed bool
}

// commitState gives changes their order. Its lock is held while a redo record
// is written and put into the overlay, and not while it is synced.
type commitState struct{ sync.Mutex }

// Apply makes the change. When it returns nil the change is seen by every later
// read, survives the process, and is durable unless it is Relaxed. When it
// returns an error nothing of it is; but with ErrPoisoned nobody knows, until
// the store is opened again. Concurrent calls share their syncs.
func (s *Store) Apply(c Change) error {
	if err := s.apply(c); err != nil {
		return fmt.Errorf("write to the local store: %w", err)
	}
	s.notePushed(c.Segments)
	return nil
}

func (s *Store) apply(c Change) error {
	if err := s.use.acquire(); err != nil {
		return err
	}
	defer s.use.release()
	ops, err := c.encode()
	if err != nil || len(ops) == 0 {
		return err
	}
	if err := s.checkSpace(sizeOf(ops)); err != nil { // of what Badger gets, which is more than the redo record
		return err
	}
	seq, err := s.append(ops, &c)
	if err != nil {
		return err
	}
	if !c.Relaxed {
		if err := s.syncJournal(seq); err != nil {
			return err
		}
	}
	s.replaced(c.Replaced)
	return nil
}

// Prepare makes room in the redo journal for a Change of about so many bytes, which is
// synced to the disk several times, while somebody waits for what he will apply.
func (s *Store) Prepare(size int64) error {
	if err := s.use.acquire(); err != nil {
		return err
	}
	defer s.use.release()
	if err := s.checkReserve(size, writeReserve); err != nil {
		return err
	}
	return s.journalError(s.journal.Prepare(size))
}

// payloads are buffers for redo records: the journal copies them.
var payloads = sync.Pool{New: func() any { return new([]byte) }}

var (
	// errSealed tells that the bases of patches are being applied.
	errSealed = errors.New("graft: the memtable was sealed")

	// errCrowded tells that memory is full of ops that are not applied yet.
	errCrowded = errors.New("graft: too much is not applied yet")
)

// append writes the redo record of c, whose ops are given, and shows them to
// readers. It waits while the journal, or memory, is full of records that are not
// applied yet.
func (s *Store) append(ops []op, c *Change) (uint64, error) {
	buf := payloads.Get().(*[]byte)
	defer payloads.Put(buf)
	for {
		generation := s.overlay.patch(ops, c.Replaced)
		*buf = appendOps((*buf)[:0], ops)
		for i := range ops {
			ops[i].patch = nil
		}
		payload := *buf
		if max := s.journal.MaxPayload(); int64(len(payload)) > max {
			return 0, fmt.Errorf("graft: change of %d bytes is over the limit of %d", len(payload), max)
		}
		seq, err := s.appendPatched(payload, generation, ops, c)
		switch {
		case errors.Is(err, errSealed):
		case errors.Is(err, errCrowded):
			if err := s.applier.relieve(s, s.isCrowded); err != nil {
				return 0, err
			}
		case errors.Is(err, journal.ErrFull):
			if err := s.applier.applyAll(s); err != nil {
				return 0, err
			}
		default:
			return seq, s.journalError(err)
		}
	}
}

// appendPatched appends the payload of ops, whose patches hold in a generation.
func (s *Store) appendPatched(payload []byte, generation uint64, ops []op, c *Change) (uint64, error) {
	s.commit.Lock()
	defer s.commit.Unlock()
	if err := s.poison.err(); err != nil {
		return 0, err
	}
	if s.overlay.generation != generation { // changes with the lock of commit held
		return 0, errSealed
	}
	if s.isCrowded() {
		return 0, errCrowded
	}
	seq, err := s.journal.Append(payload)
	if err != nil {
		return 0, err
	}
	s.overlay.Lock()
	s.overlay.add(seq, ops)
	s.segments.drop(c.Segments) // nobody reads the new ones before
	full := s.overlay.active.bytes >= s.opts.ApplyAt
	s.overlay.Unlock()
	if full {
		s.applier.kick()
	}
	return seq, nil
}

// syncJournal waits until the redo record seq is durable.
func (s *Store) syncJournal(seq uint64) error { return s.journalError(s.journal.Sync(seq)) }

// Sync makes every Change durable that was applied so far.
func (s *Store) Sync() error {
	if err := s.use.acquire(); err != nil {
		return err
	}
	defer s.use.release()
	return s.syncSeen()
}

// journalError says what an error of the journal means for the store.
func (s *Store) journalError(err error) error {
	switch {
	case errors.Is(err, journal.ErrPoisoned):
		s.poison.set(err)
		return s.poison.err()
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

func (c *Change) encode() ([]op, error) {
	if len(c.Pages) > MaxChangePages {
		return nil, fmt.Errorf("graft: change of %d pages is over the limit of %d", len(c.Pages), MaxChangePages)
	}
	ops := make([]op, 0, len(c.Tags)+len(c.Grafts)+len(c.Commits)+len(c.Segments)+len(c.Pages))
	add := func(key, value []byte) { ops = append(ops, op{key: key, value: value}) }
	for _, t := range c.Tags {
		add(keyTag(t.Name), t.Graft[:])
	}
	for _, name := range c.DeleteTags {
		add(keyTag(name), nil)
	}
	for _, g := range c.Grafts {
		b, err := volume.EncodeGraftState(g)
		if err != nil {
			return nil, err
		}
		add(keyGraft(g.Local), b)
	}
	for _, v := range c.DeleteGrafts {
		add(keyGraft(v), nil)
	}
	var owner volume.VolumeID
	for _, r := range c.Commits {
		owner = r.Commit.Volume
		add(keyLog(owner, r.Commit.LSN), r.Bytes)
	}
	for _, seg := range c.Segments {
		b, err := volume.EncodeSegmentState(seg)
		if err != nil {
			return nil, err
		}
		add(keySegment(seg.Segment.ID), b)
	}
	for _, p := range c.Pages {
		ops = append(ops, op{key: keyPage(c.Segment, p.Idx), value: p.Page[:], owner: owner})
	}
	for _, o := range ops {
		if len(o.key) > maxKey {
			// Once it is in the journal Badger would refuse it for ever.
			return nil, fmt.Errorf("graft: key of %d bytes is over the limit of %d", len(o.key), maxKey)
		}
	}
	return ops, nil
}

// maxKey is the longest key, in bytes, that a Change may have.
const maxKey = 1024
