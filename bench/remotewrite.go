package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gocloud.dev/blob"
)

// changeUser is the one-row transaction that is pushed.
const (
	changeUser = "UPDATE users SET bio = ? WHERE id = 77"
	askUser    = "SELECT bio FROM users WHERE id = 77"
)

func bio(round int) string { return fmt.Sprint("what they say in round ", round) }

// remoteWriter changes the published database and pushes.
type remoteWriter struct {
	bucket bucket
	exec   func(round int) error
	push   func() error
	clone  published // that is pushed to
}

// withWriter makes a copy of a published database's bucket, and a writer of it.
func withWriter(ctx context.Context, e *env, pub *published, system string, f func(w *remoteWriter) error) (err error) {
	dir, err := e.fresh("writer-" + system)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	folder := filepath.Join(dir, "bucket")
	copied := *pub
	switch system {
	case subjectName:
		n := *pub.network
		n.bucket = folder
		copied.network = &n
		if err := errors.Join(copyDir(folder, pub.network.bucket), copyDir(filepath.Join(dir, "data"), pub.network.hydrated)); err != nil {
			return err
		}
		return n.with(ctx, filepath.Join(dir, "data"), func(b bucket, r *replica) error {
			return f(&remoteWriter{bucket: b, clone: copied, push: func() error { return r.push(ctx, 1) },
				exec: func(round int) error {
					_, err := r.sql.ExecContext(ctx, changeUser, bio(round))
					return err
				}})
		})
	case litestreamName:
		copied.litestream = folder
		return e.litestreamWriter(ctx, pub.network.file, e.dir, folder, func(b bucket, p *lsProgram) error {
			push := func() error {
				_, err := p.do(lsCall{Op: "push"})
				return err
			}
			exec := func(round int) error {
				_, err := p.do(lsCall{Op: "exec", SQL: changeUser, Args: []any{bio(round)}})
				return err
			}
			if err := errors.Join(exec(-1), push()); err != nil { // the whole database
				return err
			}
			return f(&remoteWriter{bucket: b, clone: copied, exec: exec, push: push})
		})
	}
	copied.object = folder
	return fileWriter(ctx, dir, &copied, f)
}

// fileWriter changes a copy of the file, and uploads the whole of it.
func fileWriter(ctx context.Context, dir string, pub *published, f func(w *remoteWriter) error) (err error) {
	path := filepath.Join(dir, fileKey)
	if err := copyFile(path, pub.network.file); err != nil {
		return err
	}
	db, err := openFile(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	b, err := folderBucket(pub.object)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return f(&remoteWriter{bucket: b, clone: *pub,
		exec: func(round int) error {
			_, err := db.ExecContext(ctx, changeUser, bio(round))
			return err
		},
		push: func() error {
			in, err := os.Open(path)
			if err != nil {
				return err
			}
			defer in.Close() // it was only read
			return b.Upload(ctx, fileKey, in, &blob.WriterOptions{ContentType: "application/octet-stream"})
		}})
}

// writers are the systems that push, and how the table calls them.
var writers = []struct{ system, title, note string }{
	{subjectName, subjectName, ""},
	{litestreamName, litestreamName, "its sync of the write-ahead log, after the initial one"},
	{downloadName, "upload of the file", "what readervfs and download read"},
}

// pushCompared measures the push of a one-row transaction.
func pushCompared(ctx context.Context, e *env) ([]row, error) {
	pub, err := e.publish(ctx, e.size.social)
	if err != nil {
		return nil, err
	}
	c := &comparison{What: "a one-row transaction that is committed gets into the bucket", Note: e.lineNote()}
	for _, w := range writers {
		s := standing{System: w.title, Note: w.note}
		if e.unwanted(w.title) != "" || w.system == litestreamName && pub.litestream == "" {
			s.Missing = cmp.Or(e.unwanted(w.title), e.programs[litestreamProgram].why)
			c.Standings = append(c.Standings, s)
			continue
		}
		var all []trial
		err := withWriter(ctx, e, pub, w.system, func(w *remoteWriter) error {
			for round := range 1 + e.rounds {
				if err := w.exec(round); err != nil {
					return err
				}
				e.rest(ctx)
				t, err := w.bucket.measured(e.line(), w.push)
				if err != nil {
					return err
				}
				if round > 0 {
					all = append(all, t)
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.title, err)
		}
		s.Figures = figuresOf(all)
		c.Standings = append(c.Standings, s)
	}
	return []row{{Name: "remote-push", Compared: c}}, nil
}

// followCompared lets a replica that polls see pushes.
func followCompared(ctx context.Context, e *env) ([]row, error) {
	pub, err := e.publish(ctx, e.size.social)
	if err != nil {
		return nil, err
	}
	c := &comparison{What: fmt.Sprintf("a replica that has the row and looks for news every %v shows what was pushed; from the end of the push, with what it asks until then. "+
		"What reads a file is opened anew", e.size.tick), Note: e.lineNote()}
	for i := range remotePeers {
		p := &remotePeers[i]
		s := standing{System: p.name, Missing: p.missing(e, pub)}
		if s.Missing == "" {
			all, err := p.follow(ctx, e, pub)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			s.Figures = figuresOf(all)
		}
		c.Standings = append(c.Standings, s)
	}
	return []row{{Name: "remote-follow", Compared: c}}, nil
}

// follow measures a replica from the end of each push until it shows the row.
func (p *remotePeer) follow(ctx context.Context, e *env, pub *published) (all []trial, err error) {
	err = withWriter(ctx, e, pub, p.name, func(w *remoteWriter) error {
		if p.name != subjectName && p.name != litestreamName {
			return p.followFile(ctx, e, w, &all)
		}
		return p.with(ctx, e, &w.clone, func(at access) error {
			at.poll = e.size.tick
			db, stop, err := p.open(ctx, at)
			if err == nil {
				_, err = askAll(ctx, db, askUser)
			}
			for round := 0; round < e.rounds && err == nil; round++ {
				if err = errors.Join(w.exec(round), w.push()); err != nil {
					break
				}
				var t trial
				t, err = at.bucket.measured(e.line(), func() error { return awaitBio(ctx, db, bio(round)) })
				all = append(all, t)
			}
			return errors.Join(err, stop())
		})
	})
	return all, err
}

func (p *remotePeer) followFile(ctx context.Context, e *env, w *remoteWriter, all *[]trial) error {
	for round := range e.rounds {
		if err := errors.Join(w.exec(round), w.push()); err != nil {
			return err
		}
		t, err := p.cold(ctx, e, &w.clone, e.line(), bio(round)+"\n", func(db *sql.DB) (string, error) { return askAll(ctx, db, askUser) })
		if err != nil {
			return err
		}
		*all = append(*all, t)
	}
	return nil
}

// awaitBio asks again and again until a replica shows a row.
func awaitBio(ctx context.Context, db *sql.DB, want string) error {
	const patience = time.Minute
	for start := time.Now(); time.Since(start) < patience; {
		got, err := askAll(ctx, db, askUser)
		if err != nil || got == want+"\n" {
			return err
		}
		if err := sleep(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("the replica does not show the row after %v", patience)
}

// idleCompared counts what replicas ask that poll.
func idleCompared(ctx context.Context, e *env) ([]row, error) {
	pub, err := e.publish(ctx, e.size.social)
	if err != nil {
		return nil, err
	}
	c := &comparison{What: "a replica of a database that nobody writes looks for news once, as it does every so often by itself"}
	for i := range remotePeers {
		p := &remotePeers[i]
		s := standing{System: p.name, Missing: p.missing(e, pub)}
		if p.name != subjectName && p.name != litestreamName {
			continue
		}
		if s.Missing == "" {
			all, err := p.idle(ctx, e, pub)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			s.Figures = eachOf(figuresOf(all)[1:], e.size.ticks) // the time is the interval's
		}
		c.Standings = append(c.Standings, s)
	}
	c.Note = fmt.Sprintf("counted over %d intervals of %v", e.size.ticks, e.size.tick)
	return []row{{Name: "remote-idle", Compared: c}}, nil
}

// eachOf divides what n did by n.
func eachOf(figures []figure, n int) []figure {
	for _, f := range figures {
		for i := range f.Samples {
			f.Samples[i] /= float64(n)
		}
	}
	return figures
}

// idle gives for each round what some intervals take.
func (p *remotePeer) idle(ctx context.Context, e *env, pub *published) (all []trial, err error) {
	err = p.with(ctx, e, pub, func(at access) error {
		at.poll = e.size.tick
		db, stop, err := p.open(ctx, at)
		if err == nil {
			_, err = askAll(ctx, db, askUser)
		}
		if err == nil {
			err = sleep(ctx, 2*e.size.tick) // the first one is more
		}
		for round := 0; round < e.rounds && err == nil; round++ {
			var t trial
			t, err = at.bucket.measured(speed{}, func() error { return sleep(ctx, time.Duration(e.size.ticks)*e.size.tick) })
			all = append(all, t)
		}
		return errors.Join(err, stop())
	})
	return all, err
}
