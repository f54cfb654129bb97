package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"gocloud.dev/blob"

	"graft"
	"graft/volume"
)

// writeTrace writes the requests of a cold query, if the run has a trace: for each
// its round trip, how many were in flight when it began, when it began and how
// long it took in milliseconds, its kind, key and range, and what it got.
func (e *env) writeTrace(ctx context.Context, title string, n *network, all []asked) error {
	if e.trace == nil {
		return nil
	}
	if n.names == nil {
		var err error
		if n.names, err = nameObjects(ctx, n); err != nil {
			return fmt.Errorf("trace: %w", err)
		}
	}
	fmt.Fprintf(e.trace, "# %s: %d requests\n", title, len(all))
	for _, a := range all {
		milliseconds := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
		_, err := fmt.Fprintf(e.trace, "%3d %2d %8.1f %6.1f %s %s %s %s\n", a.place, a.flying,
			milliseconds(a.begun.Sub(all[0].begun)), milliseconds(a.ended.Sub(a.begun)), a.kind, shortKey(a.key), a.span(), n.names.of(a))
		if err != nil {
			return err
		}
	}
	return nil
}

// shortKey is a key without the VolumeID.
func shortKey(key string) string {
	if rest, ok := strings.CutPrefix(key, "volumes/"); ok {
		_, rest, _ = strings.Cut(rest, "/")
		return rest
	}
	return key
}

// span is the bytes that a GET asks for, from the first up to but without the last.
func (a asked) span() string {
	switch {
	case a.kind != getRequest && a.kind != rangedRequest:
		return "-"
	case a.length < 0:
		return fmt.Sprintf("%d..", a.offset)
	}
	return fmt.Sprintf("%d..%d", a.offset, a.offset+a.length)
}

// objectPart is a part of an object, and what lies there.
type objectPart struct {
	offset, length int64
	pages          []graft.PageIdx // of a frame
	name           string          // of what is no frame
}

// objectNames says what lies where in a bucket, and what the pages are of.
type objectNames struct {
	parts  map[string][]*objectPart       // by key, ascending
	packed map[volume.Address]*objectPart // the frames of packs
	trees  []string                       // by page
}

// nameObjects reads all commits of a network, and its file.
func nameObjects(ctx context.Context, n *network) (_ *objectNames, err error) {
	b, err := folderBucket(n.bucket)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	names := &objectNames{parts: make(map[string][]*objectPart), packed: make(map[volume.Address]*objectPart)}
	for list := b.List(&blob.ListOptions{Prefix: fmt.Sprintf("volumes/%v/log/", n.remote)}); ; {
		o, err := list.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		object, err := b.ReadAll(ctx, o.Key)
		if err != nil {
			return nil, err
		}
		rec, err := volume.DecodeCommit(object)
		if err != nil {
			return nil, err
		}
		names.addPacked(rec.Commit.Since)
		if err := errors.Join(names.addFrames(ctx, b, &rec.Commit), names.addCheckpoint(ctx, b, rec.Commit.Checkpoint)); err != nil {
			return nil, err
		}
	}
	for _, parts := range names.parts {
		slices.SortFunc(parts, func(a, b *objectPart) int { return cmp.Compare(a.offset, b.offset) })
	}
	names.trees, err = treesOf(ctx, n.file)
	return names, err
}

// addFrames adds the frames of a commit.
func (n *objectNames) addFrames(ctx context.Context, b bucket, c *graft.Commit) error {
	table, ok := c.Own()
	for i := 0; i < len(c.Segments) && !ok; i++ {
		s := &c.Segments[i]
		frames := s.Frames
		if f := s.Footer; !f.IsZero() {
			footer, err := readPart(ctx, b, s.ID.Key(), f.Offset, f.Length)
			if err != nil {
				return err
			}
			if frames, err = volume.DecodeFooter(s, footer); err != nil {
				return err
			}
		}
		table = table.With(s.Table(frames))
	}
	var last *objectPart
	var frame *volume.Address
	for p, a := range table.All() {
		if a != frame {
			frame, last = a, &objectPart{offset: a.Offset, length: a.Length}
			n.parts[a.Source.Key()] = append(n.parts[a.Source.Key()], last)
		}
		last.pages = append(last.pages, p)
	}
	return nil
}

// addPacked adds the frames of a table that lie in packs. Many tables name each.
func (n *objectNames) addPacked(t volume.PageTable) {
	for p, a := range t.All() {
		if a.Source.Pack.IsZero() {
			continue
		}
		part := n.packed[*a]
		if part == nil {
			part = &objectPart{offset: a.Offset, length: a.Length}
			n.packed[*a] = part
			n.parts[a.Source.Key()] = append(n.parts[a.Source.Key()], part)
		}
		if !slices.Contains(part.pages, p) {
			part.pages = append(part.pages, p)
		}
	}
}

// addCheckpoint adds the parts of a checkpoint. What it shares with others is
// there once.
func (n *objectNames) addCheckpoint(ctx context.Context, b bucket, ref volume.CheckpointRef) error {
	if ref.IsZero() || slices.ContainsFunc(n.parts[ref.Key()], func(p *objectPart) bool { return p.offset == ref.Offset }) {
		return nil
	}
	root, err := readPart(ctx, b, ref.Key(), ref.Offset, ref.Length)
	if err != nil {
		return err
	}
	cp, err := volume.DecodeCheckpoint(ref, root)
	if err != nil {
		return err
	}
	n.parts[ref.Key()] = append(n.parts[ref.Key()],
		&objectPart{offset: ref.Offset, length: ref.Length, name: fmt.Sprintf("root with %d bundled pages", len(cp.Bundle))})
	for _, ch := range cp.Chunks {
		if ch.Object != ref.CheckpointKey {
			continue
		}
		n.parts[ref.Key()] = append(n.parts[ref.Key()], &objectPart{offset: ch.Offset, length: ch.Length, name: fmt.Sprintf("chunk of leaf %v", ch.Leaf)})
		chunk, err := readPart(ctx, b, ref.Key(), ch.Offset, ch.Length)
		if err != nil {
			return err
		}
		table, err := volume.DecodeChunk(ch, chunk)
		if err != nil {
			return err
		}
		n.addPacked(table)
	}
	return nil
}

func readPart(ctx context.Context, b bucket, key string, offset, length int64) (_ []byte, err error) {
	r, err := b.NewRangeReader(ctx, key, offset, length, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(r)
}

// of says what a request gets: parts that it reads whole, then how many pages of
// which trees.
func (n *objectNames) of(a asked) string {
	var says []string
	var pages []graft.PageIdx
	frames := 0
	for _, p := range n.parts[a.key] {
		switch {
		case p.offset < a.offset || a.length >= 0 && p.offset+p.length > a.offset+a.length:
		case p.name != "":
			says = append(says, p.name)
		default:
			frames++
			pages = append(pages, p.pages...)
		}
	}
	if len(says) > 4 {
		says = append(says[:3:3], fmt.Sprintf("and %d more", len(says)-3))
	}
	if frames > 0 {
		trees := make(map[string]int)
		for _, p := range pages {
			trees[n.trees[p]]++
		}
		says = append(says, fmt.Sprintf("%d frames, pages %v..%v:", frames, slices.Min(pages), slices.Max(pages)))
		for _, tree := range slices.Sorted(maps.Keys(trees)) {
			says = append(says, fmt.Sprintf("%d %s", trees[tree], tree))
		}
	}
	return strings.Join(says, ", ")
}

// treesOf names the B-tree of each page of a database of SQLite's with pages of
// 4 KiB, by https://sqlite.org/fileformat.html. What is in none is "other".
func treesOf(ctx context.Context, path string) (_ []string, err error) {
	db, err := openFile(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	trees := slices.Repeat([]string{"other"}, int(info.Size()/graft.PageSize)+1)
	rows, err := db.QueryContext(ctx, "SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0 UNION ALL SELECT 'schema', 1")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var root uint32
		if err := rows.Scan(&name, &root); err != nil {
			return nil, err
		}
		if err := nameTree(f, name, root, trees); err != nil {
			return nil, err
		}
	}
	return trees, rows.Err()
}

// nameTree names page p and all below it.
func nameTree(f io.ReaderAt, name string, p uint32, trees []string) error {
	const interiorIndex, interiorTable, headerSize = 2, 5, 12
	var page graft.Page
	if int(p) >= len(trees) {
		return fmt.Errorf("page %d of %s is beyond the end", p, name)
	}
	if _, err := f.ReadAt(page[:], int64(p-1)*graft.PageSize); err != nil {
		return err
	}
	header := page[:]
	if p == 1 {
		header = page[100:]
	}
	trees[p] = name
	if header[0] != interiorIndex && header[0] != interiorTable {
		return nil
	}
	trees[p] += " interior"
	below := []uint32{binary.BigEndian.Uint32(header[8:])}
	for i := range int(binary.BigEndian.Uint16(header[3:])) {
		below = append(below, binary.BigEndian.Uint32(page[binary.BigEndian.Uint16(header[headerSize+2*i:]):]))
	}
	for _, child := range below {
		if err := nameTree(f, name, child, trees); err != nil {
			return err
		}
	}
	return nil
}
