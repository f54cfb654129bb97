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
// What is fetched ahead, hydrated, pinned or part of a warm set comes by the same
// requests as what is read, and whoever reads a page waits for no other. A warm set is
// an object with the pages that a replica used, which clones get at once. A pin, an
// object in the bucket of a fork whose pages lie in its ancestors' Segments, is not the
// [Pin] of a Graft, which keeps pages from being evicted here.
//
// A small push carries its pages in its commit. Later pushes gather what is still the
// newest of many such commits in a pack, an object of their frames, beside a checkpoint
// or between two, and merge packs when they are many. A page that has moved keeps its
// Segment; where it lies the page index says. What cannot be packed stays.
//
// What is in the bucket was written by others: every record and frame is
// verified before it is used, and damage is [volume.ErrCorrupt].
//
// Files that import this package beside the standard library's sync name it
// graftsync.
package sync
