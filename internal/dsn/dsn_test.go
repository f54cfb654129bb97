package dsn

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"graft/internal/meter"
)

func TestParseReadsBothForms(t *testing.T) {
	for _, c := range []struct {
		name string
		want Config
	}{
		{"tag=main", Config{Tag: "main"}},
		{" \t\n tag=main \n", Config{Tag: "main"}},
		{"tag=main dir=/a/b remote=s3://bucket?region=eu&x=1", Config{Tag: "main", Dir: "/a/b", Remote: "s3://bucket?region=eu&x=1"}},
		{"tag=main\tdir=C:\\data\nmode=ro", Config{Tag: "main", Dir: `C:\data`, Mode: "ro"}},
		{"tag='a b' dir='it''s here'", Config{Tag: "a b", Dir: "it's here"}},
		{"tag='''' dir='''a'''", Config{Tag: "'", Dir: "'a'"}},
		{"tag='main&dir=x' remote=s3://bucket?a=b&dir=/x", Config{Tag: "main&dir=x", Remote: "s3://bucket?a=b&dir=/x"}},
		{"tag=o'clock dir=a=b", Config{Tag: "o'clock", Dir: "a=b"}},
		{"tag=a+b%20c", Config{Tag: "a+b%20c"}},
		{"tag=m autosync=1m30s mode=rwc _txlock=immediate _timefmt=rfc3339", Config{Tag: "m", AutoSync: 90 * time.Second, Mode: "rwc", TxLock: "immediate", TimeFormat: "rfc3339"}},
		{"tag=m autosync=0s", Config{Tag: "m"}},
		{"tag=m pagecache=64MB", Config{Tag: "m", PageCache: 64_000_000}},
		{"tag=m budget=10MB", Config{Tag: "m", Budget: meter.Budget{Bytes: 10_000_000}}},
		{"file:m?budget=20requests", Config{Tag: "m", Budget: meter.Budget{Requests: 20}}},
		{"tag=m cache=512MB", Config{Tag: "m", Cache: 512_000_000}},
		{"file:m?cache=1GiB", Config{Tag: "m", Cache: 1 << 30}},
		{"tag=m warm=on", Config{Tag: "m", Warm: true}},
		{"tag=m hedge=95", Config{Tag: "m", Hedge: 95}},
		{"file:m?warm=off", Config{Tag: "m"}},
		{"file:m?_cache=4096", Config{Tag: "m", Cache: 4096}},
		{"tag=m pagecache=32MiB", Config{Tag: "m", PageCache: 32 << 20}},
		{"_pragma=busy_timeout(1) tag=m _pragma='a = b'", Config{Tag: "m", Pragmas: []string{"busy_timeout(1)", "a = b"}}},

		{"tag=m _timeout=5 _pragma=a(1) _fk=OFF", Config{Tag: "m", Pragmas: []string{"busy_timeout(5)", "foreign_keys(off)", "a(1)"}}},
		{"tag=m _cache_size=-2000 _journal_mode=WAL", Config{Tag: "m", Pragmas: []string{"journal_mode(wal)", "cache_size(-2000)"}}},

		{"file:main", Config{Tag: "main"}},
		{"file:/main", Config{Tag: "main"}},
		{"file:a%20b?vfs=graft", Config{Tag: "a b"}},
		{"file:/a/b?dir=%2Fx+y&remote=mem%3A", Config{Tag: "a/b", Dir: "/x y", Remote: "mem:"}},
		{"file:a+b?mode=rw#part", Config{Tag: "a+b", Mode: "rw"}},
		{"file:m?_pragma=a(1)&_pragma=b(2)&_txlock=exclusive&autosync=5s", Config{Tag: "m", Pragmas: []string{"a(1)", "b(2)"}, TxLock: "exclusive", AutoSync: 5 * time.Second}},
	} {
		got, err := Parse(c.name)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v, %v", c.name, got, err)
		}
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	for name, want := range map[string][]string{
		"":                               {"no tag given", "tag="},
		"dir=/a":                         {"no tag given"},
		"main":                           {`"main"`, "key=value"},
		"main tag=x":                     {`"main"`, "key=value"},
		"tag=a b c=d":                    {`"b"`, "key=value"},
		"tag=":                           {"tag is empty"},
		"tag=''":                         {"tag is empty"},
		"tag=a dir=":                     {"dir is empty"},
		"tag=a tag=b":                    {"tag", "2 times"},
		"tag=a dir=x dir=y dir=z":        {"dir", "3 times"},
		"tag='a":                         {"tag", "does not end"},
		"tag='a''":                       {"tag", "does not end"},
		"tag='a'b":                       {"tag", "does not end"},
		"tag=a pgpool=3":                 {`"pgpool"`},
		"Tag=a":                          {`"Tag"`, "no tag given"},
		"tag=a =b":                       {`""`},
		"tag=a vfs=graft":                {`"vfs"`},
		"tag=a autosync=often":           {"autosync=often", "10s"},
		"tag=a autosync=-1s":             {"autosync=-1s"},
		"tag=a autosync=10":              {"autosync=10"},
		"tag=a pagecache=much":           {"pagecache=much", "64MB"},
		"tag=a pagecache=0":              {"pagecache=0"},
		"tag=a pagecache=99999PB":        {"pagecache=99999PB"},
		"tag=a budget=little":            {"budget=little", "10MB", "20requests"},
		"tag=a budget=0":                 {"budget=0"},
		"tag=a budget=0requests":         {"budget=0requests"},
		"tag=a budget=-1requests":        {"budget=-1requests"},
		"tag=a cache=0":                  {"cache=0"},
		"tag=a cache=1MB _cache=1MB":     {"cache and _cache"},
		"tag=a mode=memory":              {"mode=memory", "ro, rw, rwc"},
		"tag=a _txlock=never":            {"_txlock=never", "deferred, immediate, exclusive"},
		"tag=a _loc=auto":                {`unknown key "_loc"`},
		"tag=a _fk=maybe":                {"_fk=maybe", "yes"},
		"tag=a _fk=":                     {"_fk="},
		"tag=a _cache_size=1);x(":        {"_cache_size=1);x(", "number"},
		"tag=a _timeout=5s":              {"_timeout=5s", "number"},
		"tag=a _sync=1 _sync=2":          {"_sync", "2 times"},
		"tag=a _sync=1 _synchronous=2":   {"_synchronous and _sync are the same"},
		"tag=a _fk=x colour=y":           {"_fk=x", `"colour"`},
		"x=1 mode=m _txlock=n autosync=": {`"x"`, "mode=m", "_txlock=n", "autosync is empty", "no tag given"},

		"file:":                         {"tag is empty"},
		"file:/":                        {"tag is empty"},
		"file:a?tag=b":                  {"tag="},
		"file:a?vfs=memdb":              {`"memdb"`},
		"tag=m hedge=100":               {"hedge=100 is not a percentile"},
		"tag=m warm=yes":                {"warm=yes is not one of on, off"},
		"file:a?cache=shared&nolock=1":  {"cache=shared", `"nolock"`},
		"file:a%zz":                     {"%zz"},
		"file:a?dir=%zz":                {"%zz"},
		"file:a?mode=x&autosync=y&dir=": {"mode=x", "autosync=y", "dir is empty"},
	} {
		_, err := Parse(name)
		if err == nil {
			t.Errorf("%q is accepted", name)
			continue
		}
		for _, word := range append(want, "graft: data source name") {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q: %q does not say %q", name, err, word)
			}
		}
	}
}

func TestURIReadsBack(t *testing.T) {
	text := rapid.OneOf(
		rapid.SampledFrom([]string{"", "main", "a/b", "/a", "//a", "a b", "50%", "a+b&c=d?e#f;g", "ü", "'", `C:\x`, "s3://b?region=x&y=1", "file:x", "\x00", "\xff"}),
		rapid.String(),
	)
	some := text.Filter(func(s string) bool { return s != "" })
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			Tag:        some.Draw(t, "tag"),
			Dir:        text.Draw(t, "dir"),
			Remote:     text.Draw(t, "remote"),
			AutoSync:   time.Duration(rapid.Int64Min(0).Draw(t, "autosync")),
			PageCache:  rapid.Int64Range(0, 1<<50).Draw(t, "pagecache"),
			Cache:      rapid.Int64Range(0, 1<<50).Draw(t, "cache"),
			Warm:       rapid.Bool().Draw(t, "warm"),
			Hedge:      rapid.SampledFrom([]int{0, 50, 99}).Draw(t, "hedge"),
			Mode:       rapid.SampledFrom([]string{"", "ro", "rw", "rwc"}).Draw(t, "mode"),
			TxLock:     rapid.SampledFrom([]string{"", "deferred", "immediate", "exclusive"}).Draw(t, "txlock"),
			TimeFormat: text.Draw(t, "timefmt"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "pragmas") {
			c.Pragmas = append(c.Pragmas, some.Draw(t, "pragma"))
		}
		if n := rapid.Int64Range(0, 1<<50).Draw(t, "budget"); rapid.Bool().Draw(t, "requests") {
			c.Budget.Requests = n
		} else {
			c.Budget.Bytes = n
		}
		uri := c.URI()
		got, err := Parse(uri)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("%s reads back as\n%+v, %v, want\n%+v", uri, got, err, c)
		}
		if !strings.HasPrefix(uri, "file:/") || !strings.Contains(uri, "?vfs=graft") || strings.ContainsAny(uri, " +#\x00") {
			t.Fatalf("URI %q", uri)
		}
	})
}

func TestPairsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Config{
			Tag: rapid.StringN(1, -1, -1).Draw(t, "tag"),
			Dir: rapid.StringMatching(`[^ \t\n']+`).Draw(t, "dir"),
		}
		quoted := "'" + strings.ReplaceAll(want.Tag, "'", "''") + "'"
		got, err := Parse("dir=" + want.Dir + " tag=" + quoted)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, %v, want %+v", got, err, want)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"tag=main dir='a b'", "file:main?vfs=graft&_pragma=a(1)", "tag='it''s' autosync=1s", "file:/a%20b#c"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		c, err := Parse(name)
		if err != nil {
			return
		}
		if c.Tag == "" || c.AutoSync < 0 {
			t.Fatalf("accepted as %+v", c)
		}
	})
}

func TestEveryPragmaIsChecked(t *testing.T) {
	for _, name := range []string{"tag=m _pragma=a(1) _pragma=''", "file:m?_pragma=a&_pragma="} {
		if c, err := Parse(name); err == nil {
			t.Errorf("%q: %+v", name, c)
		}
	}
}

func TestURIIsReadAsSQLiteDoes(t *testing.T) {
	for _, name := range []string{"file:main#frag", "file:main?mode=ro#frag", "file:/main", "file:///main", "file://localhost/main"} {
		if c, err := Parse(name); err != nil || c.Tag != "main" {
			t.Errorf("%q: %q, %v", name, c.Tag, err)
		}
	}
	if c, err := Parse("file://elsewhere/main"); err == nil {
		t.Errorf("another authority: %+v", c)
	}
}

// TestAliasesArePragmas gives each alias each value that it may have.
func TestAliasesArePragmas(t *testing.T) {
	for _, a := range aliases {
		values := a.allowed
		if values == nil {
			values = []string{"0", "-5", "123456"}
		}
		for _, name := range a.names {
			for _, value := range values {
				c, err := Parse("file:m?" + name + "=" + value)
				if want := []string{a.pragma + "(" + value + ")"}; err != nil || !reflect.DeepEqual(c.Pragmas, want) {
					t.Errorf("%s=%s: %q, %v, want %q", name, value, c.Pragmas, err, want)
				}
			}
		}
	}
	if _, err := FromValues(url.Values{"tag": {"m"}, "_fk": {"1"}}); err == nil {
		t.Error("the VFS, which would not set it, takes an alias")
	}
}
