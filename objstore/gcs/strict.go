package gcs

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"

	"graft/internal/httpanswer"
)

// errResumed is what the SDK gets that would go on with the rest of an answer that was cut.
var errResumed = fmt.Errorf("answer was cut: %w", io.ErrUnexpectedEOF)

// A strictTransport makes errors of answers that say no, and refuses answers to GET that could pass for others. The SDK
// reads objects by the XML API, and does everything else by the JSON API.
type strictTransport struct {
	inner    http.RoundTripper
	emulator bool
}

// RoundTrip implements http.RoundTripper.
func (t *strictTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	// Nobody else asks for a generation.
	if r.Method == http.MethodGet && r.URL.Query().Has("generation") {
		return nil, errResumed
	}
	resp, err := t.inner.RoundTrip(r)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode >= http.StatusBadRequest:
		return nil, t.refusal(resp)
	case r.Method == http.MethodGet && resp.StatusCode/100 == 2:
		if err := check(r, resp); err != nil {
			resp.Body.Close()
			return nil, err
		}
	}
	return resp, nil
}

// check reports what is wrong with the head of an answer to a read.
func check(r *http.Request, resp *http.Response) error {
	if !r.URL.Query().Has("alt") && resp.ContentLength < 0 { // an object
		return fmt.Errorf("answer of unknown length: %w", io.ErrUnexpectedEOF)
	}
	return httpanswer.Check(r, resp)
}

// refusal returns the error that resp says, and closes it.
func (t *strictTransport) refusal(resp *http.Response) error {
	e := &httpanswer.Error{Status: resp.StatusCode}
	text := httpanswer.Reason(resp)
	var inXML struct {
		XMLName struct{} `xml:"Error"`
		Code    string
		Message string
	}
	var inJSON struct {
		Error struct {
			Message string
			Errors  []struct{ Reason string }
		}
	}
	switch {
	case xml.Unmarshal(text, &inXML) == nil:
		e.Code, e.Text = inXML.Code, strings.TrimSpace(inXML.Code+" "+inXML.Message)
	case json.Unmarshal(text, &inJSON) == nil && len(inJSON.Error.Errors) > 0:
		e.Code, e.Text = inJSON.Error.Errors[0].Reason, inJSON.Error.Message
	}
	if e.Status == http.StatusNotFound {
		e.Code = t.codeOf404(e.Code, cmp.Or(inJSON.Error.Message, strings.TrimSpace(string(text))))
	}
	return e
}

// codeOf404 returns the code for what was not found. The JSON API gives one reason for all, and tells them apart by the
// message alone.
func (t *strictTransport) codeOf404(code, message string) string {
	switch {
	case code == httpanswer.NoObject || code == httpanswer.NoBucket:
		return code
	case strings.HasPrefix(message, "No such object"), t.emulator && message == "Not Found":
		return httpanswer.NoObject
	case strings.HasPrefix(message, "The specified bucket does not exist"):
		return httpanswer.NoBucket
	}
	return httpanswer.NotFound
}
