package objstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gocloud.dev/blob/driver"
)

// A fileWriter puts one object into a directory bucket:
//
//	1 create  a temporary file, under a name that nobody else takes
//	2 write   the object's bytes into it
//	3 sync    the file
//	4 dirs    make what directories the path lacks, and sync the parent of each up to the root
//	5 name    link the file to its path if there is none, or rename it to there
//	6 entry   sync the directory of the path
//	7 remove  the temporary name, whatever came before
//
// The object is visible from 5 on, and whole, since nothing but 5 makes the path. An error in 6 is the unknown outcome:
// visible, perhaps not durable. A crash before 7 leaves a file that is never listed.
type fileWriter struct {
	ctx  context.Context // of this write alone
	b    *fileBucket
	f    *os.File
	path string // of the object, below root
	once bool   // put if absent
	err  error  // of the first failed write
}

// NewTypedWriter implements driver.Bucket. The content type is not kept.
func (b *fileBucket) NewTypedWriter(ctx context.Context, key, _ string, opts *driver.WriterOptions) (driver.Writer, error) {
	if key == "" {
		return nil, errors.New("the key is empty")
	}
	if len(opts.Metadata) > 0 {
		return nil, fmt.Errorf("metadata: %w", errUnimplemented)
	}
	if err := b.alive(); err != nil {
		return nil, err
	}
	if opts.BeforeWrite != nil {
		if err := opts.BeforeWrite(asNothing); err != nil {
			return nil, err
		}
	}
	f, err := b.createTemp()
	if err != nil {
		return nil, err
	}
	return &fileWriter{ctx: ctx, b: b, f: f, path: keyPath(key), once: opts.IfNotExist}, nil
}

func (b *fileBucket) createTemp() (*os.File, error) {
	if err := b.step("create"); err != nil {
		return nil, err
	}
	dir := filepath.Join(b.root, tempDir)
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.OpenFile(filepath.Join(dir, rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// Write implements io.Writer.
func (w *fileWriter) Write(p []byte) (n int, err error) {
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if w.err == nil {
		w.err = w.b.step("write")
	}
	if w.err != nil {
		return 0, w.err
	}
	n, w.err = w.f.Write(p)
	return n, w.err
}

// Close makes the object, unless a write failed or the context has ended.
func (w *fileWriter) Close() (err error) {
	defer os.Remove(w.f.Name()) // 7; renamed, it is gone
	if err = w.err; err == nil {
		err = w.ctx.Err()
	}
	if err == nil {
		err = w.b.step("sync")
	}
	if err == nil {
		err = w.f.Sync()
	}
	if cerr := w.f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return w.b.publish(w.f.Name(), w.path, w.once)
}

// publish does steps 4 to 6 for the temporary file temp.
func (b *fileBucket) publish(temp, path string, once bool) error {
	dir := filepath.Dir(path)
	if err := b.makeDirs(dir); err != nil {
		return err
	}
	if err := b.step("name"); err != nil {
		return err
	}
	var err error
	if once {
		err = b.link(temp, filepath.Join(b.root, path))
	} else {
		err = os.Rename(temp, filepath.Join(b.root, path))
	}
	if errors.Is(err, fs.ErrNotExist) {
		b.durable.Clear() // somebody removes directories: believe nothing
		return errors.Join(err, b.alive())
	}
	if err != nil && !errors.Is(err, errKeyTaken) {
		return err
	}
	// Also for the loser of a conditional put: what it learns must be as durable as for the winner.
	if serr := b.sync(dir); serr != nil {
		return serr
	}
	return err
}

// link gives the file temp the name path, or returns errKeyTaken.
func (b *fileBucket) link(temp, path string) error {
	err := os.Link(temp, path)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		there, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if there.IsDir() {
			return fmt.Errorf("%s is a directory", path)
		}
		// A network file system may have sent the request again after its answer was lost.
		if mine, err := os.Lstat(temp); err == nil && os.SameFile(mine, there) {
			return nil
		}
		return fmt.Errorf("%w: %s", errKeyTaken, path)
	case lacksLinks(err):
		return fmt.Errorf("the file system has no hard links, or forbids them; file:// buckets need them: %w", err)
	}
	return err
}

// makeDirs makes the directory dir below root, and sees to it that it survives a power cut, whoever made it.
func (b *fileBucket) makeDirs(dir string) error {
	if dir == "." {
		return nil
	}
	if _, ok := b.durable.Load(dir); ok {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := b.makeDirs(parent); err != nil {
		return err
	}
	if err := b.step("dirs"); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(b.root, dir), 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return errors.Join(err, b.alive())
	}
	if err := b.sync(parent); err != nil {
		return err
	}
	b.durable.Store(dir, nil)
	return nil
}

// sync syncs the directory dir below root.
func (b *fileBucket) sync(dir string) error {
	if err := b.step("entry"); err != nil {
		return err
	}
	return syncDir(filepath.Join(b.root, dir))
}

func (b *fileBucket) step(name string) error {
	if b.fault != nil {
		return b.fault(name)
	}
	return nil
}
