// Package s3 makes [objstore.Open] know Amazon S3 and servers that speak its protocol. Import it for that alone:
//
//	import _ "graft/objstore/s3"
//
// A URL names the bucket, and by parameters what differs from Amazon's defaults:
//
//	s3://NAME?region=eu-central-1
//	s3://NAME?endpoint=http://127.0.0.1:9000&use_path_style=true&region=us-east-1
//
// Credentials come from where the AWS SDK looks for them: the environment, or the profile named by the parameter
// profile. The other parameters are those of gocloud.dev/blob/s3blob.URLOpener and gocloud.dev/aws.V2ConfigFromURLParams.
//
// The server must honour If-None-Match on PUT. Servers that ignore it lose commits; package objstoretest finds them.
package s3

import (
	"context"
	"errors"
	"net/url"

	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"

	"graft/objstore"
)

func init() {
	objstore.Register(s3blob.Scheme, opener{})
}

type opener struct{}

// OpenBucketURL implements blob.BucketURLOpener. Each URL gets a URLOpener of its own, because one keeps the
// parameters of every URL that it has opened.
func (opener) OpenBucketURL(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	switch {
	case u.Path != "" && u.Path != "/": // the driver would ignore it
		return nil, errors.New("unexpected path after the bucket's name (want ?prefix=PATH/)")
	case u.User != nil:
		return nil, errors.New("unexpected user info: credentials come from the environment or a profile")
	}
	return new(s3blob.URLOpener).OpenBucketURL(ctx, u)
}
