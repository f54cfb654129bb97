package snapshot

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"

	"graft/volume"
	"graft/volume/store"
)

func TestUnbornGraftIsStoredWithItsFirstCommit(t *testing.T) {
	g := newGraft(t)
	state := g.head.State()
	checkUnborn := func() {
		t.Helper()
		if !g.head.State().Unborn {
			t.Error("is born")
		}
		if tags, err := g.store.Tags(); len(tags) != 0 || err != nil {
			t.Errorf("tags %v, %v", tags, err)
		}
		if _, err := g.store.Graft(state.Local); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("graft: %v", err)
		}
	}
	checkUnborn()
	(content{}).check(t, g.head.Reader())
	if snap := state.Snapshot; snap.String() != "empty" || len(snap.Layers()) != 0 {
		t.Errorf("snapshot %s", snap)
	}
	if _, err := g.head.Reader().Page(context.Background(), 1); err == nil {
		t.Error("an empty graft has a page")
	}
	w := g.writer(t)
	if lsn := commit(t, w); lsn != 0 {
		t.Errorf("LSN %d of nothing", lsn)
	}
	write(t, w, 1, 2*maxStaged, 1)
	checkUnborn()
	w.Discard()
	checkUnborn()

	if lsn := g.update(t, func(w *Writer) { write(t, w, 1, 2, 1) }); lsn != 1 {
		t.Errorf("LSN %d", lsn)
	}
	if g.head.State().Unborn {
		t.Error("is not born")
	}
	if got, err := g.store.Tag("main"); got != state.Local || err != nil {
		t.Errorf("tag: %s, %v", got, err)
	}
	if got, err := g.store.Graft(state.Local); err != nil || got.Remote != state.Remote || got.SyncPoint != (volume.SyncPoint{}) || got.Pending != nil {
		t.Errorf("graft: %+v, %v", got, err)
	}
	g.reopen(t)
	if after := g.head.State(); after.Unborn || after.Local != state.Local || after.Remote != state.Remote || after.LocalHead != 1 {
		t.Errorf("opened as %+v", after)
	}
	contentOf(2, 1, 2, 1).check(t, g.head.Reader())
}

func TestLaterCommitsLeaveTheTagAlone(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 1, 1) })
	moved := volume.NewVolumeID()
	if err := g.store.Apply(store.Change{Tags: []store.Tag{{Name: "main", Graft: moved}}}); err != nil {
		t.Fatal(err)
	}
	g.update(t, func(w *Writer) { write(t, w, 1, 1, 2) })
	if got, err := g.store.Tag("main"); got != moved || err != nil {
		t.Errorf("tag: %s, %v", got, err)
	}
}

func TestSnapshotsNameTheirLayers(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 1, 1) })
	g.update(t, func(w *Writer) { write(t, w, 1, 1, 2) })
	state := g.head.State()
	if got, want := state.Snapshot.String(), state.Local.String()+"[1..2]"; got != want {
		t.Errorf("snapshot %s, want %s", got, want)
	}
	adopt(t, g)
	if got, want := g.head.State().Snapshot.String(), state.Remote.String()+"[1..1]"; got != want {
		t.Errorf("snapshot %s, want %s", got, want)
	}
	g.update(t, func(w *Writer) { write(t, w, 1, 1, 3) })
	want := state.Local.String() + "[3..3] " + state.Remote.String() + "[1..1]"
	for range 2 {
		if got := g.head.State().Snapshot.String(); got != want {
			t.Errorf("snapshot %s, want %s", got, want)
		}
		if got := g.head.State().Unpushed(); got != (volume.LSNRange{First: 3, Last: 3}) {
			t.Errorf("unpushed %s", got)
		}
		g.reopen(t)
	}
	layers := g.head.State().Snapshot.Layers()
	layers[0] = Layer{}
	if g.head.State().Snapshot.String() != want {
		t.Error("the layers are not the caller's")
	}
}

func TestOpenHeadRefusesWhatIsNotThere(t *testing.T) {
	g := newGraft(t)
	if _, err := g.heads.Open(t.Context(), volume.NewVolumeID()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown graft: %v", err)
	}
	g.update(t, func(w *Writer) { write(t, w, 1, 1, 1) })
	state := g.head.State().GraftState

	state.SyncPoint.Remote = 1
	apply(t, g, store.Change{Grafts: []volume.GraftState{state}})
	g.forget()
	if _, err := g.heads.Open(t.Context(), state.Local); !errors.Is(err, volume.ErrCorrupt) {
		t.Errorf("remote log with a gap: %v", err)
	}
	state.SyncPoint.Remote = 0
	rec, err := volume.EncodeCommit(volume.Commit{Volume: state.Local, LSN: 3})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, g, store.Change{Grafts: []volume.GraftState{state}, Commits: []volume.Record{rec}})
	if _, err := g.heads.Open(t.Context(), state.Local); !errors.Is(err, volume.ErrCorrupt) {
		t.Errorf("local log with a gap: %v", err)
	}
}

// forget lets the next Open read the store.
func (g *graft) forget() {
	g.heads.mu.Lock()
	defer g.heads.mu.Unlock()
	clear(g.heads.mu.heads)
}

func apply(t *testing.T, g *graft, c store.Change) {
	t.Helper()
	if err := g.store.Apply(c); err != nil {
		t.Fatal(err)
	}
}

// A power cut may take the newest local commits; what was pushed of them comes
// back from the remote, and their LSNs are not given again.
func TestOpenHeadGoesOnAboveTheWatermark(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 2, 1) })
	state := g.head.State().GraftState
	g.putRemote(t, 1, volume.Commit{PageCount: 4, Segments: pages(1, 4)}, 7)
	state.SyncPoint = volume.SyncPoint{Remote: 1, Local: 5}
	apply(t, g, store.Change{Grafts: []volume.GraftState{state}})

	var said bytes.Buffer
	g.forget()
	g.heads.log = slog.New(slog.NewTextHandler(&said, nil))
	head, err := g.heads.Open(t.Context(), state.Local)
	if err != nil {
		t.Fatal(err)
	}
	g.head = head
	if !bytes.Contains(said.Bytes(), []byte("level=WARN")) {
		t.Errorf("said %q", said.Bytes())
	}
	want := contentOf(4, 1, 4, 7)
	want.check(t, g.head.Reader())
	if got := g.head.State(); got.LocalHead != 5 || !got.Unpushed().IsZero() {
		t.Errorf("head %d, unpushed %s", got.LocalHead, got.Unpushed())
	}
	if lsn := g.update(t, func(w *Writer) { write(t, w, 2, 2, 8) }); lsn != 6 {
		t.Errorf("LSN %d", lsn)
	}
	g.reopen(t)
	want.set(2, 2, 8).check(t, g.head.Reader())
}
