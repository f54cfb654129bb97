package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3/vfs/readervfs"
	"gocloud.dev/blob"

	"graft"
)

// published is a database in buckets, one for each way to read it.
type published struct {
	name       string
	network    *network // graft's, with the file
	object     string   // folder of a bucket with the file as one object
	litestream string   // folder of a bucket that Litestream replicated to; "": none
}

// fileKey is the object that is the database.
const fileKey = "social.db"

// remotePeer reads a published database.
type remotePeer struct {
	name, note string
	folder     func(p *published) string // of the bucket; "": it cannot
	// open makes a new replica in an empty directory, or whatever takes its place.
	// dir exists. stop is called, whatever the error.
	open func(ctx context.Context, at access) (db *sql.DB, stop func() error, err error)
}

// access is where and how a replica is opened.
type access struct {
	published *published
	bucket    bucket
	dir       string
	program   *lsProgram // Litestream's, already started
	served    *httptest.Server
	poll      time.Duration // 0: it does not follow
}

const (
	litestreamName = "litestream"
	readerName     = "readervfs"
	downloadName   = "download"
)

var remotePeers = []remotePeer{
	{name: subjectName, open: openGraftReplica, folder: func(p *published) string { return p.network.bucket }},
	{name: litestreamName, open: openLitestream, folder: func(p *published) string { return p.litestream },
		note: "v0.5's VFS, cgo, in a process that has started"},
	{name: readerName, open: openReader, folder: func(p *published) string { return p.object },
		note: "go-sqlite3's VFS of a reader: a ranged GET for each read"},
	{name: downloadName, open: openDownload, folder: func(p *published) string { return p.object },
		note: "the file by one GET, then from disk"},
}

func openGraftReplica(ctx context.Context, at access) (*sql.DB, func() error, error) {
	r, err := openReplica(ctx, at.dir, &graft.Options{Bucket: at.bucket.Bucket, AutoSync: at.poll})
	if err != nil {
		return nil, nothing, err
	}
	return r.sql, r.close, r.graft.Clone(ctx, at.published.network.remote)
}

func nothing() error { return nil }

func openLitestream(_ context.Context, at access) (*sql.DB, func() error, error) {
	db, err := at.program.replica(at.served.URL, cmp.Or(at.poll, time.Hour))
	if err != nil {
		return nil, nothing, err
	}
	return db, db.Close, nil
}

func openReader(ctx context.Context, at access) (*sql.DB, func() error, error) {
	name := filepath.Base(at.dir) + ".db"
	readervfs.Create(name, &rangedReader{ctx: ctx, bucket: at.bucket})
	db, err := sql.Open("sqlite3", "file:"+name+"?vfs=reader&_pragma="+common)
	if err != nil {
		return nil, nothing, err
	}
	db.SetMaxOpenConns(1)
	return db, func() error {
		defer readervfs.Delete(name)
		return db.Close()
	}, nil
}

// rangedReader reads the object by a request for each read, and one for its size.
type rangedReader struct {
	ctx    context.Context
	bucket bucket
	size   int64
}

// Size implements ioutil.SizeReaderAt.
func (r *rangedReader) Size() (int64, error) {
	if r.size == 0 {
		attrs, err := r.bucket.Attributes(r.ctx, fileKey)
		if err != nil {
			return 0, err
		}
		r.size = attrs.Size
	}
	return r.size, nil
}

// ReadAt implements io.ReaderAt.
func (r *rangedReader) ReadAt(p []byte, at int64) (n int, err error) {
	o, err := r.bucket.NewRangeReader(r.ctx, fileKey, at, int64(len(p)), nil)
	if err != nil {
		return 0, err
	}
	n, err = io.ReadFull(o, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, errors.Join(err, o.Close())
}

func openDownload(ctx context.Context, at access) (*sql.DB, func() error, error) {
	path := filepath.Join(at.dir, fileKey)
	f, err := os.Create(path)
	if err != nil {
		return nil, nothing, err
	}
	if err := errors.Join(at.bucket.Download(ctx, fileKey, f, nil), f.Close()); err != nil {
		return nil, nothing, err
	}
	db, err := sql.Open("sqlite3", "file:"+filepath.ToSlash(path)+"?_pragma="+common)
	if err != nil {
		return nil, nothing, err
	}
	db.SetMaxOpenConns(1)
	return db, db.Close, nil
}

// with prepares what is no part of a replica's cold start, and calls f.
func (p *remotePeer) with(ctx context.Context, e *env, pub *published, f func(at access) error) (err error) {
	dir, err := e.fresh("cold-" + p.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := folderBucket(p.folder(pub))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	at := access{published: pub, bucket: b, dir: dir}
	if p.name != litestreamName {
		return f(at)
	}
	at.served = serveBucket(b)
	defer at.served.Close()
	prog, err := e.program(ctx, litestreamProgram)
	if err != nil {
		return err
	}
	if at.program, err = startLitestream(ctx, prog.path); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, at.program.close()) }()
	return f(at)
}

// cold opens a replica, asks it, and measures both. want is the answer.
func (p *remotePeer) cold(ctx context.Context, e *env, pub *published, s speed, want string, ask func(*sql.DB) (string, error)) (t trial, err error) {
	err = p.with(ctx, e, pub, func(at access) error {
		var got string
		stop := nothing
		var db *sql.DB
		t, err = at.bucket.measured(s, func() (err error) {
			if db, stop, err = p.open(ctx, at); err != nil {
				return err
			}
			got, err = ask(db)
			return err
		})
		if err := errors.Join(err, stop()); err != nil {
			return err
		}
		return same(got, want)
	})
	return t, err
}

// publish makes the buckets of a social network of about size bytes.
func (e *env) publish(ctx context.Context, size int64) (*published, error) {
	return e.publishPushed(ctx, size, 1)
}

// tailTable lets Litestream see a first change.
const tailTable = "CREATE TABLE IF NOT EXISTS tail(i)"

// putFile makes a bucket of the file.
func (n *network) putFile(ctx context.Context, dir string) error {
	b, err := folderBucket(dir)
	if err != nil {
		return err
	}
	f, err := os.Open(n.file)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	err = b.Upload(ctx, fileKey, f, &blob.WriterOptions{ContentType: "application/octet-stream"})
	return errors.Join(err, f.Close(), b.Close())
}

// litestreamWriter lets Litestream replicate a copy of a file, in a temporary
// directory of working, to the bucket in a folder, while f tells it when.
func (e *env) litestreamWriter(ctx context.Context, file, working, folder string, f func(bucket, *lsProgram) error) (err error) {
	prog, err := e.program(ctx, litestreamProgram)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(working, "graft-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, fileKey)
	if err := copyFile(path, file); err != nil {
		return err
	}
	b, err := folderBucket(folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	served := serveBucket(b)
	defer served.Close()
	w, err := startLitestream(ctx, prog.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if _, err := w.do(lsCall{Op: "writer", URL: served.URL, Path: path}); err != nil {
		return err
	}
	return f(b, w)
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // it was only read
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// missing is why a peer cannot take part, or "".
func (p *remotePeer) missing(e *env, pub *published) string {
	if why := e.unwanted(p.name); why != "" {
		return why
	}
	if p.folder(pub) != "" {
		return ""
	}
	return fmt.Sprintf("it cannot be built here: %s", e.programs[litestreamProgram].why)
}
