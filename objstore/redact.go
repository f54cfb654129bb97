package objstore

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

const redacted = "xxxxx"

// redactURL returns u as text without user info, values of query parameters, and what does not belong in a URL of ours.
func redactURL(u *url.URL) string {
	r := *u
	if r.User != nil {
		r.User = url.User(redacted)
	}
	if r.Opaque != "" {
		r.Opaque = redacted
	}
	if r.Fragment != "" {
		r.Fragment, r.RawFragment = redacted, ""
	}
	var params []string
	for name := range r.Query() {
		params = append(params, url.QueryEscape(name)+"="+redacted)
	}
	slices.Sort(params)
	r.RawQuery = strings.Join(params, "&")
	return r.String()
}

// A redactor takes secrets out of error texts: what the bucket's URL held, and whatever looks like a credential. The nil
// redactor knows no URL.
type redactor struct{ replacer *strings.Replacer }

// credentials are the shapes of what SDKs may quote from requests: user info in URLs, parameters and headers that sign
// or authorize, and ids of access keys.
var credentials = []struct {
	shape *regexp.Regexp
	shown string
}{
	{regexp.MustCompile(`://[^/?#\s"'<>]*@`), "://" + redacted + "@"},
	{regexp.MustCompile(`(?i)(\b(?:` +
		`(?:x-(?:amz|goog|ms)-)?(?:signature|credential|security-token)|sig|skoid|` +
		`(?:aws|google)?access-?_?(?:key)?-?_?id|(?:access|account|api)-?_?key|` +
		`(?:client-?_?|aws_)?secret(?:_?access)?(?:_?key)?|(?:[a-z]+[-_]?)?token|passw(?:or)?d` +
		`)"?(?:=|: ?|>)"?)[^&\s"'<>,;]+`), "${1}" + redacted},
	{regexp.MustCompile(`(?i)(\b(?:bearer|basic) )[a-z0-9._~+/=-]{8,}`), "${1}" + redacted},
	{regexp.MustCompile(`(?i)(\bsharedkey(?:lite)? )[^\s"'<>]+`), "${1}" + redacted},
	{regexp.MustCompile(`(-----BEGIN [A-Z ]*PRIVATE KEY-----)[^-]+`), "${1}" + redacted},
	{regexp.MustCompile(`\beyJ[\w-]{10,}\.[\w-]+\.[\w-]+`), redacted}, // a JSON web token
	{regexp.MustCompile(`\b(?:AKIA|ASIA|AROA|AIDA|GOOG)[A-Z0-9]{12,}\b`), redacted},
}

// newRedactor returns the redactor for the URL u, without its prefix, that was given as urlstr.
func newRedactor(urlstr string, u *url.URL) *redactor {
	hidden := map[string]string{urlstr: redactURL(u), u.String(): redactURL(u)}
	secret := func(s string) {
		// Shorter ones are no secrets, and would garble the text.
		if len(s) >= 4 && s != "true" && s != "false" {
			hidden[s] = redacted
			hidden[url.QueryEscape(s)] = redacted
			hidden[url.PathEscape(s)] = redacted
		}
	}
	if u.User != nil {
		password, _ := u.User.Password()
		secret(u.User.Username())
		secret(password)
	}
	for _, values := range u.Query() {
		secret(values[0])
	}
	var pairs []string
	// A replacer prefers earlier pairs: whole URLs before what is in them.
	for _, old := range slices.SortedFunc(maps.Keys(hidden), func(a, b string) int { return len(b) - len(a) }) {
		pairs = append(pairs, old, hidden[old])
	}
	return &redactor{strings.NewReplacer(pairs...)}
}

// hide returns err, with another text if its own shows a secret. The chain of err is kept, secrets and all: show texts,
// not what errors.As finds.
func (r *redactor) hide(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	shown := text
	if r != nil {
		shown = r.replacer.Replace(text)
	}
	for _, c := range credentials {
		shown = c.shape.ReplaceAllString(shown, c.shown)
	}
	if shown != text {
		return &redactedError{shown, err}
	}
	return err
}

// A redactedError has the text of err without its secrets.
type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }
func (e *redactedError) Unwrap() error { return e.err }
