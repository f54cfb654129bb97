package faultbucket

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

var ctx = context.Background()

// world is a bucket with a line on which the next request has a fate.
type world struct {
	t    *testing.T
	b    *Bucket
	n    *Network
	line *blob.Bucket
	next Fate
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, b: New()}
	w.n = NewNetwork(w.b)
	w.line = w.n.Line("a", func(Request) Fate { return w.next })
	t.Cleanup(func() { w.line.Close() })
	return w
}

// put puts text at key if absent, and wants the code.
func (w *world) put(fate Fate, key, text string, want gcerrors.ErrorCode) {
	w.t.Helper()
	w.next = fate
	err := w.line.WriteAll(ctx, key, []byte(text), &blob.WriterOptions{IfNotExist: true})
	if got := gcerrors.Code(err); got != want {
		w.t.Fatalf("put of fate %d: %v, want %v", fate, err, want)
	}
}

// has wants an object, or none when want is empty.
func (w *world) has(key, want string) {
	w.t.Helper()
	if got := string(w.b.Object(key)); got != want {
		w.t.Fatalf("object %s is %q, want %q", key, got, want)
	}
}

func TestFatesOfPuts(t *testing.T) {
	for fate, want := range map[Fate]struct {
		code gcerrors.ErrorCode
		text string
	}{
		Answered:   {gcerrors.OK, "x"},
		Lost:       {gcerrors.Unknown, ""},
		Unanswered: {gcerrors.Unknown, "x"},
		Late:       {gcerrors.Unknown, ""},
		Twice:      {gcerrors.FailedPrecondition, "x"},
		Torn:       {gcerrors.Unknown, "x"},
	} {
		w := newWorld(t)
		w.put(fate, "k", "x", want.code)
		w.has("k", want.text)
		landed := w.n.Landed("k")
		if (len(landed) == 1) != (want.text != "") {
			t.Errorf("fate %d: landed %v", fate, landed)
		}
		if len(landed) == 1 && (landed[0] != Landing{"a", "k", sha256.Sum256([]byte("x"))}) {
			t.Errorf("fate %d: landed %v", fate, landed)
		}
	}
}

func TestALatePutKeepsItsCondition(t *testing.T) {
	w := newWorld(t)
	w.put(Late, "k", "late", gcerrors.Unknown)
	w.put(Late, "other", "late", gcerrors.Unknown)
	w.put(Answered, "k", "first", gcerrors.OK)
	for want := 2; want > 0; want-- {
		if n := w.n.Held(); n != want {
			t.Fatalf("%d puts are held, want %d", n, want)
		}
		w.n.Deliver(func(held int) int { return held - 1 })
	}
	w.n.Deliver(func(int) int { t.Error("asked for one of none"); return 0 })
	w.has("k", "first")
	w.has("other", "late")
	if landed := w.n.Landed(""); len(landed) != 2 || landed[1].Key != "other" {
		t.Errorf("landed %v", landed)
	}
}

func TestALatePutOutlivesItsContextAndItsLine(t *testing.T) {
	w := newWorld(t)
	line := w.n.Line("b", func(Request) Fate { return Late })
	ctx, cancel := context.WithCancel(ctx)
	if err := line.WriteAll(ctx, "k", []byte("late"), nil); gcerrors.Code(err) != gcerrors.Unknown {
		t.Fatal(err)
	}
	cancel()
	if err := line.Close(); err != nil {
		t.Fatal(err)
	}
	w.n.Deliver(func(int) int { return 0 })
	w.has("k", "late")
}

func TestAPutThatWasCancelledBeforeIsNotSent(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(ctx)
	out, err := w.line.NewWriter(ctx, "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := out.Close(); err == nil {
		t.Error("it was sent")
	}
	w.has("k", "")
}

func TestFatesOfOtherRequests(t *testing.T) {
	w := newWorld(t)
	requests := map[string]func() error{
		"get":    func() error { _, err := w.line.ReadAll(ctx, "k"); return err },
		"head":   func() error { _, err := w.line.Attributes(ctx, "k"); return err },
		"list":   func() error { _, err := w.line.List(nil).Next(ctx); return err },
		"delete": func() error { return w.line.Delete(ctx, "k") },
	}
	for name, request := range requests {
		for _, fate := range []Fate{Lost, Unanswered, Late, Torn} {
			w.b.SetObject("k", []byte("0123456789"))
			w.next = fate
			if err := request(); err == nil || gcerrors.Code(err) == gcerrors.NotFound {
				t.Errorf("%s of fate %d: %v", name, fate, err)
			}
			happened := name != "delete" || fate == Lost || fate == Late
			if got := w.b.Object("k") != nil; got != happened {
				t.Errorf("%s of fate %d: object is there: %v", name, fate, got)
			}
		}
		w.b.SetObject("k", []byte("0123456789"))
		w.next = Answered
		if err := request(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := w.n.Deleted(""); !slices.Equal(got, []string{"k", "k", "k"}) {
		t.Errorf("deleted %q", got)
	}
}

func TestATornGetGivesHalf(t *testing.T) {
	w := newWorld(t)
	w.b.SetObject("k", []byte("0123456789"))
	w.next = Torn
	r, err := w.line.NewReader(ctx, "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := make([]byte, 20)
	n, err := r.Read(b)
	if string(b[:n]) != "01234" || err != nil {
		t.Fatalf("read %q, %v", b[:n], err)
	}
	if _, err := r.Read(b); !errors.Is(err, ErrReset) {
		t.Errorf("then %v", err)
	}
}
