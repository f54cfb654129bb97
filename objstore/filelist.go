package objstore

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gocloud.dev/blob/driver"
)

// ListPaged implements driver.Bucket. The token of a page is its last key.
func (b *fileBucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	if err := b.alive(); err != nil {
		return nil, err
	}
	if opts.BeforeList != nil {
		if err := opts.BeforeList(asNothing); err != nil {
			return nil, err
		}
	}
	l := &fileLister{
		ctx:       ctx,
		b:         b,
		prefix:    opts.Prefix,
		delimiter: opts.Delimiter,
		after:     string(opts.PageToken),
		size:      cmp.Or(opts.PageSize, nextPages),
	}
	if l.collapse(l.after) == l.after {
		l.folder = l.after
	}
	dir, _ := splitKey(opts.Prefix)
	err := l.walk(dir)
	if err != nil && !errors.Is(err, fs.SkipAll) {
		return nil, err
	}
	return &l.page, nil
}

// A fileLister makes one page of a listing, by a walk over the directories in the order of keys.
type fileLister struct {
	ctx               context.Context // of this page alone
	b                 *fileBucket
	prefix, delimiter string
	after             string // last key of the page before
	size              int
	folder            string // that was listed last; there may be more keys in it
	page              driver.ListPage
}

// A fileEntry is an object or a directory that may have some below it.
type fileEntry struct {
	key  string // a directory's ends in a slash
	file fs.DirEntry
}

// walk adds the objects to the page whose keys begin with dir. It returns fs.SkipAll when the page is full.
func (l *fileLister) walk(dir string) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	entries, err := l.entries(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case l.folder != "" && strings.HasPrefix(e.key, l.folder):
			// Listed already.
		case e.file.IsDir():
			if e.key >= l.after || strings.HasPrefix(l.after, e.key) {
				err = l.walk(e.key)
			}
		case e.key > l.after:
			err = l.add(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// entries returns what in the directory for the prefix dir may belong to the listing, in the order of keys.
func (l *fileLister) entries(dir string) ([]fileEntry, error) {
	files, err := os.ReadDir(filepath.Join(l.b.root, dirPath(dir)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, l.b.alive()
	}
	if err != nil {
		return nil, err
	}
	parent := lastPart(dir)
	entries := make([]fileEntry, 0, len(files))
	for _, f := range files {
		part, ok := decodeName(f.Name(), f.IsDir(), parent)
		if !ok || !f.IsDir() && !f.Type().IsRegular() {
			continue // not ours
		}
		key := dir + part
		if f.IsDir() {
			key += "/"
		}
		if strings.HasPrefix(key, l.prefix) {
			entries = append(entries, fileEntry{key, f})
		}
	}
	slices.SortFunc(entries, func(a, b fileEntry) int { return strings.Compare(a.key, b.key) })
	return entries, nil
}

// add puts an object on the page, or the folder that the delimiter makes of it.
func (l *fileLister) add(e fileEntry) error {
	object := &driver.ListObject{Key: l.collapse(e.key)}
	if object.Key != "" {
		object.IsDir = true
	} else {
		info, err := e.file.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		if err != nil {
			return err
		}
		object.Key, object.ModTime, object.Size = e.key, info.ModTime(), info.Size()
	}
	if len(l.page.Objects) == l.size {
		l.page.NextPageToken = []byte(l.page.Objects[l.size-1].Key)
		return fs.SkipAll
	}
	if object.IsDir {
		l.folder = object.Key
	}
	l.page.Objects = append(l.page.Objects, object)
	return nil
}

// collapse returns the folder that the delimiter makes of key, or "".
func (l *fileLister) collapse(key string) string {
	rest, ok := strings.CutPrefix(key, l.prefix)
	i := strings.Index(rest, l.delimiter)
	if !ok || l.delimiter == "" || i < 0 {
		return ""
	}
	return key[:len(l.prefix)+i+len(l.delimiter)]
}
