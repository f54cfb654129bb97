package vfs

import (
	"testing"

	"graft"
)

func TestAdvice(t *testing.T) {
	for want, s := range map[string]graft.Status{
		"The graft is empty.":                                                    {},
		"The graft has 1 commit to push.":                                        {Unpushed: 1},
		"The graft has 2 commits to pull.":                                       {Synced: 3, Behind: 2},
		"The graft is in sync with what was last fetched.":                       {Pushed: 1, Synced: 1},
		"The graft has diverged: 1 commit here, 2 commits in the remote volume.": {Unpushed: 1, Behind: 2},
	} {
		if got := advice(s); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}

func TestTexts(t *testing.T) {
	for got, want := range map[string]string{
		fetchedText(graft.Fetched{}):                           "The remote volume is empty.",
		pulledText(graft.Pulled{}):                             "Nothing to pull: the remote volume is empty.",
		pushedText(graft.Pushed{}):                             "Nothing to push: the graft is empty.",
		auditText(graft.Presence{}):                            "Cached 0 of 0 pages (100.0%) from the remote volume.",
		auditText(graft.Presence{Present: 1, Written: 3}):      "Cached 1 of 3 pages (33.3%) from the remote volume.",
		fetchedText(graft.Fetched{Head: 7}):                    "Nothing new in the remote volume, which is at LSN 7.",
		fetchedText(graft.Fetched{Head: 7, New: 2}):            "Fetched 2 commits: the remote volume is at LSN 7.",
		pulledText(graft.Pulled{From: 3, To: 3}):               "Already at LSN 3 of the remote volume.",
		pulledText(graft.Pulled{From: 3, To: 4}):               "Pulled 1 commit: from LSN 3 to 4 of the remote volume.",
		pushedText(graft.Pushed{LSN: 4}):                       "Nothing to push: the remote volume has it all at LSN 4.",
		pushedText(graft.Pushed{LSN: 4, Commits: 1, Pages: 2}): "Pushed 1 commit with 2 pages as LSN 4 of the remote volume.",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
