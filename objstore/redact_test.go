package objstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"gocloud.dev/blob"

	"graft/objstore"
)

// TestHide has errors as SDKs make them, for buckets of whose URL nothing is known.
func TestHide(t *testing.T) {
	const id, sig = "AKIAIOSFODNN7EXAMPLE", "0a1b2c3d4e5f60718293"
	for _, test := range []struct{ text, want string }{
		{ // S3, signed for a while
			`Get "https://b.s3.amazonaws.com/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=` + id + `%2F20261124%2Feu%2Fs3%2Faws4_request&X-Amz-Security-Token=` + sig + `&X-Amz-Signature=` + sig + `": EOF`,
			`Get "https://b.s3.amazonaws.com/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=xxxxx&X-Amz-Security-Token=xxxxx&X-Amz-Signature=xxxxx": EOF`,
		},
		{ // S3, the older way
			`https://b.s3.amazonaws.com/k?AWSAccessKeyId=` + id + `&Signature=` + sig + `%3D&Expires=1175139620`,
			`https://b.s3.amazonaws.com/k?AWSAccessKeyId=xxxxx&Signature=xxxxx&Expires=1175139620`,
		},
		{ // Google Cloud
			`Put "https://storage.googleapis.com/b/k?GoogleAccessId=a@b.iam&X-Goog-Credential=a@b.iam&X-Goog-Signature=` + sig + `": EOF`,
			`Put "https://storage.googleapis.com/b/k?GoogleAccessId=xxxxx&X-Goog-Credential=xxxxx&X-Goog-Signature=xxxxx": EOF`,
		},
		{ // Azure
			`PUT https://a.blob.core.windows.net/c/k?sv=2026-01-01&se=2026&sig=` + sig + `%2B%3D&sp=rw`,
			`PUT https://a.blob.core.windows.net/c/k?sv=2026-01-01&se=2026&sig=xxxxx&sp=rw`,
		},
		{ // Azure, as configured and as signed
			`DefaultEndpointsProtocol=https;AccountName=a;AccountKey=` + sig + `==;EndpointSuffix=core.windows.net`,
			`DefaultEndpointsProtocol=https;AccountName=a;AccountKey=xxxxx;EndpointSuffix=core.windows.net`,
		},
		{`BlobEndpoint=https://a/;SharedAccessSignature=sv=1&sig=` + sig + `%3D`, `BlobEndpoint=https://a/;SharedAccessSignature=sv=1&sig=xxxxx`},
		{`header Authorization: SharedKey a:` + sig + `=`, `header Authorization: SharedKey xxxxx`},
		{`{"assertion":"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.` + sig + `-_"}`, `{"assertion":"xxxxx"}`},
		{ // a service account's key
			`{"private_key": "-----BEGIN PRIVATE KEY-----\n` + sig + `\n-----END PRIVATE KEY-----\n"}`,
			`{"private_key": "-----BEGIN PRIVATE KEY-----xxxxx-----END PRIVATE KEY-----\n"}`,
		},
		{`dial http://user:p@ss@host:9000/x?y=1: refused`, `dial http://xxxxx@host:9000/x?y=1: refused`},
		{`proxyconnect tcp: https://user@proxy: refused`, `proxyconnect tcp: https://xxxxx@proxy: refused`},
		{`the key "` + id + `" is not known`, `the key "xxxxx" is not known`},
		{`ASIAIOSFODNN7EXAMPLE`, `xxxxx`},
		{`header Authorization: AWS4-HMAC-SHA256 Credential=` + id + `/20261124, SignedHeaders=host, Signature=` + sig, `header Authorization: AWS4-HMAC-SHA256 Credential=xxxxx, SignedHeaders=host, Signature=xxxxx`},
		{`header Authorization: Bearer ya29.abcdef-` + sig, `header Authorization: Bearer xxxxx`},
		{`<Error><AWSAccessKeyId>` + id + `</AWSAccessKeyId></Error>`, `<Error><AWSAccessKeyId>xxxxx</AWSAccessKeyId></Error>`},
		{`{"access_token":"` + sig + `","client_secret": "` + sig + `"}`, `{"access_token":"xxxxx","client_secret": "xxxxx"}`},
		{`secret_access_key=` + sig + ` password: ` + sig, `secret_access_key=xxxxx password: xxxxx`},
		// What is no secret stays.
		{`get "volumes/74ggbzxuMf2uAg2sRyg9J/log/fffffffffffffffe": 503 SlowDown, request id: 4442587FB7D0A2F9`, ``},
		{`SignatureDoesNotMatch: the signature we calculated does not match`, ``},
		{`the continuation token of the listing is wrong`, ``},
	} {
		cause := errors.New(test.text)
		err := objstore.Hide(cause)
		if test.want == "" {
			test.want = test.text
		}
		if err.Error() != test.want || !errors.Is(err, cause) {
			t.Errorf("%s\n got %s\nwant %s", test.text, err, test.want)
		}
	}
	if objstore.Hide(nil) != nil {
		t.Error("nil became an error")
	}
}

// TestMethodsHide has every method fail with an error that shows what the bucket's URL held, and a signed URL.
func TestMethodsHide(t *testing.T) {
	b, err := objstore.Open(t.Context(), "telltale://AKIAUSER:hunter2@host?token=s%2Bcret&endpoint=http://who:knows@other")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.SetWait(objstore.NoWait)
	ctx := t.Context()
	_, getErr := b.Get(ctx, "k", 1)
	_, rangeErr := b.GetRange(ctx, "k", 0, 1)
	_, statErr := b.Exists(ctx, "k")
	errs := map[string]error{
		"put": b.PutIfAbsent(ctx, "k", nil), "get": getErr, "range": rangeErr, "stat": statErr, "delete": b.Delete(ctx, "k"),
		"upload": b.Upload(ctx, "k", func(io.Writer) error { return nil }),
	}
	for _, errs["list"] = range b.List(ctx, "k") {
	}
	for name, err := range errs {
		text := fmt.Sprintf("%v %+v", err, err)
		if !strings.Contains(text, "cannot reach") {
			t.Errorf("%s: %s", name, text)
		}
		for _, secret := range []string{"AKIAUSER", "hunter2", "s+cret", "s%2Bcret", "who", "knows", "0a1b2c"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: the error shows %q: %s", name, secret, text)
			}
		}
	}
}

func init() { objstore.Register("telltale", telltaleOpener{}) }

// A telltaleOpener opens buckets whose requests fail with all that their URL holds.
type telltaleOpener struct{}

func (telltaleOpener) OpenBucketURL(_ context.Context, u *url.URL) (*blob.Bucket, error) {
	err := fmt.Errorf("cannot reach %s with token %s at %s/k?x-amz-signature=0a1b2c", u, u.Query().Get("token"), u.Query().Get("endpoint"))
	return objstore.FailingBlob(err), nil
}
