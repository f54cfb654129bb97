// Package snapshot gives consistent views of Grafts.
//
// A [Snapshot] is an immutable view, identified by its [Layer]s, newest first.
// Its [Root] says where the newest version of each page is. A [Reader] reads
// the pages of one Snapshot and takes no lock; a [Writer] stages pages over the
// newest Snapshot, reads its own writes, and commits them as one LSN.
//
// A [Head] is what moves: the newest Snapshot of one Graft, the locks that
// guard it, and the steps by which commits, pulls and pushes move it.
//
// Pages that are not stored here, and the page indexes of remote Volumes, come
// from a [Remote]; package sync has one. Only what reads a page waits for it: a
// commit never makes a request. Writers of one Graft take turns; nothing here orders writers of
// different Grafts.
package snapshot
