package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
	"gocloud.dev/blob"

	"graft"
)

var (
	bulkTarget       = target{relation: atLeast, bound: 0.8, unit: ratio}
	bulkMemoryTarget = target{relation: atMost, bound: 128 << 20, unit: octets}
)

const megabit = 1_000_000 / 8 // bytes per second

// imported is an imported database, and what it is in a bucket. It is built once
// for all workloads.
type imported struct {
	dir    string // data directory, with nothing pushed
	pages  int
	bucket string // folder of a bucket that it was pushed to
	remote graft.VolumeID
	object string // folder of a bucket with all the bytes of that in one object
	size   int64  // of that object
	clone  string // data directory of a replica, with no page
}

const objectKey = "compressed"

// importedDatabase gives the import, which is built when it is first asked for.
func (e *env) importedDatabase(ctx context.Context) (_ *imported, err error) {
	if e.imported != nil {
		return e.imported, nil
	}
	m := &imported{}
	if m.dir, err = e.build("import", func(dir string) error { return e.importFile(ctx, dir) }); err != nil {
		return nil, err
	}
	if m.bucket, err = e.build("import-bucket", func(dir string) error { return m.push(ctx, e, dir) }); err != nil {
		return nil, err
	}
	if m.object, err = e.build("import-object", func(dir string) error { return m.join(ctx, dir) }); err != nil {
		return nil, err
	}
	if m.clone, err = e.build("import-clone", func(dir string) error { return m.cloneTo(ctx, dir) }); err != nil {
		return nil, err
	}
	e.imported = m
	return m, nil
}

// importFile imports a database of SQLite's.
func (e *env) importFile(ctx context.Context, dir string) (err error) {
	s := fileSystem("delete", "full")
	source, err := e.build("large-"+s.kept, func(dir string) error { return s.setUp(ctx, dir, e.size.rows) })
	if err != nil {
		return err
	}
	r, err := openReplica(ctx, dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	_, err = r.sql.ExecContext(ctx, "PRAGMA graft_import = "+sqlite3.Quote(filepath.Join(source, "t0.db")))
	if err != nil {
		return err
	}
	return wantRows(ctx, r.sql, e.size.rows)
}

// wantRows fails unless a database has the table of so many rows.
func wantRows(ctx context.Context, db *sql.DB, rows int) error {
	got, err := ask(ctx, db, "SELECT count(*), sum(a), sum(length(b)) FROM t", 3)
	if want := fmt.Sprint(rows, " ", rows*(rows+1)/2, " ", rows*textSize); err == nil && got != want {
		err = fmt.Errorf("the table has %s, not %s", got, want)
	}
	return err
}

// push pushes a copy of the import to a bucket, and learns what there is.
func (m *imported) push(ctx context.Context, e *env, bucket string) (err error) {
	dir := filepath.Join(e.dir, "pushed")
	if err := copyDir(dir, m.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if _, err := child(ctx, job{Kind: "push", Dir: dir, Bucket: bucket}); err != nil {
		return err
	}
	db, g, err := openGraft(ctx, dir)
	if err != nil {
		return err
	}
	info, err := g.Info()
	reader := g.Reader()
	m.remote, m.pages = info.Remote, int(reader.PageCount())
	return errors.Join(err, closeReader(reader), db.Close())
}

// join puts the bytes of all objects of the bucket into one object.
func (m *imported) join(ctx context.Context, dir string) error {
	b, err := folderBucket(dir)
	if err != nil {
		return err
	}
	w, err := b.NewWriter(ctx, objectKey, &blob.WriterOptions{ContentType: "application/octet-stream"})
	if err != nil {
		return errors.Join(err, b.Close())
	}
	err = filepath.WalkDir(m.bucket, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		n, err := io.Copy(w, f)
		m.size += n
		return errors.Join(err, f.Close())
	})
	return errors.Join(err, w.Close(), b.Close())
}

// cloneTo makes a replica without pages.
func (m *imported) cloneTo(ctx context.Context, dir string) error {
	b, err := folderBucket(m.bucket)
	if err != nil {
		return err
	}
	db, g, err := openGraftWith(ctx, dir, &graft.Options{Bucket: b.Bucket})
	if err != nil {
		return errors.Join(err, b.Close())
	}
	return errors.Join(g.Clone(ctx, m.remote), db.Close(), b.Close())
}

// pushImport lets pushes and uploads alternate.
func pushImport(ctx context.Context, e *env) ([]row, error) {
	m, err := e.importedDatabase(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.checkPush(ctx, e); err != nil {
		return nil, err
	}
	return m.versus(ctx, e, "push-165MB", bulkWork{from: m.dir, graft: "push", reference: "upload"})
}

// checkPush fails unless a replica of what was pushed shows the table.
func (m *imported) checkPush(ctx context.Context, e *env) (err error) {
	dir := filepath.Join(e.dir, "checked")
	if err := copyDir(dir, m.clone); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := folderBucket(m.bucket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	r, err := openReplica(ctx, dir, &graft.Options{Bucket: b.Bucket})
	if err != nil {
		return err
	}
	return errors.Join(wantRows(ctx, r.sql, e.size.rows), r.close())
}

// hydrateImport lets hydrates and downloads alternate.
func hydrateImport(ctx context.Context, e *env) ([]row, error) {
	m, err := e.importedDatabase(ctx)
	if err != nil {
		return nil, err
	}
	return m.versus(ctx, e, "hydrate-165MB", bulkWork{from: m.clone, bucket: m.bucket, graft: "hydrate", reference: "download"})
}

// bulkWork is a job of graft's and the one that it is compared with.
type bulkWork struct {
	from             string // data directory, of which each round has a copy
	bucket           string // "": an empty one for each round
	graft, reference string // kinds of jobs; the reference is gocloud alone
}

// versus runs the two in rounds of alternating order, first on a line without a
// limit and then at 1 Gbit/s.
func (m *imported) versus(ctx context.Context, e *env, name string, w bulkWork) ([]row, error) {
	var rows []row
	for _, line := range []struct {
		name  string
		speed speed
	}{
		{name, speed{Latency: e.size.latency}},
		{name + "-1Gbit", speed{Latency: e.size.latency, Bandwidth: 1000 * megabit}},
	} {
		var times [2]series
		peaks := series{Unit: octets}
		for round := range e.rounds {
			for i := range times {
				i = (i + round) % 2
				o, err := m.bulk(ctx, e, w, i == 0, line.speed)
				if err != nil {
					return rows, err
				}
				times[i] = series{Unit: seconds, Samples: append(times[i].Samples, o.Seconds)}
				if i == 0 {
					peaks.Samples = append(peaks.Samples, float64(o.Peak))
				}
			}
		}
		rows = append(rows,
			row{Name: line.name, Graft: times[0], Reference: times[1], Against: "gocloud", Figure: over(times[1], times[0]), Target: bulkTarget,
				Note: octets.format(float64(m.size))},
			row{Name: line.name + "-memory", Graft: peaks, Figure: peaks, Target: bulkMemoryTarget})
	}
	return rows, nil
}

// bulk runs graft's job or the other one, in a process of its own.
func (m *imported) bulk(ctx context.Context, e *env, w bulkWork, subject bool, s speed) (o outcome, err error) {
	work, err := e.fresh("bulk")
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	j := job{Kind: w.reference, Dir: filepath.Join(work, "dir"), Bucket: filepath.Join(work, "bucket"), Object: m.object, Speed: s, Pages: m.pages}
	if w.bucket != "" {
		j.Bucket = w.bucket
	}
	if subject {
		j.Kind = w.graft
		if err := copyDir(j.Dir, w.from); err != nil {
			return o, err
		}
	}
	e.rest(ctx)
	return child(ctx, j)
}
