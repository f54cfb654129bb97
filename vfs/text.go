package vfs

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"graft"
	"graft/internal/sqlitefile"
)

// The texts of the pragmas' results, for people. Programs have the documents in
// document.go, and package graft.

// nameText gives a tag or a path as it is, or quoted where it would break lines
// or not show.
func nameText(name string) string {
	if strings.HasPrefix(name, `"`) || strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

func tagsText(tags []graft.TagInfo, current string) string {
	if len(tags) == 0 {
		return "There is no tag yet."
	}
	var b strings.Builder
	for _, t := range tags {
		b.WriteString("Tag: " + nameText(t.Name))
		if t.Name == current {
			b.WriteString(" (current)")
		}
		fmt.Fprintf(&b, "\n  Graft: %s\n  Remote: %s\n  Status: %s\n", t.Graft, t.Remote, t.Status)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func listText(grafts []graft.GraftInfo, current graft.VolumeID) string {
	if len(grafts) == 0 {
		return "There is no graft yet."
	}
	var b strings.Builder
	for _, g := range grafts {
		b.WriteString("Graft: " + g.Graft.String())
		if g.Graft == current {
			b.WriteString(" (current)")
		}
		b.WriteString("\n  Remote: " + g.Remote.String() + "\n")
		for _, tag := range g.Tags {
			b.WriteString("  Tag: " + nameText(tag) + "\n")
		}
		if g.Err != nil {
			b.WriteString("  Error: " + strconv.Quote(g.Err.Error()) + "\n")
			continue
		}
		b.WriteString("  Status: " + g.Status.String() + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// movedText tells what a Tag names now, and what it named before.
func movedText(info graft.Info, left *graft.Info, how string) string {
	text := fmt.Sprintf("Tag %s is now graft %s", nameText(info.Tag), info.Graft)
	if how != "" {
		text += ", " + how
	}
	text += "."
	if left != nil {
		text += fmt.Sprintf("\nIt was graft %s, which stays", left.Graft)
		if n := left.Status.Unpushed; n > 0 {
			text += " with " + commits(n) + " that no push has"
		}
		text += fmt.Sprintf(".\n  (use PRAGMA graft_switch = '%s' to go back)", left.Graft)
	}
	return text
}

func switchedText(info graft.Info) string {
	if !info.Exists {
		return fmt.Sprintf("Switched to tag %s, which its first write will make.", nameText(info.Tag))
	}
	return fmt.Sprintf("Switched to tag %s.", nameText(info.Tag))
}

func resetText(p graft.Pulled, backup string) string {
	text := fmt.Sprintf("Reset to LSN %d of the remote volume.", p.To)
	if backup != "" {
		text += fmt.Sprintf("\nWhat was not pushed is kept under tag %s.", nameText(backup))
	}
	return text
}

func statusText(info graft.Info) string {
	a := adviseOn(info)
	text := fmt.Sprintf("Tag: %s\nStatus: %s\n%s", nameText(info.Tag), info.Status, a.text)
	for _, n := range a.next {
		text += fmt.Sprintf("\n  (use PRAGMA %s to %s)", n.pragma, n.purpose)
	}
	return text
}

// advised is what a status means, and what may be done then.
type advised struct {
	state, text string
	next        []step
}

type step struct{ pragma, purpose string }

func advice(s graft.Status) string { return advise(s).text }

// adviseOn tells a Graft that is what it was forked from from an empty one.
func adviseOn(info graft.Info) advised {
	a := advise(info.Status)
	if a.state == "empty" && info.Snapshot.PageCount() > 0 {
		return advised{"forked", "The graft is what it was forked from: there is nothing to push.", nil}
	}
	return a
}

func advise(s graft.Status) advised {
	switch {
	case s.Diverged():
		return advised{"diverged", fmt.Sprintf("The graft has diverged: %s here, %s in the remote volume.", commits(s.Unpushed), commits(s.Behind)), []step{
			{"graft_reset", "take the remote volume's, and keep yours under another tag"},
			{"graft_fork", "go on with yours in a remote volume of its own"},
		}}
	case s.Unpushed > 0:
		return advised{"ahead", fmt.Sprintf("The graft has %s to push.", commits(s.Unpushed)), []step{{"graft_push", "push"}}}
	case s.Behind > 0:
		return advised{"behind", fmt.Sprintf("The graft has %s to pull.", commits(s.Behind)), []step{{"graft_pull", "pull"}}}
	case s.Synced > 0:
		return advised{"in_sync", "The graft is in sync with what was last fetched.", []step{{"graft_fetch", "look for more"}}}
	}
	return advised{"empty", "The graft is empty.", []step{{"graft_clone", "clone a remote volume"}, {"graft_import", "import a SQLite file"}}}
}

func infoText(info graft.Info) string {
	sync := "never"
	if s := info.SyncPoint; !s.Remote.IsZero() {
		sync = "remote LSN " + s.Remote.String()
		if !s.Local.IsZero() {
			sync += ", local LSN " + s.Local.String()
		}
	}
	n := info.Snapshot.PageCount()
	return fmt.Sprintf("Graft: %s\nRemote: %s\nLast sync: %s\nSnapshot: %s\nSnapshot pages: %d\nSnapshot size: %s",
		info.Graft, info.Remote, sync, info.Snapshot, n, humanize.IBytes(uint64(n.Bytes())))
}

func fetchedText(f graft.Fetched) string {
	if f.Head.IsZero() {
		return "The remote volume is empty."
	}
	if f.New == 0 {
		return fmt.Sprintf("Nothing new in the remote volume, which is at LSN %d.", f.Head)
	}
	return fmt.Sprintf("Fetched %s: the remote volume is at LSN %d.", commits(uint64(f.New)), f.Head)
}

func pulledText(p graft.Pulled) string {
	if p.To.IsZero() {
		return "Nothing to pull: the remote volume is empty."
	}
	if p.From == p.To {
		return fmt.Sprintf("Already at LSN %d of the remote volume.", p.To)
	}
	return fmt.Sprintf("Pulled %s: from LSN %d to %d of the remote volume.", commits(uint64(p.To-p.From)), p.From, p.To)
}

func pushedText(p graft.Pushed) string {
	if p.LSN.IsZero() {
		return "Nothing to push: the graft is empty."
	}
	if p.Commits == 0 {
		return fmt.Sprintf("Nothing to push: the remote volume has it all at LSN %d.", p.LSN)
	}
	return fmt.Sprintf("Pushed %s with %d pages as LSN %d of the remote volume.", commits(p.Commits), p.Pages, p.LSN)
}

func clonedText(info graft.Info) string {
	return fmt.Sprintf("Tag %s is now graft %s, a clone of remote volume %s at LSN %d.", nameText(info.Tag), info.Graft, info.Remote, info.SyncPoint.Remote)
}

func auditText(p graft.Presence) string {
	percent := 100.0
	if p.Written > 0 {
		percent = 100 * float64(p.Present) / float64(p.Written)
	}
	return fmt.Sprintf("Cached %d of %d pages (%.1f%%) from the remote volume.", p.Present, p.Written, percent)
}

func commits(n uint64) string {
	if n == 1 {
		return "1 commit"
	}
	return fmt.Sprintf("%d commits", n)
}

func hydratedText(h graft.Hydrated) string {
	if h.Total == 0 {
		return "Nothing to fetch: every page of the snapshot is here."
	}
	return fmt.Sprintf("Fetched %d pages: every page of the snapshot is here.", h.Done)
}

func headerText(h sqlitefile.Header) string {
	var b strings.Builder
	for _, f := range sqlitefile.Fields {
		fmt.Fprintf(&b, "%s: %d\n", f.Name, h.Field(f))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func logText(commits []graft.CommitInfo) string {
	if len(commits) == 0 {
		return "There is no commit yet."
	}
	var b strings.Builder
	for i, c := range commits {
		if i == 0 || commits[i-1].Volume != c.Volume {
			kind := "remote"
			if c.PushID.IsZero() {
				kind = "local, not pushed"
			}
			fmt.Fprintf(&b, "Volume: %s (%s)\n", c.Volume, kind)
		}
		fmt.Fprintf(&b, "  LSN %d  %s  %d pages  %d bytes\n", c.LSN, timeText(c.Time), c.Pages().Len(), c.Bytes)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func commitText(c graft.CommitInfo) string {
	d := newCommitDoc(c)
	var b strings.Builder
	line := func(name string, value any) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %v\n", name, value)
		}
	}
	line("Volume", d.Volume)
	line("LSN", d.LSN)
	line("Time", d.Time)
	line("Page count", d.PageCount)
	line("Kept", d.Kept)
	line("Bytes", d.Bytes)
	line("Record bytes", d.RecordBytes)
	line("Hash", d.Hash)
	line("Parent", d.Parent)
	line("Push", d.PushID)
	line("Checkpoint", d.Checkpoint)
	line("Pack", d.Pack)
	for _, o := range d.Ancestors {
		line("Ancestor", fmt.Sprintf("%s:%d", o.Volume, o.LSN))
	}
	for _, s := range d.Segments {
		where := ""
		if s.Inline {
			where = ", inline"
		}
		line("Segment", fmt.Sprintf("%s (%d pages%s)", s.Segment, s.Pages, where))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func statsText(statement, connection, process graft.Stats) string {
	return "Statement:\n" + countsText(statement) + "\nConnection:\n" + countsText(connection) + "\nProcess:\n" + countsText(process)
}

func countsText(s graft.Stats) string {
	return fmt.Sprintf("  Requests: %d (%d get, %d put, %d list, %d head, %d delete)\n", s.Requests(), s.Gets, s.Puts, s.Lists, s.Heads, s.Deletes) +
		fmt.Sprintf("  Round trips: %d\n  Bytes in: %d\n  Bytes out: %d\n", s.RoundTrips, s.BytesIn, s.BytesOut) +
		fmt.Sprintf("  Pages: %d (%d cached, %d local, %d fetched)\n", s.Pages(), s.PagesCached, s.PagesLocal, s.PagesFetched) +
		fmt.Sprintf("  Cost: $%.7f of requests, $%.7f of transfer", s.RequestDollars(), s.TransferDollars())
}
