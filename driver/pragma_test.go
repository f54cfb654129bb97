package driver_test

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestTextForms(t *testing.T) {
	remote := "mem://" + t.Name()
	db := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
	match := func(pragma, pattern string) {
		t.Helper()
		if got := db.ask("PRAGMA " + pragma); !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
			t.Errorf("%s gives\n%s\nwant\n%s", pragma, got, pattern)
		}
	}
	const id = `V[1-9A-HJ-NP-Za-km-z]{21}`
	match("graft_status", "Tag: main\nStatus: _ r_\nThe graft is empty.\n.*graft_clone.*\n.*graft_import.*")
	match("graft_push", "Nothing to push.*")
	db.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	match("graft_status", "Tag: main\nStatus: \\+2 r_\nThe graft has 2 commits to push."+`
  \(use PRAGMA graft_push to push\)`)
	match("graft_info", "Graft: "+id+"\nRemote: "+id+"\nLast sync: never\nSnapshot: "+id+`\[1..2\]`+"\nSnapshot pages: 2\nSnapshot size: 8.0 KiB")
	match("graft_push", "Pushed 2 commits with 2 pages as LSN 1 of the remote volume.")
	match("graft_status", "Tag: main\nStatus: 2 r1\nThe graft is in sync with what was last fetched."+`
  \(use PRAGMA graft_fetch to look for more\)`)
	match("graft_tags", `Tag: main \(current\)`+"\n  Graft: "+id+"\n  Remote: "+id+"\n  Status: 2 r1")
	match("graft_snapshot", id+`\[1..1\]`)
	match("graft_audit", `Cached 2 of 2 pages \(100.0%\) from the remote volume.`)
	match("graft_fetch", "Nothing new in the remote volume, which is at LSN 1.")
	match("graft_pull", "Already at LSN 1 of the remote volume.")
	match("graft_version", "graft .+")
	db.fails("PRAGMA graft_nonsense", "graft_nonsense")
	db.fails("PRAGMA graft_clone", "graft_clone", "VOLUMEID")
	db.fails("PRAGMA graft_clone = 'Vnonsense'", "Vnonsense")
	db.fails("PRAGMA graft_push = 1", "takes no value")
	db.fails("PRAGMA graft_clone = 'VeehMw3mvcYpMNwqGpVmU2'", "VeehMw3mvcYpMNwqGpVmU2", "no such volume")
	db.wantStatus("2 r1")
}

func TestRefusedPushAndPullSayDiverged(t *testing.T) {
	remote := "mem://" + t.Name()
	a := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
	b := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
	a.exec("CREATE TABLE t(a)", "PRAGMA graft_push")
	b.exec("PRAGMA graft_clone = '" + a.line("graft_info", "Remote:") + "'")
	b.wantStatus("_ r1")
	a.exec("INSERT INTO t VALUES ('a')")
	b.exec("INSERT INTO t VALUES ('b')", "PRAGMA graft_push")
	a.fails("PRAGMA graft_push", "diverged")
	a.fails("PRAGMA graft_pull", "diverged")
	a.wantStatus("1+1 r1+1")
	if text := a.ask("PRAGMA graft_status"); !strings.Contains(text, "diverged") {
		t.Error(text)
	}
	a.want("SELECT a FROM t", "a")
	b.want("SELECT a FROM t", "b")
}

func TestWithoutARemoteEverythingLocalWorks(t *testing.T) {
	t.Setenv("GRAFT_REMOTE", "")
	db := open(t, "tag=main dir='%s'", t.TempDir())
	db.exec("CREATE TABLE t(a)")
	for _, p := range []string{"graft_push", "graft_pull", "graft_fetch", "graft_clone = 'VeehMw3mvcYpMNwqGpVmU2'"} {
		db.fails("PRAGMA "+p, "graft: no remote configured")
	}
	for _, p := range []string{"graft_tags", "graft_status", "graft_info", "graft_snapshot", "graft_audit", "graft_version"} {
		db.ask("PRAGMA " + p)
	}
	db.want("SELECT count(*) FROM t", "0")
}

func TestAutosyncBringsCommitsAcross(t *testing.T) {
	remote := "mem://" + t.Name()
	a := open(t, "tag=main dir='%s' remote=%s autosync=5ms", t.TempDir(), remote)
	a.exec("CREATE TABLE t(a)")
	eventually(t, func() bool { return a.status() == "1 r1" })
	b := open(t, "tag=main dir='%s' remote=%s autosync=5ms", t.TempDir(), remote)
	b.exec("PRAGMA graft_clone = '" + a.line("graft_info", "Remote:") + "'")
	a.exec("INSERT INTO t VALUES (7)")
	eventually(t, func() bool { return b.ask("SELECT count(*) FROM t") == "1" })
}

// eventually waits for what happens in the background.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}
