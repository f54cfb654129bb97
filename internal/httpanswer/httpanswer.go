// Package httpanswer tells what HTTP answers of object stores say, below their SDKs: [Check] refuses those that could pass
// for others, and an [Error] is one that says no, in the words that package objstore understands.
package httpanswer

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Codes of an Error that package objstore understands; they are S3's.
const (
	NoObject  = "NoSuchKey"          // the object is absent
	NoBucket  = "NoSuchBucket"       // the bucket is absent
	Taken     = "PreconditionFailed" // the key of a conditional put is taken
	NotFound  = "NotFound"           // 404, without a reason
	maxReason = 64 << 10             // bytes of an answer's text that are read
)

// An Error is an answer that says no.
type Error struct {
	Status int    // of HTTP
	Code   string // one of the constants, or the service's own, or ""
	Text   string // for people; never a header, nor the URL
}

// Error implements error.
func (e *Error) Error() string {
	return strings.TrimSpace(fmt.Sprintf("answer %d %s", e.Status, cmp.Or(e.Text, e.Code)))
}

// HTTPStatusCode and ErrorCode are how objstore asks.
func (e *Error) HTTPStatusCode() int { return e.Status }

// ErrorCode returns the code.
func (e *Error) ErrorCode() string { return e.Code }

// Temporary reports whether the same request may do better a moment later. Google's SDK asks it of the parts of an upload.
func (e *Error) Temporary() bool {
	return e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests ||
		e.Status/100 == 5 && e.Status != http.StatusNotImplemented
}

// Reason reads the text of an answer that says no, up to 64 KiB of it, and closes its body.
func Reason(resp *http.Response) []byte {
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxReason)) // what came of it
	return text
}

// Check reports what is wrong with the head of an answer of status 2xx to GET: that its end cannot be told from a cut, or
// that it gives another range than was asked for by the header Range, or by x-ms-range.
func Check(r *http.Request, resp *http.Response) error {
	// Before HTTP/2, a body with neither length nor chunks ends with its connection, however that ends. One that
	// net/http has uncompressed has an end of its own.
	if resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 && resp.ProtoMajor < 2 && !resp.Uncompressed {
		return fmt.Errorf("answer of unknown length: %w", io.ErrUnexpectedEOF)
	}
	asked := cmp.Or(r.Header.Get("Range"), msRange(r.Header))
	if asked == "" {
		return nil
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(asked, "bytes="), "-")
	given := resp.Header.Get("Content-Range")
	if resp.StatusCode == http.StatusOK && (first == "0" || resp.ContentLength == 0) {
		return nil // the whole object, which begins as the range does, or has nothing
	}
	if resp.StatusCode != http.StatusPartialContent || !strings.HasPrefix(given, "bytes "+first+"-") {
		return fmt.Errorf("asked for %q, answered with status %d and range %q", asked, resp.StatusCode, given)
	}
	return nil
}

// msRange returns the range that Azure's SDK asks for. It does not give the header's name its canonical form.
func msRange(h http.Header) string {
	for _, name := range []string{"x-ms-range", "X-Ms-Range"} {
		if v := h[name]; len(v) > 0 {
			return v[0]
		}
	}
	return ""
}
