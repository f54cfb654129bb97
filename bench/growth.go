package main

import (
	"context"
	"errors"
	"fmt"
)

func growthWorkloads() []workload {
	return []workload{{
		name: "growth-history", part: growthPart, run: growthByHistory,
		what: "the cold point query after 1 to 10,000 pushes of small transactions; 16 MB",
	}, {
		name: "growth-size", part: growthPart, run: growthBySize,
		what: "the cold point query on databases of 16 MB to 2 GB (that with -size full)",
	}}
}

// growthByHistory asks networks of several histories.
func growthByHistory(ctx context.Context, e *env) (rows []row, err error) {
	for _, commits := range e.size.histories {
		pub, err := e.publishPushed(ctx, e.size.socialSmall, commits)
		if err != nil {
			return rows, err
		}
		c, err := coldRounds(ctx, e, pub, coldQueries[0].ask)
		if err != nil {
			return rows, fmt.Errorf("after %d commits: %w", commits, err)
		}
		c.At, c.What, c.Note = float64(commits), fmt.Sprintf("%s, asked of a new replica after %d commits", coldQueries[0].what, commits), historyNote
		rows = append(rows, row{Name: fmt.Sprint("growth-history-", commits), Compared: &c})
	}
	return rows, nil
}

const historyNote = "Litestream compacts as it does by default with a commit a second: level 1 each 30 commits, 2 each 300, 3 each 3,600, and files of level 0 are kept for 300; " +
	"how many files a replica finds depends on how long ago that was. A file has no history"

// growthBySize asks networks of several sizes.
func growthBySize(ctx context.Context, e *env) (rows []row, err error) {
	for _, size := range e.size.growth {
		pub, err := e.publish(ctx, size)
		if err != nil {
			return rows, err
		}
		c, err := coldRounds(ctx, e, pub, coldQueries[0].ask)
		if err != nil {
			return rows, fmt.Errorf("%d bytes: %w", size, err)
		}
		c.At, c.What, c.Note = float64(size)/1e6, fmt.Sprintf("%s, asked of a new replica of %d MB", coldQueries[0].what, size/1e6), e.lineNote()
		rows = append(rows, row{Name: fmt.Sprintf("growth-size-%dMB", size/1e6), Compared: &c})
	}
	return rows, nil
}

// publishPushed makes the buckets of a small network to which so many commits were
// pushed, the import among them, by graft and by Litestream.
func (e *env) publishPushed(ctx context.Context, size int64, commits int) (*published, error) {
	base, err := e.network(ctx, size)
	if err != nil {
		return nil, err
	}
	n := base
	if commits > 1 {
		if n, err = e.networkAfter(ctx, size, commits-1); err != nil {
			return nil, err
		}
	}
	p := &published{name: n.name, network: n}
	if p.object, err = e.build(n.name+"-object", func(dir string) error { return n.putFile(ctx, dir) }); err != nil {
		return nil, err
	}
	prog, err := e.program(ctx, litestreamProgram)
	if err != nil || prog.path == "" {
		return p, err
	}
	p.litestream, err = e.build(n.name+"-litestream", func(dir string) error { return e.replicate(ctx, base, n, dir) })
	return p, err
}

// replicate does by Litestream what made n of base: the same statements, and a
// sync after each. It does so in memory where it can, as graft does.
func (e *env) replicate(ctx context.Context, base, n *network, dir string) error {
	file, err := openFile(ctx, base.file)
	if err != nil {
		return err
	}
	s, err := resume(ctx, file, 2)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return e.litestreamWriter(ctx, base.file, memoryDir(), dir, func(_ bucket, w *lsProgram) error {
		for i := range 1 + n.small {
			query, args := tailTable, []any(nil)
			if i > 0 {
				query, args = s.small(i - 1)
			}
			for _, c := range []lsCall{{Op: "exec", SQL: query, Args: args}, {Op: "push"}, {Op: "compact", N: 1 + i}} {
				if _, err := w.do(c); err != nil {
					return fmt.Errorf("statement %d: %w", i, err)
				}
			}
		}
		return nil
	})
}
