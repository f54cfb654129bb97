package s3

import (
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"graft/internal/httpanswer"
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
	if err := httpanswer.Check(r, resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	if r.URL.Query().Has("list-type") {
		resp.Body = &textBody{ReadCloser: resp.Body}
	}
	return resp, nil
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
