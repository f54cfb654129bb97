package sync_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"graft/internal/faultbucket"
	"graft/snapshot"
)

// operation is what a machine does over the bucket, with faults in the middle of it.
type operation struct {
	// setUp gives the machine, and what it will have when it is done.
	setUp func(t *testing.T) (*faultbucket.Bucket, *machine, []string)
	do    func(ctx context.Context, m *machine) error
}

func pushes(ctx context.Context, m *machine) error {
	_, err := m.remote.Push(ctx, m.head)
	return err
}

func pulls(ctx context.Context, m *machine) error {
	_, err := m.remote.Pull(ctx, m.head)
	return err
}

func fetches(ctx context.Context, m *machine) error {
	_, err := m.remote.Fetch(ctx, m.head)
	return err
}

func hydrates(ctx context.Context, m *machine) error {
	_, err := m.remote.Hydrate(ctx, m.head)
	return err
}

func resets(ctx context.Context, m *machine) error {
	_, err := m.remote.Reset(ctx, m.head, func(context.Context, snapshot.State) error { return nil })
	return err
}

// clones attaches m to a Graft of its own of the Volume that it has already.
func clones(ctx context.Context, m *machine) error {
	g, err := m.remote.Clone(ctx, m.head.State().Remote)
	if err == nil {
		m.attach(g.Local)
	}
	return err
}

// behind gives a machine whose remote Volume has another 100 pages, in a Segment.
func behind(t *testing.T) (*faultbucket.Bucket, *machine, []string) {
	bucket, a, b := newPair(t, "base")
	a.commit("next", many...)
	a.must(a.push())
	return bucket, b, repeat("next")
}

var operations = map[string]operation{
	"push of a Segment": {
		setUp: func(t *testing.T) (*faultbucket.Bucket, *machine, []string) {
			bucket, a, _ := newPair(t, "base")
			a.commit("next", many...)
			return bucket, a, repeat("next")
		},
		do: pushes,
	},
	"first push of a fork": {
		setUp: func(t *testing.T) (*faultbucket.Bucket, *machine, []string) {
			bucket, a, _ := newPair(t, "base")
			fork, err := a.heads.Fork(t.Context(), a.head, "fork")
			a.must(err)
			a.head = fork
			a.commit("next", 2, 3)
			return bucket, a, []string{"base", "next", "next"}
		},
		do: pushes,
	},
	"fetch and pull": {
		setUp: behind,
		do: func(ctx context.Context, m *machine) error {
			if err := fetches(ctx, m); err != nil {
				return err
			}
			return pulls(ctx, m)
		},
	},
	"pull": {setUp: behind, do: pulls},
	"reset": {
		setUp: func(t *testing.T) (*faultbucket.Bucket, *machine, []string) {
			bucket, b, want := behind(t)
			b.commit("other", 1)
			return bucket, b, want
		},
		do: resets,
	},
	"clone": {setUp: behind, do: clones},
	"pull and hydrate": {
		setUp: behind,
		do: func(ctx context.Context, m *machine) error {
			if err := pulls(ctx, m); err != nil {
				return err
			}
			return hydrates(ctx, m)
		},
	},
}

// TestEveryRequestMayFail lets request i of each operation fail, for every i: alone and
// before it happens, or after it happened, and all that follow. What is there before is
// there after, and the operation ends when the bucket is well.
func TestEveryRequestMayFail(t *testing.T) {
	for name, op := range operations {
		for _, alone := range []bool{true, false} {
			if alone && testing.Short() {
				continue
			}
			for i, struck := 0, true; struck && !t.Failed(); i++ {
				t.Run(fmt.Sprintf("%s/alone=%v/request=%d", name, alone, i), func(t *testing.T) {
					struck = op.withFault(t, alone, i)
				})
			}
		}
	}
}

// failAt lets request i from now on fail, alone or with all that follow, before it
// happens or when it has happened. It gives what tells whether one did.
func failAt(bucket *faultbucket.Bucket, i int, alone, happened bool) (struck func() bool) {
	var requests, failed atomic.Int64
	fault := func(faultbucket.Request) error {
		if n := int(requests.Add(1)) - 1; n == i || n > i && !alone {
			failed.Add(1)
			return errLost
		}
		return nil
	}
	if happened {
		bucket.Fail(nil, fault)
	} else {
		bucket.Fail(fault, nil)
	}
	return func() bool { return failed.Load() > 0 }
}

func (op operation) withFault(t *testing.T, alone bool, i int) (struck bool) {
	bucket, m, want := op.setUp(t)
	before := fmt.Sprint(m.content())
	failed := failAt(bucket, i, alone, !alone)
	err := op.do(t.Context(), m)
	struck = failed()
	if err != nil && !struck {
		t.Fatalf("nothing failed, and: %v", err)
	}
	if got, err := m.tryContent(); err == nil && fmt.Sprint(got) != before && fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("after the fault the content is %q", got)
	}
	bucket.Fail(nil, nil)
	if !alone {
		m.reopen(bucket)
	}
	m.must(op.do(t.Context(), m))
	m.wantContent(want...)
	if alone {
		return struck
	}
	replica := newMachine(t, bucket)
	replica.clone(m.head.State().Remote)
	replica.wantContent(want...)
	return struck
}

// TestEveryOperationEndsWithItsContext hangs each request of each operation, and cancels
// it: it ends, nothing is lost, and it can be done again.
func TestEveryOperationEndsWithItsContext(t *testing.T) {
	for name, op := range operations {
		for i, struck := 0, true; struck && !t.Failed(); i++ {
			t.Run(fmt.Sprintf("%s/request=%d", name, i), func(t *testing.T) { struck = op.cancelled(t, i) })
		}
	}
}

func (op operation) cancelled(t *testing.T, i int) (struck bool) {
	bucket, m, want := op.setUp(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var requests atomic.Int64
	bucket.Hang(func(context.Context, faultbucket.Request) bool {
		if int(requests.Add(1))-1 < i {
			return false
		}
		cancel()
		return true
	})
	err := op.do(ctx, m)
	if struck = ctx.Err() != nil; struck {
		m.wantError(err, context.Canceled)
	} else {
		m.must(err)
	}
	bucket.Hang(nil)
	m.must(op.do(t.Context(), m))
	m.wantContent(want...)
	return struck
}
