package crashfs

import (
	"io"
	"io/fs"
)

// node is a file: what is durable and the changes since, which give data together.
type node struct {
	base    []byte
	changes []change
	data    []byte // as readers see it
	handles int
}

// change is one WriteAt or Truncate.
type change struct {
	off   int64
	data  []byte // nil for Truncate
	size  int64  // of Truncate
	state state
}

// state is what became of a change.
type state int

const (
	dirty  state = iota // no Sync since
	limbo               // the Sync since failed: it seems clean
	synced              // durable, but it stands behind one that is not
)

// apply gives content with the change.
func (c change) apply(content []byte) []byte {
	if c.data == nil {
		return resize(content, c.size)
	}
	content = resize(content, max(int64(len(content)), c.off+int64(len(c.data))))
	copy(content[c.off:], c.data)
	return content
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size:size] // so that growing again gives zeros
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

func (n *node) change(c change) {
	n.changes = append(n.changes, c)
	n.data = c.apply(n.data)
}

// sync makes durable what is dirty, or moves it to limbo.
func (n *node) sync(ok bool) {
	for i, c := range n.changes {
		switch {
		case c.state == dirty && ok:
			n.changes[i].state = synced
		case c.state == dirty && c.data != nil:
			n.changes[i].state = limbo
		}
	}
	for len(n.changes) > 0 && n.changes[0].state == synced {
		n.base = n.changes[0].apply(n.base)
		n.changes = n.changes[1:]
	}
}

func (n *node) open(s *FS, name string) *handle {
	n.handles++
	return &handle{fs: s, n: n, name: name}
}

// handle is an open file. Its fields are guarded by fs.mu.
type handle struct {
	fs     *FS
	n      *node
	name   string
	closed bool
}

// do runs an operation on an open handle.
func (h *handle) do(op Op, fn func() error) error {
	op.Name = h.name
	return h.fs.do(op, func() error {
		if h.closed {
			return h.fail(op, fs.ErrClosed)
		}
		return fn()
	})
}

func (h *handle) fail(op Op, err error) error {
	return &fs.PathError{Op: op.Kind, Path: h.name, Err: err}
}

// ReadAt implements io.ReaderAt.
func (h *handle) ReadAt(p []byte, off int64) (n int, err error) {
	op := Op{Kind: "ReadAt", Off: off, Len: len(p)}
	err = h.do(op, func() error {
		if off < 0 {
			return h.fail(op, fs.ErrInvalid)
		}
		n = copy(p, h.n.data[min(off, int64(len(h.n.data))):])
		if n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

// WriteAt implements io.WriterAt.
func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	op := Op{Kind: "WriteAt", Name: h.name, Off: off, Len: len(p)}
	f := h.fs.ask(op)
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	switch {
	case h.fs.mu.gone:
		return 0, ErrGone
	case h.closed:
		return 0, h.fail(op, fs.ErrClosed)
	case off < 0:
		return 0, h.fail(op, fs.ErrInvalid)
	case f.error != nil && !f.happened:
		p = p[:min(f.short, len(p))]
	}
	if len(p) > 0 {
		h.n.change(change{off: off, data: append([]byte{}, p...)})
	}
	return len(p), f.error
}

// Size implements filesys.File.
func (h *handle) Size() (size int64, err error) {
	err = h.do(Op{Kind: "Size"}, func() error {
		size = int64(len(h.n.data))
		return nil
	})
	return size, err
}

// Truncate implements filesys.File.
func (h *handle) Truncate(size int64) error {
	op := Op{Kind: "Truncate", Off: size}
	return h.do(op, func() error {
		if size < 0 {
			return h.fail(op, fs.ErrInvalid)
		}
		h.n.change(change{size: size})
		return nil
	})
}

// Sync implements filesys.File.
func (h *handle) Sync() error {
	op := Op{Kind: "Sync", Name: h.name}
	f := h.fs.ask(op)
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	switch {
	case h.fs.mu.gone:
		return ErrGone
	case h.closed:
		return h.fail(op, fs.ErrClosed)
	}
	h.n.sync(f.error == nil || f.happened)
	return f.error
}

// Close closes the handle, also when it fails.
func (h *handle) Close() error {
	op := Op{Kind: "Close", Name: h.name}
	f := h.fs.ask(op)
	if err := h.close(); err != nil {
		return err
	}
	return f.error
}

func (h *handle) close() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	switch {
	case h.fs.mu.gone:
		return ErrGone
	case h.closed:
		return h.fail(Op{Kind: "Close"}, fs.ErrClosed)
	}
	h.closed = true
	h.n.handles--
	return nil
}
