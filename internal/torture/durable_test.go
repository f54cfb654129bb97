package torture

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"gocloud.dev/blob"

	"graft"
	"graft/internal/faultbucket"
)

// Nothing is put that a power cut could take back, although the commits are relaxed:
// the machine knows afterwards what it put, and that it has it.
func TestAPushIsDurableBeforeItIsPut(t *testing.T) {
	for name, fate := range map[string]faultbucket.Fate{"it landed": faultbucket.Unanswered, "it is late": faultbucket.Late} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ctx, cancel := context.WithCancel(background)
			bad := w.net.Line("before", func(r faultbucket.Request) faultbucket.Fate {
				if r.Op == "put" && strings.HasPrefix(r.Key, "volumes/") {
					cancel() // it is not sent again
					return fate
				}
				return faultbucket.Answered
			})
			m := &machine{w: w, name: "machine", dir: filepath.Join(w.base, "before")}
			m.start(bad)
			for id := range opID(3) {
				m.relaxed(id + 1)
			}
			if _, err := m.g.Push(ctx); err == nil || errors.Is(err, graft.ErrDiverged) {
				t.Fatalf("push: %v", err)
			}
			m.relaxed(4) // which the power cut takes, or not

			img, err := takeImage(m.dir)
			if err != nil {
				t.Fatal(err)
			}
			m.probe()
			durable, err := durableNow(m.dir, img)
			if err != nil {
				t.Fatal(err)
			}
			img.cutFrom(rand.New(rand.NewPCG(w.seed, 0)), durable+1)
			m.dir = filepath.Join(w.base, "after")
			if err := img.write(m.dir); err != nil {
				t.Fatal(err)
			}

			m.start(w.net.Line("after", func(faultbucket.Request) faultbucket.Fate { return faultbucket.Answered }))
			w.deliver(0, first)
			info, _ := m.info()
			if info.LocalHead < 3 {
				t.Errorf("the power cut left %d commits of 3 that were put", info.LocalHead)
			}
			put := w.bucket.Object(commitKey(w.bucket))
			if _, err := m.g.Push(background); err != nil {
				t.Errorf("push after the power cut: %v", err)
			}
			// Three commits are one of the remote Volume.
			if info, _ := m.info(); info.SyncPoint.Remote != info.LocalHead-2 || put == nil {
				t.Errorf("it does not know its own push: %+v", info)
			}
			err = m.g.View(func(r *graft.Reader) error {
				ids, err := compare(background, r)
				if err == nil && len(ids) < 3 {
					t.Errorf("transactions %v are left", ids)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// commitKey gives the key of the one commit in a bucket.
func commitKey(b *faultbucket.Bucket) string {
	keys := b.Keys("volumes/")
	if len(keys) != 1 {
		return ""
	}
	return keys[0]
}

// start opens the data directory of a machine that has no faults of its own.
func (m *machine) start(line *blob.Bucket) {
	m.w.t.Helper()
	db, err := graft.Open(background, m.dir, &graft.Options{Bucket: line, PageCache: 64 << 10})
	if err != nil {
		m.w.t.Fatal(err)
	}
	m.w.t.Cleanup(func() { db.Close(); line.Close() })
	m.db = db
	if m.g, err = db.Graft(background, tag(0)); err != nil {
		m.w.t.Fatal(err)
	}
}

// relaxed commits a transaction, whose commit no power cut has to leave.
func (m *machine) relaxed(id opID) {
	m.w.t.Helper()
	_, _, _, err := pageWork{}.run(background, m, id, true, func() {})
	if err != nil {
		m.w.t.Fatal(err)
	}
}
