package azure

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"graft/internal/httpanswer"
)

// blockRetries has the SDK repeat the blocks of an upload: the same block of the same upload is idempotent, and nobody
// sees it before the list of blocks is put.
var blockRetries = policy.RetryOptions{MaxRetries: 4, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 5 * time.Second}

// A strictPolicy makes errors of answers that say no, and refuses answers to reads that could pass for others, or that the
// driver does not survive.
type strictPolicy struct{}

// Do implements policy.Policy.
func (strictPolicy) Do(req *policy.Request) (*http.Response, error) {
	r := req.Raw()
	if r.URL.Query().Get("comp") == "block" {
		req = req.WithContext(policy.WithRetryOptions(r.Context(), blockRetries))
	}
	resp, err := req.Next()
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, refusal(resp)
	}
	if err := check(r, resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// check reports what is wrong with an answer to a read.
func check(r *http.Request, resp *http.Response) error {
	switch {
	case r.Method == http.MethodGet && r.URL.Query().Get("comp") == "list":
		if err := httpanswer.Check(r, resp); err != nil {
			return err
		}
		return checkList(resp)
	case r.Method == http.MethodGet:
		if err := httpanswer.Check(r, resp); err != nil {
			return err
		}
		return wantHeaders(resp, "Last-Modified")
	case r.Method == http.MethodHead:
		return wantHeaders(resp, "Last-Modified", "X-Ms-Creation-Time")
	}
	return nil
}

// wantHeaders reports headers that are missing, without which azureblob panics.
func wantHeaders(resp *http.Response, names ...string) error {
	for _, name := range names {
		if resp.Header.Get(name) == "" {
			return fmt.Errorf("answer without the header %s", name)
		}
	}
	return nil
}

// checkList reports what is missing in a listing, without which azureblob panics. The SDK has read its text by now.
func checkList(resp *http.Response) error {
	text, err := runtime.Payload(resp)
	if err != nil {
		return err
	}
	var list struct {
		XMLName struct{} `xml:"EnumerationResults"`
		Blobs   *struct {
			Blob []struct {
				Properties *struct {
					Modified *string `xml:"Last-Modified"`
					Length   *int64  `xml:"Content-Length"`
				}
			}
		}
	}
	if err := xml.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("malformed listing: %w", err)
	}
	if list.Blobs == nil {
		return errors.New("malformed listing: no blobs")
	}
	for i, b := range list.Blobs.Blob {
		if p := b.Properties; p == nil || p.Modified == nil || *p.Modified == "" || p.Length == nil {
			return fmt.Errorf("malformed listing: blob %d lacks properties", i)
		}
	}
	return nil
}

// codes has the words of objstore for those of Azure.
var codes = map[string]string{
	string(bloberror.BlobNotFound):          httpanswer.NoObject,
	string(bloberror.ContainerNotFound):     httpanswer.NoBucket,
	string(bloberror.BlobAlreadyExists):     httpanswer.Taken, // with status 409
	string(bloberror.ConditionNotMet):       httpanswer.Taken,
	string(bloberror.TargetConditionNotMet): httpanswer.Taken,
}

// refusal returns the error that resp says, and closes it. The message of a failed authentication quotes signatures, and
// is left out.
func refusal(resp *http.Response) error {
	var said struct {
		XMLName struct{} `xml:"Error"`
		Code    string
		Message string
	}
	_ = xml.Unmarshal(httpanswer.Reason(resp), &said) // as far as it goes
	code := cmp.Or(resp.Header.Get("X-Ms-Error-Code"), said.Code)
	message, _, _ := strings.Cut(said.Message, "\n")
	e := &httpanswer.Error{Status: resp.StatusCode, Code: code, Text: strings.TrimSpace(code + " " + message)}
	if word := codes[code]; word != "" {
		e.Code = word
	} else if code == "" && e.Status == http.StatusNotFound {
		e.Code = httpanswer.NotFound
	}
	return e
}
