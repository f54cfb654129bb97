// Package sync moves commits and pages between the local store and a bucket.
//
// A [Remote] is one bucket seen from one data directory. It fetches the commits
// of a remote Volume, pulls them into a Graft, pushes local commits, makes
// Grafts of Volumes that others pushed, and is the [snapshot.Remote] that
// brings pages when they are first read.
//
// A bucket has no server that orders writers: all rests on put-if-absent of
// one key for each LSN. A push whose answer is lost is neither repeated blindly
// nor given up: its bytes are the Graft's pending commit, stored before they
// are sent, and what became of them is found by reading. A commit in the bucket
// is ours when its bytes are those, and nothing else decides.
//
// What is in the bucket was written by others: every record and frame is
// verified before it is used, and damage is [volume.ErrCorrupt].
//
// Files that import this package beside the standard library's sync name it
// graftsync.
package sync
