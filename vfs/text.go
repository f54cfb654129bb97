package vfs

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"graft"
)

// The texts of the pragmas' results, for people. Programs have package graft.

func tagsText(tags []graft.TagInfo, current string) string {
	var b strings.Builder
	for _, t := range tags {
		b.WriteString("Tag: " + t.Name)
		if t.Name == current {
			b.WriteString(" (current)")
		}
		fmt.Fprintf(&b, "\n  Graft: %s\n  Remote: %s\n  Status: %s\n", t.Graft, t.Remote, t.Status)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func statusText(info graft.Info) string {
	return fmt.Sprintf("Tag: %s\nStatus: %s\n%s", info.Tag, info.Status, advice(info.Status))
}

func advice(s graft.Status) string {
	switch {
	case s.Diverged():
		return fmt.Sprintf("The graft has diverged: %s here, %s in the remote volume.", commits(s.Unpushed), commits(s.Behind))
	case s.Unpushed > 0:
		return fmt.Sprintf("The graft has %s to push.", commits(s.Unpushed))
	case s.Behind > 0:
		return fmt.Sprintf("The graft has %s to pull.", commits(s.Behind))
	case s.Synced > 0:
		return "The graft is in sync with what was last fetched."
	}
	return "The graft is empty."
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
	return fmt.Sprintf("Tag %s is now graft %s, a clone of remote volume %s at LSN %d.", info.Tag, info.Graft, info.Remote, info.SyncPoint.Remote)
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
