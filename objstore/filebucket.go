package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// A fileOpener opens file:// URLs.
type fileOpener struct{}

// OpenBucketURL implements blob.BucketURLOpener.
func (fileOpener) OpenBucketURL(_ context.Context, u *url.URL) (*blob.Bucket, error) {
	switch {
	case u.User != nil:
		return nil, errors.New("unexpected user info")
	case u.Host != "" && u.Host != "localhost":
		return nil, fmt.Errorf("unexpected host %q: the path must be absolute (want file:///abs/path)", u.Host)
	}
	if err := noParams(u); err != nil {
		return nil, err
	}
	root := u.Path
	if runtime.GOOS == "windows" {
		root = strings.TrimPrefix(root, "/") // of file:///C:/x
	}
	root = filepath.FromSlash(root)
	if !filepath.IsAbs(root) {
		return nil, errors.New("the path must be absolute (want file:///abs/path)")
	}
	b, err := openFileBucket(filepath.Clean(root))
	if err != nil {
		return nil, err
	}
	return blob.NewBucket(b), nil
}

// A fileBucket is the driver for buckets in a directory; the doc of Open says what it promises. It is not gocloud's
// fileblob because that one lets several conditional writers win, and syncs nothing.
type fileBucket struct {
	root string
	id   os.FileInfo // of root when it was opened

	// durable has the directories below root whose own entries, up to root, are known to survive a power cut.
	durable sync.Map // path below root → nothing

	// fault, in tests, is asked before each I/O of a write, and fails it.
	fault func(step string) error
}

const tempDir = ".tmp" // in root; no key maps to a name that begins with a dot

var (
	errKeyAbsent     = errors.New("no such object")
	errKeyTaken      = errors.New("object exists")
	errUnimplemented = errors.New("not supported by file:// buckets")
)

func openFileBucket(root string) (*fileBucket, error) {
	info, err := os.Stat(root)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Mkdir(root, 0o777)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("parent directory %s does not exist", filepath.Dir(root))
		}
		if err != nil && !errors.Is(err, fs.ErrExist) { // made by another process meanwhile
			return nil, err
		}
		if err := syncDir(filepath.Dir(root)); err != nil {
			return nil, err
		}
		info, err = os.Stat(root)
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a directory", root)
	}
	return &fileBucket{root: root, id: info}, nil
}

// alive reports whether root is still the directory that was opened: a bucket that is gone or not mounted must not be
// taken for an empty one.
func (b *fileBucket) alive() error {
	info, err := os.Stat(b.root)
	if err != nil {
		return fmt.Errorf("bucket directory has vanished: %w", err)
	}
	if !os.SameFile(info, b.id) {
		return fmt.Errorf("bucket directory %s has been replaced", b.root)
	}
	return nil
}

// open opens the object at key for reading.
func (b *fileBucket) open(key string) (*os.File, os.FileInfo, error) {
	f, err := os.Open(filepath.Join(b.root, keyPath(key)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, b.absent(key)
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", f.Name())
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// absent is the error for key, at whose path there is nothing.
func (b *fileBucket) absent(key string) error {
	if err := b.alive(); err != nil {
		return err
	}
	return fmt.Errorf("%w: %q", errKeyAbsent, key)
}

// Attributes implements driver.Bucket.
func (b *fileBucket) Attributes(_ context.Context, key string) (*driver.Attributes, error) {
	f, info, err := b.open(key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return &driver.Attributes{ContentType: contentType, ModTime: info.ModTime(), Size: info.Size()}, nil
}

// NewRangeReader implements driver.Bucket.
func (b *fileBucket) NewRangeReader(_ context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	f, info, err := b.open(key)
	if err != nil {
		return nil, err
	}
	if opts.BeforeRead != nil {
		if err := opts.BeforeRead(asNothing); err != nil {
			f.Close()
			return nil, err
		}
	}
	if length < 0 {
		length = math.MaxInt64 - offset
	}
	return &fileReader{
		Reader: io.NewSectionReader(f, offset, length),
		file:   f,
		attrs:  driver.ReaderAttributes{ContentType: contentType, ModTime: info.ModTime(), Size: info.Size()},
	}, nil
}

type fileReader struct {
	io.Reader
	file  *os.File
	attrs driver.ReaderAttributes
}

func (r *fileReader) Close() error                         { return r.file.Close() }
func (r *fileReader) Attributes() *driver.ReaderAttributes { return &r.attrs }
func (r *fileReader) As(any) bool                          { return false }

// Delete implements driver.Bucket.
func (b *fileBucket) Delete(_ context.Context, key string, opts *driver.DeleteOptions) error {
	if opts.BeforeDelete != nil {
		if err := opts.BeforeDelete(asNothing); err != nil {
			return err
		}
	}
	path := filepath.Join(b.root, keyPath(key))
	info, err := os.Lstat(path)
	if err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory", path)
	}
	if err == nil {
		err = os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return b.absent(key)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// ErrorCode implements driver.Bucket. A missing file alone is no NotFound: it may be a temporary one, or the root.
func (b *fileBucket) ErrorCode(err error) gcerrors.ErrorCode {
	switch {
	case errors.Is(err, errKeyAbsent):
		return gcerrors.NotFound
	case errors.Is(err, errKeyTaken):
		return gcerrors.FailedPrecondition
	case errors.Is(err, errUnimplemented):
		return gcerrors.Unimplemented
	case errors.Is(err, fs.ErrPermission):
		return gcerrors.PermissionDenied
	}
	return gcerrors.Unknown
}

// Copy implements driver.Bucket.
func (b *fileBucket) Copy(context.Context, string, string, *driver.CopyOptions) error {
	return fmt.Errorf("copy: %w", errUnimplemented)
}

// SignedURL implements driver.Bucket.
func (b *fileBucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", fmt.Errorf("signed URL: %w", errUnimplemented)
}

func (b *fileBucket) As(any) bool             { return false }
func (b *fileBucket) ErrorAs(error, any) bool { return false }
func (b *fileBucket) Close() error            { return nil }

func asNothing(any) bool { return false }
