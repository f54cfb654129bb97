package objstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"gocloud.dev/blob"
)

// mux holds the schemes that Open knows. It is our own because blob.DefaultURLMux has another opener for file.
var mux = func() *blob.URLMux {
	m := new(blob.URLMux)
	m.RegisterBucket("mem", newMemOpener())
	m.RegisterBucket("file", fileOpener{})
	return m
}()

// Register makes opener the one for URLs of scheme. It is for packages that add a cloud, such as objstore/s3, which
// call it from an init function: it must not run concurrently with Open, and it panics when the scheme is taken.
//
// The buckets that opener opens must be as [New] wants them. What a server answered is asked of the chain of an error,
// by methods HTTPStatusCode() int and ErrorCode() string; the codes that matter are S3's: NoSuchKey, NoSuchBucket,
// PreconditionFailed, and NotFound for a 404 without a reason.
func Register(scheme string, opener blob.BucketURLOpener) {
	mux.RegisterBucket(scheme, opener)
}

// Open opens the bucket at a URL:
//
//	mem://NAME         a bucket in memory, shared by the whole process for its life
//	mem://             a bucket in memory of its own
//	file:///abs/path   a directory, which is made if its parent exists; see below
//	s3://NAME?...      with a blank import of graft/objstore/s3, which documents the parameters
//	gs://NAME          likewise graft/objstore/gcs
//	azblob://NAME?...  likewise graft/objstore/azure
//
// Any URL takes a parameter prefix: the bucket is then the part of the objects whose keys begin with it, and the keys
// that its methods take and give are without it. A parameter that a scheme does not know is an error.
//
// Open may ask the environment for credentials, but it does not contact the bucket.
//
// # Buckets in a directory
//
// A put makes a temporary file in the folder .tmp, syncs it, gives it its name at once (by a hard link if the put is
// conditional, which one of several processes wins, and by a rename otherwise), and syncs the directories: an object
// is whole or absent, and stays when the put has returned. Before that it may already be read, and a power cut may
// then take it back. A crash may leave files in .tmp; they are never listed, and may be removed while no program
// uses the bucket. The file system must have hard links. On one that ignores case, keys that differ in case only are
// one key; graft makes no such keys, except by a chance of less than 2^-50.
//
// An object's path is its key, where the key is of the sort that graft uses. The parts of other keys are escaped, so
// that no key can reach outside the directory and no two have the same path.
func Open(ctx context.Context, urlstr string) (*Bucket, error) {
	u, prefix, err := parseURL(urlstr)
	if err != nil {
		return nil, err
	}
	secrets := newRedactor(urlstr, u)
	inner, err := mux.OpenBucketURL(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", redactURL(u), secrets.hide(err))
	}
	b := newBucket(inner, redactURL(u))
	b.prefix = prefix
	b.owned = u.Scheme != "mem" // these live on for the next to open them
	b.secrets = secrets
	return b, nil
}

// parseURL checks what is common to all schemes, and splits off the prefix.
func parseURL(urlstr string) (u *url.URL, prefix string, err error) {
	u, err = url.Parse(urlstr)
	if err != nil {
		// The cause would quote parts of the URL.
		return nil, "", errors.New("open bucket: malformed URL (not shown, as it may hold credentials)")
	}
	fail := func(format string, args ...any) (*url.URL, string, error) {
		return nil, "", fmt.Errorf("open bucket %s: "+format, append([]any{redactURL(u)}, args...)...)
	}
	switch {
	case u.Scheme == "":
		return fail("the URL has no scheme (want one like mem://NAME, file:///abs/path or s3://NAME)")
	case !mux.ValidBucketScheme(u.Scheme):
		return fail("%w", errUnknownScheme(u.Scheme))
	case u.Fragment != "":
		return fail("the URL has a fragment; write # as %%23")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fail("malformed query")
	}
	for name, values := range query {
		if len(values) > 1 {
			return fail("query parameter %q is given %d times", name, len(values))
		}
	}
	if query.Has("key") { // gocloud would map all keys to one
		return fail("unknown query parameter %q", "key")
	}
	prefix = query.Get("prefix")
	query.Del("prefix")
	stripped := *u
	stripped.RawQuery = query.Encode()
	return &stripped, prefix, nil
}

// clouds are the packages that know the schemes which are not built in.
var clouds = map[string]string{"s3": "graft/objstore/s3", "gs": "graft/objstore/gcs", "azblob": "graft/objstore/azure"}

func errUnknownScheme(scheme string) error {
	if pkg := clouds[scheme]; pkg != "" {
		return fmt.Errorf("scheme %q is not linked in: import _ %q", scheme, pkg)
	}
	return fmt.Errorf("unknown scheme %q (known: %s)", scheme, strings.Join(mux.BucketSchemes(), ", "))
}
