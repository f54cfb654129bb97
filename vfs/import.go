package vfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"

	"graft"
	"graft/internal/sqlitefile"
)

// importFile makes the SQLite database at path the content of an empty Graft,
// in one commit, and gives its page count. The steps:
//
//  1. Copy the file, and its WAL or rollback journal, into a folder of
//     tempDir: the source is never touched. A source that changes meanwhile
//     is an error.
//  2. Let SQLite open the copy: it replays the journal or WAL, leaves WAL mode,
//     and by VACUUM INTO brings another page size to ours and drops checksums.
//  3. Write the pages of the copy in one transaction.
func importFile(ctx context.Context, g *graft.Graft, tempDir, path string) (_ graft.PageCount, err error) {
	if n := pageCount(g); n > 0 {
		return 0, notEmptyError(g, n)
	}
	dir, err := os.MkdirTemp(tempDir, "import-*")
	if err != nil {
		return 0, fmt.Errorf("import: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	copied := filepath.Join(dir, "copied")
	if err := copyDatabase(ctx, path, copied); err != nil { // 1
		return 0, fmt.Errorf("import %s: %w", path, err)
	}
	converted, err := convert(ctx, copied, filepath.Join(dir, "converted")) // 2
	if err != nil {
		return 0, fmt.Errorf("import %s: %w", path, err)
	}
	n, err := importPages(ctx, g, converted) // 3
	if err != nil {
		return 0, fmt.Errorf("import %s: %w", path, err)
	}
	return n, nil
}

func notEmptyError(g *graft.Graft, n graft.PageCount) error {
	return fmt.Errorf("graft: tag %s has %d pages already; import into a new tag", g.Tag(), n)
}

// copyDatabase copies a database and what SQLite keeps beside it.
func copyDatabase(ctx context.Context, from, to string) error {
	suffixes := []string{"", "-wal", "-journal"}
	before, err := fingerprints(from, suffixes)
	if err != nil {
		return err
	}
	for i, suffix := range suffixes {
		if before[i].exists {
			if err := copyFile(ctx, from+suffix, to+suffix); err != nil {
				return err
			}
		}
	}
	if err := checkDatabase(to); err != nil {
		return err
	}
	after, err := fingerprints(from, suffixes)
	if err != nil {
		return err
	}
	for i := range before {
		if before[i] != after[i] {
			return fmt.Errorf("graft: %s changed while it was copied", from+suffixes[i])
		}
	}
	return nil
}

// fingerprint is what shows that a file was written.
type fingerprint struct {
	exists   bool
	size     int64
	modified time.Time
}

func fingerprints(path string, suffixes []string) ([]fingerprint, error) {
	prints := make([]fingerprint, len(suffixes))
	for i, suffix := range suffixes {
		info, err := os.Stat(path + suffix)
		switch {
		case errors.Is(err, fs.ErrNotExist) && suffix != "":
		case err != nil:
			return nil, err
		case !info.Mode().IsRegular():
			return nil, fmt.Errorf("graft: %s is not a file", path+suffix)
		default:
			prints[i] = fingerprint{true, info.Size(), info.ModTime()}
		}
	}
	return prints, nil
}

func copyFile(ctx context.Context, from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	_, err = io.Copy(dst, &contextReader{ctx, src})
	return err
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// checkDatabase refuses a file that does not begin as a database does.
func checkDatabase(path string) error {
	_, err := readHeader(path)
	return err
}

func readHeader(path string) (sqlitefile.Header, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := make(sqlitefile.Header, sqlitefile.HeaderSize)
	n, err := io.ReadFull(f, h)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return nil, errors.New("graft: the file is empty")
	case errors.Is(err, io.ErrUnexpectedEOF) || err == nil && !h.IsDatabase():
		return nil, errors.New("graft: the file is not a SQLite database")
	}
	return h, err
}

// convert brings a database of our own to the form that graft stores, in place
// or in a new file at spare, and tells which.
func convert(ctx context.Context, path, spare string) (_ string, err error) {
	name := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: "_pragma=locking_mode(exclusive)"}
	conn, err := sqlite3.OpenContext(ctx, name.String())
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	conn.SetInterrupt(ctx)
	// The read lets SQLite replay what lies beside the file, and find out
	// whether it can be read at all.
	if err := conn.Exec("PRAGMA journal_mode=delete; SELECT count(*) FROM sqlite_schema"); err != nil {
		return "", err
	}
	h, err := readHeader(path)
	if err != nil || h.PageSize() == graft.PageSize && h.Reserved() != checksumBytes {
		return path, err
	}
	if h.Reserved() == checksumBytes {
		if _, err := conn.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, 2*checksumBytes); err != nil {
			return "", err
		}
	}
	return spare, conn.Exec(fmt.Sprintf("PRAGMA page_size=%d; VACUUM INTO %s", graft.PageSize, sqlite3.Quote(spare)))
}

// importPages writes the pages of a converted database in one transaction.
func importPages(ctx context.Context, g *graft.Graft, path string) (n graft.PageCount, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	n = graft.PageCount(info.Size() / graft.PageSize)
	_, err = g.Update(ctx, func(w *graft.Writer) error {
		if n := w.PageCount(); n > 0 {
			return notEmptyError(g, n)
		}
		return copyPages(ctx, w, f, &n)
	})
	return n, err
}

// copyPages writes the n pages of f, or as many as its header says.
func copyPages(ctx context.Context, w *graft.Writer, f io.Reader, n *graft.PageCount) error {
	for p := graft.PageIdx(1); n.Has(p); p++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		page := new(graft.Page)
		if _, err := io.ReadFull(f, page[:]); err != nil {
			return fmt.Errorf("read page %d: %w", p, err)
		}
		if p == 1 {
			h := sqlitefile.Header(page[:])
			if err := checkHeader(h); err != nil {
				return err
			}
			if h.PageCountValid() {
				*n = min(*n, graft.PageCount(h.PageCount()))
			}
			h.SetPageCount(uint32(*n))
			h.SetCounter(storedCounter)
		}
		if err := w.Write(p, page); err != nil {
			return err
		}
	}
	return w.SetPageCount(*n)
}

func pageCount(g *graft.Graft) graft.PageCount {
	r := g.Reader()
	defer r.Close()
	return r.PageCount()
}
