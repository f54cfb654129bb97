package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"

	"graft"
)

// network is a social network in a file of SQLite's, and what it is in a bucket.
type network struct {
	name     string
	file     string
	bucket   string // folder
	remote   graft.VolumeID
	hydrated string       // data directory with all pages
	names    *objectNames // once a trace needs them
	small    int          // statements that were pushed one by one
}

// network gives the social network of about size bytes, imported and pushed once.
// It is built when it is first asked for.
func (e *env) network(ctx context.Context, size int64) (*network, error) {
	name := fmt.Sprint("social-", size/1e6, "MB")
	return e.keepNetwork(name, func(n *network, dir string) error {
		n.file = filepath.Join(dir, "social.db")
		if err := buildSocialFile(ctx, n.file, 1, size); err != nil {
			return err
		}
		return n.importFile(ctx, dir)
	})
}

// keepNetwork gives the network of a name, which build makes in a directory when
// it is first asked for.
func (e *env) keepNetwork(name string, build func(n *network, dir string) error) (*network, error) {
	if n, ok := e.networks[name]; ok {
		return n, nil
	}
	n := &network{name: name}
	_, err := e.build(name, func(dir string) error { return build(n, dir) })
	if err == nil {
		e.networks[name] = n
	}
	return n, err
}

// importFile imports the file of n and pushes it once.
func (n *network) importFile(ctx context.Context, dir string) error {
	n.bucket, n.hydrated = filepath.Join(dir, "bucket"), filepath.Join(dir, "hydrated")
	return n.with(ctx, n.hydrated, func(b bucket, r *replica) error {
		if _, err := r.sql.ExecContext(ctx, "PRAGMA graft_import = "+sqlite3.Quote(n.file)); err != nil {
			return err
		}
		if _, err := r.graft.Push(ctx); err != nil {
			return err
		}
		info, err := r.graft.Info()
		n.remote = info.Remote
		return err
	})
}

// with opens a data directory with the bucket of n, at full speed.
func (n *network) with(ctx context.Context, dir string, f func(bucket, *replica) error) error {
	b, err := folderBucket(n.bucket)
	if err != nil {
		return err
	}
	r, err := openReplica(ctx, dir, &graft.Options{Bucket: b.Bucket})
	if err != nil {
		return errors.Join(err, b.Close())
	}
	return errors.Join(f(b, r), r.close(), b.Close())
}

// pushedNetwork gives the network of about size bytes after many small pushes.
func (e *env) pushedNetwork(ctx context.Context, size int64) (*network, error) {
	return e.networkAfter(ctx, size, e.size.smallPushes)
}

// networkAfter gives the network of about size bytes after so many small pushes.
func (e *env) networkAfter(ctx context.Context, size int64, pushes int) (*network, error) {
	base, err := e.network(ctx, size)
	if err != nil {
		return nil, err
	}
	return e.keepNetwork(fmt.Sprint(base.name, "-pushed-", pushes), func(n *network, dir string) error {
		n.remote = base.remote
		n.file, n.bucket, n.hydrated = filepath.Join(dir, "social.db"), filepath.Join(dir, "bucket"), filepath.Join(dir, "hydrated")
		if err := copyDir(n.bucket, base.bucket); err != nil {
			return err
		}
		if err := n.push(ctx, base, pushes); err != nil {
			return err
		}
		return n.with(ctx, n.hydrated, func(_ bucket, r *replica) error {
			_, err := r.sql.ExecContext(ctx, "PRAGMA graft_export = "+sqlite3.Quote(n.file))
			return err
		})
	})
}

// push does so many small transactions from a copy of base, and a push after each.
// It does so in memory where it can, for each waits for the disk several times.
func (n *network) push(ctx context.Context, base *network, pushes int) (err error) {
	working, err := os.MkdirTemp(memoryDir(), "graft-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(working)) }()
	if err := copyDir(working, base.hydrated); err != nil {
		return err
	}
	err = n.with(ctx, working, func(_ bucket, r *replica) error {
		s, err := resume(ctx, r.sql, 2)
		if err != nil {
			return err
		}
		for i, done := 0, 0; done < pushes; i++ {
			query, args := s.small(i)
			if _, err := r.sql.ExecContext(ctx, query, args...); err != nil {
				return fmt.Errorf("%s: %w", query, err)
			}
			pushed, err := r.graft.Push(ctx)
			if err != nil {
				return err
			}
			done += int(pushed.Commits) // none, if someone did twice what is done once
			n.small = i + 1
		}
		return nil
	})
	if err != nil {
		return err
	}
	return copyDir(n.hydrated, working)
}

// reimported gives a network whose file is that of n, imported and pushed once.
func (e *env) reimported(ctx context.Context, n *network) (*network, error) {
	return e.keepNetwork(n.name+"-fresh", func(fresh *network, dir string) error {
		fresh.file = n.file
		return fresh.importFile(ctx, dir)
	})
}

// members gives so many users, at random, who posted at least five times: the
// same ones for equal databases.
func members(ctx context.Context, db *sql.DB, count int) ([]int, error) {
	rows, err := db.QueryContext(ctx, "SELECT author FROM posts GROUP BY author HAVING count(*) >= 5 ORDER BY author")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []int
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		all = append(all, id)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(all) < count {
		return nil, fmt.Errorf("%d users posted five times, and %d are needed", len(all), count)
	}
	random := rand.New(rand.NewPCG(6, 0))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:count], nil
}
