package main

import "strings"

// reason is why a row misses its target.
type reason struct {
	why    string
	source string // what has shown it: a command, or a decision in docs/adr
}

// profile is the command that shows where a workload and its children spend their time.
func profile(workload string) string {
	return "`go -C bench run . -run '^" + workload + "$' -peerless -doc '' -cpuprofile FILE`"
}

var compaction = reason{"A small push carries its pages in its commit, and later pushes pack them: who reads takes a request for each pack that is not merged yet, and for the last commits, that are in none. " +
	"A point query reads pages near the roots that changed since the checkpoint one by one, and the checkpoint, which the newest commit names and does not have (docs/adr/0022)", "`go -C bench run . -size full -run 'pushed$' -doc '' -trace FILE`"}

// reasons are those that are known, by the beginnings of the rows' names, the longest
// of which counts.
var reasons = map[string]reason{
	"one-row-": {"Of some 75 µs of processor time SQLite's own code takes 22, `database/sql`, the binding and the calls between it and WebAssembly 20, and publishing the " +
		"commit 29: 6 for the system call that writes the redo record, 4 for the commit's record, 3 for the comparison with what is replaced. WAL writes its frame for 7 (docs/adr/0024)",
		profile("one-row-normal")},
	"one-row-durable-8": {"An fdatasync makes four or five transactions durable, and takes what it takes alone; who waited for it then waits for a processor. Each transaction takes some " +
		"165 µs of processor time, SQLite's half and the collection of the value log included, three times of what the one writer takes: two processors are busy two thirds of the time. Sixteen Grafts are no faster",
		profile("one-row-durable-8")},
	"point-select-": {"Of 17.8 µs graft takes 1.9, where everything fits into its cache: the rest is SQLite's own code, the binding and `database/sql`, which are the same for files. " +
		"A page that is not in the cache comes from Badger",
		profile("point-select-fits")},
	"scan-165MB": {"Most of it is SQLite's own code, on a file as well. Badger takes 3 µs to go to a page, check and copy it, where a read from the page cache of the " +
		"system takes 2",
		profile("scan-165MB")},
	"push-165MB": {"The reference uploads what is compressed already, and a bucket without a limit takes that as fast as memory is copied. A push reads the pages from Badger and compresses them by LZ4, which takes " +
		"0.9 s of processor time, on both processors, and the bucket's half of the upload 0.4. At 1 Gbit/s, below, the line takes longer than that",
		profile("push-165MB")},
	"hydrate-165MB": {"The reference leaves 147 MiB in the page cache of the system. Hydrate checks and decompresses them, and stores pages in Badger, synced: more than a third of its processor time, " +
		"and a second in which the disk writes",
		profile("hydrate-165MB")},
	"hydrate-165MB-1Gbit": {"Badger's one writer copies what was fetched, some 0.7 s of processor time, and waits until the disk has it, in turn: a line without a limit is no faster, nor are more ranges at a time. " +
		"0.72 to 0.89 were measured, as the disk was",
		profile("hydrate-165MB")},
	"readers-7-writer": {"Whoever commits has SQLite drop the page caches of all other connections, in WAL mode as well, and 60 % of the processor time is SQLite's own code, which reads " +
		"page 1, the root and a leaf again. The writer does not pause, and its commits take a share of two processors. The row of WAL below it misses the same target",
		profile("readers-7-writer")},
	"cold-scan-time": {"Badger copies and syncs what was fetched beside the scan, some 0.6 s of processor time for 165 MB (docs/adr/0017)",
		profile("cold-scan")},
	"cold-point-join-pushed": compaction, "cold-profile-pushed": compaction, "cold-scan-pushed": compaction,
	"cold-point-join-1.5GB-time": {"The interior pages that come with its checkpoint, 750 KiB, are decoded before the query goes on (docs/adr/0021)",
		profile("cold-point-join-1.5GB")},
	"cold-profile-1.5GB-time": {"As for the point query on 1.5 GB", profile("cold-profile-1.5GB")},
	"cold-point-join-warm-time": {"Two round trips leave 18 ms for all else, which go to the data directory that is made, the clone, whose Tag is durable, and SQLite's start (docs/adr/0019 and 0023)",
		profile("cold-point-join-warm")},
	"cold-profile-warm-time": {"As for the point query after a warm set", profile("cold-profile-warm")},
	"cold-point-join-warm-others": {"It takes the six requests that it takes without a warm set, and beside them, in no more round trips, the listing of warm sets and the newest of them: " +
		"27 KiB of pages that others used (docs/adr/0019)",
		"`go -C bench run . -run '^cold-point-join-warm-others$' -doc '' -trace FILE`"},
}

const noReason = "No reason is known yet"

// reasonFor gives why a row misses its target, and what shows it.
func reasonFor(row string) string {
	longest := ""
	for name := range reasons {
		if strings.HasPrefix(row, name) && len(name) > len(longest) {
			longest = name
		}
	}
	if longest == "" {
		return noReason
	}
	return reasons[longest].why + "; " + reasons[longest].source
}
