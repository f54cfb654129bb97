package s3

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A strictClient refuses answers to GET that could pass for others: those whose end cannot be told from a cut, those
// that give another range than was asked for, and listings that are empty text, which the SDK takes for empty ones.
type strictClient struct{ inner s3.HTTPClient }

// Do implements s3.HTTPClient.
func (c strictClient) Do(r *http.Request) (*http.Response, error) {
	resp, err := c.inner.Do(r)
	if err != nil || r.Method != http.MethodGet || resp.StatusCode/100 != 2 {
		return resp, err
	}
	if err := check(r, resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	if r.URL.Query().Has("list-type") {
		resp.Body = &textBody{ReadCloser: resp.Body}
	}
	return resp, nil
}

// check reports what is wrong with the head of an answer.
func check(r *http.Request, resp *http.Response) error {
	// Before HTTP/2, a body with neither length nor chunks ends with its connection, however that ends.
	if resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 && resp.ProtoMajor < 2 {
		return fmt.Errorf("answer of unknown length: %w", io.ErrUnexpectedEOF)
	}
	asked := r.Header.Get("Range")
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

// A textBody is a body that must not be empty.
type textBody struct {
	io.ReadCloser
	any bool
}

// Read implements io.Reader.
func (b *textBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.any = b.any || n > 0
	if err == io.EOF && !b.any {
		err = fmt.Errorf("empty answer: %w", io.ErrUnexpectedEOF)
	}
	return n, err
}
