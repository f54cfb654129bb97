package graft

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"graft/snapshot"
	"graft/volume/store"
)

var (
	// ErrUnpushed is returned by Clone when the Graft that the Tag names has
	// commits that are not pushed, and by DeleteGraft.
	ErrUnpushed = errors.New("graft: commits are not pushed")

	// ErrTagExists is returned by what makes a Tag that is there.
	ErrTagExists = errors.New("graft: tag exists")

	// ErrNoTag is returned when there is no such Tag.
	ErrNoTag = errors.New("graft: no such tag")

	// ErrNoGraft is returned when the data directory has no such Graft.
	ErrNoGraft = errors.New("graft: no such graft")
)

// TagInfo is a Tag with what it names.
type TagInfo struct {
	Name   string
	Graft  VolumeID // local Volume, which is the key of the Graft
	Remote VolumeID
	Status Status
}

// Tags gives all Tags in the order of their names. It reads the local store
// alone.
func (d *directory) Tags(ctx context.Context) ([]TagInfo, error) {
	tags, err := d.store.Tags()
	if err != nil {
		return nil, err
	}
	infos := make([]TagInfo, 0, len(tags))
	for _, t := range tags {
		g, err := d.Graft(ctx, t.Name)
		if err != nil {
			return nil, err
		}
		info, err := g.Info()
		if err != nil {
			return nil, err
		}
		infos = append(infos, TagInfo{Name: t.Name, Graft: info.Graft, Remote: info.Remote, Status: info.Status})
	}
	return infos, nil
}

// GraftInfo is a Graft with the Tags that name it, which may be none.
type GraftInfo struct {
	Graft  VolumeID // local Volume, which is the key of the Graft
	Remote VolumeID
	Tags   []string // in their order
	Status Status
	Err    error // why it cannot be opened; DeleteGraft removes it
}

// Grafts gives all Grafts, those without a Tag too, oldest first. It reads the
// local store alone.
func (d *directory) Grafts(ctx context.Context) ([]GraftInfo, error) {
	states, err := d.store.Grafts()
	if err != nil {
		return nil, err
	}
	infos := make([]GraftInfo, 0, len(states))
	for _, state := range states {
		info := GraftInfo{Graft: state.Local, Remote: state.Remote}
		head, err := d.heads.Open(ctx, state.Local)
		switch {
		case errors.Is(err, store.ErrNotFound):
			continue // deleted since
		case err != nil:
			info.Err = err
		default:
			if info.Status, err = d.remote.Status(head); err != nil {
				return nil, err
			}
		}
		if info.Tags, err = d.tagsOf(state.Local); err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// tagsOf gives the Tags that name a Graft.
func (d *directory) tagsOf(id VolumeID) ([]string, error) {
	tags, err := d.store.Tags()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range tags {
		if t.Graft == id {
			names = append(names, t.Name)
		}
	}
	return names, nil
}

// CreateTag makes a new, empty Graft and tag to name it, at once: a Graft that
// is only written to is made by its first commit. A Tag that is there is
// ErrTagExists.
func (d *directory) CreateTag(ctx context.Context, tag string) (*Graft, error) {
	g, err := d.Graft(ctx, tag)
	if err != nil {
		return nil, err
	}
	head, unlock, err := g.lockHead(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if !head.State().Unborn {
		return nil, fmt.Errorf("create tag %q: %w", tag, ErrTagExists)
	}
	if err := head.Create(); err != nil {
		return nil, fmt.Errorf("create tag %q: %w", tag, err)
	}
	return g, nil
}

// SetTag lets tag name the Graft id, and makes the Tag if need be. It waits for
// the open Writer of the Graft that the Tag named before, which stays: Grafts
// lists it. ErrNoGraft tells that there is no Graft id.
func (d *directory) SetTag(ctx context.Context, tag string, id VolumeID) error {
	g, err := d.Graft(ctx, tag)
	if err != nil {
		return err
	}
	err = g.point(ctx, id, func(*snapshot.Head) error { return nil })
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNoGraft
	}
	if err != nil {
		return fmt.Errorf("set tag %q to graft %s: %w", tag, id, err)
	}
	return nil
}

// DeleteTag removes a Tag. The Graft that it named stays: Grafts lists it,
// SetTag names it again, and DeleteGraft removes it. It waits for the open
// Writer. ErrNoTag tells that there is no such Tag.
func (d *directory) DeleteTag(ctx context.Context, tag string) error {
	g, err := d.Graft(ctx, tag)
	if err != nil {
		return err
	}
	head, unlock, err := g.lockHeadInTurn(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if head.State().Unborn {
		return fmt.Errorf("delete tag %q: %w", tag, ErrNoTag)
	}
	if err := d.store.Apply(store.Change{DeleteTags: []string{tag}}); err != nil {
		return fmt.Errorf("delete tag %q: %w", tag, err)
	}
	g.head.Store(d.heads.New(tag))
	return nil
}

// DeleteOptions are the settings of DeleteGraft. Nil is the default.
type DeleteOptions struct {
	// Unpushed deletes commits that are not pushed, too: they are lost. It
	// deletes a Graft as well that cannot be opened.
	Unpushed bool
}

// DeleteGraft removes a Graft and all Tags that name it from this machine, in
// one step; the remote Volume stays as it is. It waits for the open Writer.
// Readers go on until they are closed. The space is given back in the
// background, except for pages that other Grafts share. ErrUnpushed tells that
// there are commits that are not pushed, ErrPending that a push has no known
// outcome; ErrNoGraft that there is no such Graft.
func (d *directory) DeleteGraft(ctx context.Context, id VolumeID, opts *DeleteOptions) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("delete graft %s: %w", id, err)
		}
	}()
	head, err := d.heads.Open(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoGraft
	}
	if err != nil && opts != nil && opts.Unpushed {
		return d.deleteBroken(ctx, id)
	}
	if err != nil {
		return err
	}
	unlockWrite, err := head.LockWrite(ctx)
	if err != nil {
		return err
	}
	defer unlockWrite()
	unlockSync, err := head.LockSync(ctx)
	if errors.Is(err, ErrDeleted) {
		return ErrNoGraft
	}
	if err != nil {
		return err
	}
	defer unlockSync()
	unlock, err := d.lockTurn(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if n := head.State().Unpushed().Len(); n > 0 && (opts == nil || !opts.Unpushed) {
		return fmt.Errorf("%w: there are %d of them", ErrUnpushed, n)
	}
	tags, err := d.tagsOf(id)
	if err != nil {
		return err
	}
	if err := d.heads.Delete(head, tags); err != nil {
		return err
	}
	d.forgetTags(tags)
	return nil
}

// deleteBroken deletes a Graft that cannot be opened.
func (d *directory) deleteBroken(ctx context.Context, id VolumeID) error {
	unlock, err := d.lockTurn(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	tags, err := d.tagsOf(id)
	if err != nil {
		return err
	}
	if err := d.store.Apply(store.Change{DeleteTags: tags, DeleteGrafts: []VolumeID{id}}); err != nil {
		return err
	}
	d.store.SweepDue()
	d.forgetTags(tags)
	return nil
}

// forgetTags lets the handles of Tags that were deleted show that.
func (d *directory) forgetTags(tags []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for tag, g := range d.mu.grafts {
		if slices.Contains(tags, tag) {
			g.head.Store(d.heads.New(tag))
		}
	}
}

// Fork makes a new Graft with the content that g has now, and tag to name it.
// The two share their pages, so that a fork takes neither space nor time for
// them, and go their own ways from then on. Commits that g has not pushed are
// in both. A Tag that is there is ErrTagExists.
func (g *Graft) Fork(ctx context.Context, tag string) (*Graft, error) {
	return g.forkHead(ctx, g.head.Load(), tag)
}

// forkHead forks the Graft of src, which the Tag of g names or has named.
func (g *Graft) forkHead(ctx context.Context, src *snapshot.Head, tag string) (*Graft, error) {
	to, err := g.dir.Graft(ctx, tag)
	if err != nil {
		return nil, err
	}
	err = to.forkOnto(ctx, func(old *snapshot.Head) (*snapshot.Head, func(), error) {
		if !old.State().Unborn {
			return nil, nil, ErrTagExists
		}
		return src, func() {}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("fork %q to %q: %w", g.tag, tag, err)
	}
	return to, nil
}

// forkOnto lets the Tag name a fork of the Graft that choose gives, until release,
// when it is told which one the Tag names.
func (g *Graft) forkOnto(ctx context.Context, choose func(old *snapshot.Head) (src *snapshot.Head, release func(), err error)) error {
	old, unlock, err := g.lockHeadInTurn(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	src, release, err := choose(old)
	if err != nil {
		return err
	}
	defer release()
	head, err := g.dir.heads.Fork(ctx, src, g.tag)
	if err != nil {
		return err
	}
	g.head.Store(head)
	return nil
}

// Reset moves the Graft to the newest commit of its remote Volume, whatever local
// commits are not pushed: these are kept in a new Graft, whose Tag it gives, or ""
// when there are none. So a divergence can be left behind and looked at later. It
// fetches no page, and waits for the open Writer. ErrPending tells that a push has
// no known outcome; nothing changed then.
func (g *Graft) Reset(ctx context.Context) (Pulled, string, error) {
	for {
		head, backup := g.head.Load(), ""
		moved, err := g.dir.remote.Reset(ctx, head, func(ctx context.Context, st snapshot.State) (err error) {
			if !st.Unpushed().IsZero() {
				backup, err = g.keepBackup(ctx, head, st)
			}
			return err
		})
		if errors.Is(err, ErrStale) {
			continue // committed to since: what was kept lacks that
		}
		if err == nil {
			g.backup.Store(nil)
		}
		return moved, backup, err
	}
}

// backup is a fork that a reset made which then failed.
type backup struct {
	tag         string
	of, fork    *snapshot.Head
	at, version uint64 // their content versions
}

// keepBackup gives the Tag of a fork of the Graft of head, which is in state st: that
// of a reset that failed, if both are still what they were then.
func (g *Graft) keepBackup(ctx context.Context, head *snapshot.Head, st snapshot.State) (string, error) {
	if b := g.backup.Load(); b != nil && b.of == head && b.at == st.Snapshot.Version() {
		named, err := g.dir.Graft(ctx, b.tag)
		if err != nil {
			return "", err
		}
		if named.head.Load() == b.fork && b.fork.State().Snapshot.Version() == b.version {
			return b.tag, nil
		}
	}
	to, err := g.backUp(ctx, head, st.LocalHead)
	if err != nil {
		return "", err
	}
	fork := to.head.Load()
	g.backup.Store(&backup{tag: to.tag, of: head, fork: fork, at: st.Snapshot.Version(), version: fork.State().Snapshot.Version()})
	return to.tag, nil
}

// backUp forks the Graft of head under a Tag that says of which local LSN it is.
func (g *Graft) backUp(ctx context.Context, head *snapshot.Head, at LSN) (to *Graft, err error) {
	for n := 1; ; n++ {
		tag := fmt.Sprintf("%s-before-reset-%d", g.tag, at)
		if n > 1 {
			tag = fmt.Sprintf("%s-%d", tag, n)
		}
		if to, err = g.forkHead(ctx, head, tag); !errors.Is(err, ErrTagExists) {
			return to, err
		}
	}
}

// Clone points the Graft's Tag at a new Graft of remote Volume v, at its newest
// commit. It fetches no page, and waits for the open Writer. A Graft with
// commits that are not pushed is not given up: that is ErrUnpushed.
func (g *Graft) Clone(ctx context.Context, v VolumeID) error {
	if !g.dir.HasRemote() {
		return ErrNoRemote
	}
	if err := g.checkPushed(g.head.Load()); err != nil {
		return fmt.Errorf("clone: %w", err) // before anything is stored
	}
	state, err := g.dir.remote.Clone(ctx, v)
	if err != nil {
		return err
	}
	if err := g.point(ctx, state.Local, g.checkPushed); err != nil {
		return fmt.Errorf("clone: %w", err)
	}
	return nil
}

// point lets the Tag name another Graft, if check allows it to leave the one
// that it names.
func (g *Graft) point(ctx context.Context, local VolumeID, check func(*snapshot.Head) error) error {
	old, unlockWriter, err := g.lockHead(ctx)
	if err != nil {
		return err
	}
	defer unlockWriter()
	if err := check(old); err != nil {
		return err
	}
	unlock, err := g.dir.lockTurn(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	head, err := g.dir.heads.Open(ctx, local)
	if err != nil {
		return err
	}
	err = g.dir.store.Apply(store.Change{Tags: []store.Tag{{Name: g.tag, Graft: local}}})
	if err != nil {
		return err
	}
	g.head.Store(head)
	return nil
}

func (g *Graft) checkPushed(head *snapshot.Head) error {
	if n := head.State().Unpushed().Len(); n > 0 {
		return fmt.Errorf("%w: tag %s has %d of them; push them, or use another tag", ErrUnpushed, g.tag, n)
	}
	return nil
}

// lockHead takes the write lock of the Head that the Tag names, whatever that
// is by then.
func (g *Graft) lockHead(ctx context.Context) (*snapshot.Head, func(), error) {
	for {
		head := g.head.Load()
		unlock, err := head.LockWrite(ctx)
		if err != nil {
			return nil, nil, err
		}
		if g.head.Load() == head {
			return head, unlock, nil
		}
		unlock()
	}
}

// lockHeadInTurn takes that lock and then the one of lockTurn.
func (g *Graft) lockHeadInTurn(ctx context.Context) (*snapshot.Head, func(), error) {
	head, unlockWriter, err := g.lockHead(ctx)
	if err != nil {
		return nil, nil, err
	}
	unlockTurn, err := g.dir.lockTurn(ctx)
	if err != nil {
		unlockWriter()
		return nil, nil, err
	}
	return head, func() { unlockTurn(); unlockWriter() }, nil
}
