// Package dsn reads data source names: the strings that sql.Open("graft", …)
// takes, and the URI parameters of files of the VFS.
package dsn

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"graft/internal/meter"
)

// Config is what a data source name says. Empty fields were not given.
type Config struct {
	Tag    string
	Dir    string
	Remote string

	// DefaultRemote is for who opens the data directory first, when Remote is
	// empty.
	DefaultRemote string

	AutoSync   time.Duration
	Budget     meter.Budget
	PageCache  int64 // bytes
	Cache      int64 // bytes
	Warm       bool
	Hedge      int    // percentile; zero: none
	Mode       string // ro, rw or rwc
	Pragmas    []string
	TxLock     string
	TimeFormat string
}

// keys are the parameters of both forms. SQLite takes a cache= of a URI for its own,
// so that graft's is _cache= where SQLite sees it. A key that may repeat is in repeated.
var (
	keys     = []string{"tag", "dir", "remote", "autosync", "pagecache", "cache", "_cache", "warm", "hedge", "budget", "mode", "_pragma", "_txlock", "_timefmt"}
	repeated = []string{"_pragma"}
)

// Parse reads either form of a data source name: pairs key=value with spaces
// between them, or a URI that starts with "file:". It takes mattn/go-sqlite3's
// names of pragmas, too. Errors name all that is wrong.
func Parse(name string) (Config, error) {
	var values url.Values
	var err error
	if strings.HasPrefix(name, "file:") {
		values, err = parseURI(name)
	} else {
		values, err = parsePairs(name)
	}
	if err != nil {
		return Config{}, err
	}
	var errs []error
	spellOut(values, failer(&errs))
	c, err := FromValues(values)
	return c, errors.Join(append(errs, err)...)
}

// failer gives a function that adds to errs what is wrong.
func failer(errs *[]error) func(format string, args ...any) {
	return func(format string, args ...any) {
		*errs = append(*errs, fmt.Errorf("graft: data source name: "+format, args...))
	}
}

// parseURI reads go-sqlite3's form: file:TAG?key=value&…, where the path may
// have an authority before it that is empty or localhost, as in
// https://sqlite.org/uri.html.
func parseURI(name string) (url.Values, error) {
	name, _, _ = strings.Cut(strings.TrimPrefix(name, "file:"), "#")
	rest, query, _ := strings.Cut(name, "?")
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		host, path, _ := strings.Cut(after, "/")
		if host != "" && host != "localhost" {
			return nil, fmt.Errorf("graft: data source name: the authority %q is neither empty nor localhost", host)
		}
		rest = "/" + path
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("graft: data source name: %w", err)
	}
	tag, err := url.PathUnescape(rest)
	if err != nil {
		return nil, fmt.Errorf("graft: data source name: %w", err)
	}
	if vfs := values.Get("vfs"); vfs != "" && vfs != "graft" {
		return nil, fmt.Errorf("graft: data source name: vfs is %q, not graft", vfs)
	}
	values.Del("vfs")
	if values.Has("tag") {
		return nil, errors.New("graft: data source name: the tag of a file: name is its path; tag= is given too")
	}
	values.Set("tag", TagOfPath(tag))
	return values, nil
}

// TagOfPath gives the tag that a file name of the VFS stands for: SQLite needs
// a slash before names that URI syntax would misread.
func TagOfPath(path string) string { return strings.TrimPrefix(path, "/") }

// parsePairs reads key=value pairs. A value in single quotes may hold spaces; a
// quote in it is doubled.
func parsePairs(name string) (url.Values, error) {
	values := url.Values{}
	for rest := strings.TrimLeft(name, " \t\n"); rest != ""; rest = strings.TrimLeft(rest, " \t\n") {
		key, after, ok := strings.Cut(rest, "=")
		if !ok || strings.ContainsAny(key, " \t\n") {
			word, _, _ := strings.Cut(rest, " ")
			return nil, fmt.Errorf("graft: data source name: %q is not of the form key=value", word)
		}
		var value string
		if strings.HasPrefix(after, "'") {
			value, rest, ok = cutQuoted(after)
			if !ok {
				return nil, fmt.Errorf("graft: data source name: the quoted value of %s does not end", key)
			}
		} else {
			end := strings.IndexAny(after, " \t\n")
			if end < 0 {
				end = len(after)
			}
			value, rest = after[:end], after[end:]
			if pair := joinedPair(value); pair != "" {
				return nil, fmt.Errorf("graft: data source name: %q in the value of %s: a space goes between two parameters, and a value that has this in it into single quotes", pair, key)
			}
		}
		values.Add(key, value)
	}
	return values, nil
}

// joinedPair gives what in a value looks like the next parameter after another
// separator than a space, or nothing. In a URL it belongs to that.
func joinedPair(value string) string {
	before, _, _ := strings.Cut(value, "?")
	for _, key := range keys {
		for _, separator := range []string{"&", ";", ","} {
			if i := strings.Index(before, separator+key+"="); i >= 0 {
				return before[i:]
			}
		}
	}
	return ""
}

// cutQuoted reads the quoted value that s begins with. It must end at a space
// or at the end of s.
func cutQuoted(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for s = s[1:]; ; {
		i := strings.IndexByte(s, '\'')
		if i < 0 {
			return "", "", false
		}
		b.WriteString(s[:i])
		s = s[i+1:]
		if !strings.HasPrefix(s, "'") {
			break
		}
		b.WriteByte('\'')
		s = s[1:]
	}
	return b.String(), s, s == "" || strings.ContainsAny(s[:1], " \t\n")
}

// FromValues checks the parameters, other than aliases of pragmas, and reports
// everything that is wrong with them at once.
func FromValues(values url.Values) (Config, error) {
	c := Config{
		Tag:        values.Get("tag"),
		Dir:        values.Get("dir"),
		Remote:     values.Get("remote"),
		Mode:       values.Get("mode"),
		Pragmas:    values["_pragma"],
		TxLock:     values.Get("_txlock"),
		TimeFormat: values.Get("_timefmt"),
	}
	var errs []error
	fail := failer(&errs)
	for _, key := range sortedKeys(values) {
		switch {
		case !slices.Contains(keys, key):
			fail("unknown key %q", key)
		case len(values[key]) > 1 && !slices.Contains(repeated, key):
			fail("%s is given %d times", key, len(values[key]))
		case slices.Contains(values[key], ""):
			fail("%s is empty", key)
		}
	}
	if c.Tag == "" && !values.Has("tag") {
		fail("no tag given: add tag=NAME")
	}
	if text := values.Get("autosync"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			fail("autosync=%s is not a duration like 10s", text)
		}
		c.AutoSync = d
	}
	c.PageCache = size(values, "pagecache", fail)
	c.Cache = max(size(values, "cache", fail), size(values, "_cache", fail))
	if values.Has("cache") && values.Has("_cache") {
		fail("cache and _cache are the same")
	}
	if text := values.Get("budget"); text != "" {
		b, err := meter.ParseBudget(text)
		if err != nil {
			fail("budget=%s is neither a size like 10MB nor a number like 20requests", text)
		}
		c.Budget = b
	}
	oneOf := func(key, value string, allowed ...string) {
		if value != "" && !slices.Contains(allowed, value) {
			fail("%s=%s is not one of %s", key, value, strings.Join(allowed, ", "))
		}
	}
	oneOf("warm", values.Get("warm"), "on", "off")
	c.Warm = values.Get("warm") == "on"
	if text := values.Get("hedge"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 50 || n > 99 {
			fail("hedge=%s is not a percentile from 50 to 99", text)
		}
		c.Hedge = n
	}
	oneOf("mode", c.Mode, "ro", "rw", "rwc")
	oneOf("_txlock", c.TxLock, "deferred", "immediate", "exclusive")
	return c, errors.Join(errs...)
}

// size reads a number of bytes; zero is none given.
func size(values url.Values, key string, fail func(format string, args ...any)) int64 {
	text := values.Get(key)
	if text == "" {
		return 0
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > 1<<50 {
		fail("%s=%s is not a size like 64MB", key, text)
		return 0
	}
	return int64(n)
}

func sortedKeys(values url.Values) []string {
	names := make([]string, 0, len(values))
	for key := range values {
		names = append(names, key)
	}
	slices.Sort(names)
	return names
}

// URI gives the name under which go-sqlite3 opens c through the VFS.
func (c Config) URI() string {
	var b strings.Builder
	b.WriteString("file:/" + escape(c.Tag) + "?vfs=graft")
	add := func(key, value string) {
		if value != "" {
			b.WriteString("&" + key + "=" + escape(value))
		}
	}
	add("dir", c.Dir)
	add("remote", c.Remote)
	if c.AutoSync > 0 {
		add("autosync", c.AutoSync.String())
	}
	if c.PageCache > 0 {
		add("pagecache", strconv.FormatInt(c.PageCache, 10))
	}
	add("budget", c.Budget.String())
	if c.Cache > 0 {
		add("_cache", strconv.FormatInt(c.Cache, 10))
	}
	if c.Warm {
		add("warm", "on")
	}
	if c.Hedge > 0 {
		add("hedge", strconv.Itoa(c.Hedge))
	}
	add("mode", c.Mode)
	for _, p := range c.Pragmas {
		add("_pragma", p)
	}
	add("_txlock", c.TxLock)
	add("_timefmt", c.TimeFormat)
	return b.String()
}

// escape writes s such that both SQLite, which knows %HH alone, and net/url
// read it back.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
