// Package crashfs is a test kit: a [filesys.FS] in memory that fails when told to, and that can lose its power.
//
// What a file or the directory holds is of three kinds. Synced content survives everything. What was written and not
// synced is there for readers and after [FS.Kill], the end of a process, and at the mercy of [FS.Crash], a power cut.
// What a failed Sync was to make durable is in limbo, as on Linux: still there for readers, called clean, so that no
// later Sync makes it durable, and at the mercy of a power cut for ever; only to write it again helps. Lengths set by
// Truncate and the names in the directory know no limbo: file systems that cannot write those stop altogether.
//
// As on Windows a file that is open cannot be removed, renamed or replaced. Handles and the FS from before a Kill or
// Crash give [ErrGone].
package crashfs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"graft/internal/filesys"
)

// ErrGone is returned by an FS, and by its files, after Kill or Crash.
var ErrGone = errors.New("crashfs: from before the crash")

// Op is one operation: each call of a method of filesys.FS or filesys.File, reads and Close included.
type Op struct {
	N    int    // how many operations came before
	Kind string // the method: Open, Create, Remove, Rename, List, SyncDir, ReadAt, WriteAt, Size, Truncate, Sync, Close
	Name string // of the file; of a rename, the old one
	Off  int64  // of ReadAt and WriteAt; of Truncate, the size
	Len  int    // of ReadAt and WriteAt
}

func (o Op) String() string {
	return fmt.Sprintf("%d %s %s %d+%d", o.N, o.Kind, o.Name, o.Off, o.Len)
}

// fault is an error of a hook that says more than that nothing happened.
type fault struct {
	error
	happened bool
	short    int
}

func (f fault) Unwrap() error { return f.error }

// Happened is returned by a hook to let the operation happen and then fail with err.
func Happened(err error) error { return fault{error: err, happened: true} }

// Short is returned by a hook to let a WriteAt write its first n bytes, or fewer if it has no more, and then fail with
// err. With other operations it is err.
func Short(n int, err error) error { return fault{error: err, short: n} }

// FS is a directory in memory. It is safe for concurrent use.
type FS struct {
	mu struct {
		sync.Mutex
		gone    bool
		ops     int
		hook    func(Op) error
		names   map[string]*node // as readers see it
		durable map[string]*node // as of the last SyncDir
		pending []dirOp          // since then
	}
}

// dirOp is a change of the directory: from is no longer a name, to is one of n; either may be empty.
type dirOp struct {
	from, to string
	n        *node
}

// New gives an empty directory.
func New() *FS {
	s := &FS{}
	s.mu.names = make(map[string]*node)
	s.mu.durable = make(map[string]*node)
	return s
}

// SetHook lets hook, unless nil, run before each operation, without a lock. If it returns an error the operation fails
// with it and does not happen (but Close always closes); Happened and Short say otherwise.
func (s *FS) SetHook(hook func(Op) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.hook = hook
}

// Ops gives the number of operations so far.
func (s *FS) Ops() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.ops
}

// Handles gives the number of open files.
func (s *FS) Handles() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := 0
	for _, n := range s.mu.names {
		sum += n.handles
	}
	return sum
}

// Content gives a copy of a file's content, or nil; no operation.
func (s *FS) Content(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.mu.names[name]; n != nil {
		return append([]byte{}, n.data...)
	}
	return nil
}

// SetContent makes a file with a durable content behind everybody's back, or replaces it; nil removes it.
func (s *FS) SetContent(name string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if data == nil {
		delete(s.mu.names, name)
		delete(s.mu.durable, name)
		return
	}
	n := &node{base: slices.Clone(data), data: slices.Clone(data)}
	s.mu.names[name], s.mu.durable[name] = n, n
}

// do runs an operation as the hook wants it.
func (s *FS) do(op Op, fn func() error) error {
	f := s.ask(op)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mu.gone:
		return ErrGone
	case f.error != nil && !f.happened:
		return f.error
	}
	if err := fn(); err != nil {
		return err
	}
	return f.error
}

// ask counts an operation and asks the hook for its fault.
func (s *FS) ask(op Op) (f fault) {
	s.mu.Lock()
	op.N = s.mu.ops
	s.mu.ops++
	hook := s.mu.hook
	s.mu.Unlock()
	if hook == nil {
		return fault{}
	}
	err := hook(op)
	if !errors.As(err, &f) {
		f.error = err
	}
	return f
}

// Open implements filesys.FS.
func (s *FS) Open(name string) (f filesys.File, err error) {
	err = s.do(Op{Kind: "Open", Name: name}, func() error {
		n := s.mu.names[name]
		if n == nil {
			return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		f = n.open(s, name)
		return nil
	})
	return unlessFailed(f, err)
}

// Create implements filesys.FS.
func (s *FS) Create(name string) (f filesys.File, err error) {
	err = s.do(Op{Kind: "Create", Name: name}, func() error {
		if s.mu.names[name] != nil {
			return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
		}
		n := &node{}
		s.change(dirOp{to: name, n: n})
		f = n.open(s, name)
		return nil
	})
	return unlessFailed(f, err)
}

// unlessFailed gives no handle with an error, although the operation happened.
func unlessFailed(f filesys.File, err error) (filesys.File, error) {
	if err == nil {
		return f, nil
	}
	if f != nil {
		f.(*handle).close()
	}
	return nil, err
}

// Remove implements filesys.FS.
func (s *FS) Remove(name string) error {
	return s.do(Op{Kind: "Remove", Name: name}, func() error {
		if err := s.closed("remove", name); err != nil {
			return err
		}
		s.change(dirOp{from: name})
		return nil
	})
}

// Rename implements filesys.FS.
func (s *FS) Rename(from, to string) error {
	return s.do(Op{Kind: "Rename", Name: from}, func() error {
		if err := s.closed("rename", from); err != nil {
			return err
		}
		if err := s.closed("rename to", to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		s.change(dirOp{from: from, to: to, n: s.mu.names[from]})
		return nil
	})
}

func (s *FS) closed(op, name string) error {
	n := s.mu.names[name]
	switch {
	case n == nil:
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	case n.handles > 0:
		return &fs.PathError{Op: op, Path: name, Err: errors.New("file is open")}
	}
	return nil
}

func (s *FS) change(op dirOp) {
	op.apply(s.mu.names)
	s.mu.pending = append(s.mu.pending, op)
}

func (o dirOp) apply(names map[string]*node) {
	delete(names, o.from)
	if o.n != nil {
		names[o.to] = o.n
	}
}

// List implements filesys.FS.
func (s *FS) List() (names []string, err error) {
	err = s.do(Op{Kind: "List"}, func() error {
		names = slices.Sorted(maps.Keys(s.mu.names))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}

// SyncDir implements filesys.FS. After it has failed it may be tried again.
func (s *FS) SyncDir() error {
	return s.do(Op{Kind: "SyncDir"}, func() error {
		s.mu.durable = maps.Clone(s.mu.names)
		s.mu.pending = nil
		return nil
	})
}
