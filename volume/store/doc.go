// Package store is the local half of graft's memory: one [Store] for each data
// directory, with the tags, Grafts, logs, page indexes and pages of all Volumes,
// and with objects of the bucket that are cached because they never change. The
// log of a local Volume has no gap; of a remote one there are the commits that
// somebody fetched and something needs.
//
// Whatever belongs together is written as one [Change], whole or not at all. A
// Change is a record of the redo journal; it is applied to Badger later, in the
// background, together with many others. Pages may be stored ahead of the Change
// that refers to them with [Store.Stage]: until then they are nothing but space. Of
// a page of which the journal holds a version that will be applied together with the
// new one, it gets how that differs. What waits for the background in memory is
// bounded: whoever makes a Change waits above that.
//
// Pages and objects that were read from the bucket land in memory: reads find them
// there at once, and they are stored in the background. A crash before that costs
// another fetch.
//
// A data directory holds:
//
//	FORMAT      the version of this layout
//	LOCK        held by the process that has the directory open
//	LOCK.pid    its process id, for the message of who comes second
//	journal/    package journal: changes that are not in Badger yet
//	badger/     everything else, under the keys of keys.go
//	badger.new  says that badger/ is being made, and holds nothing yet
//	tmp/        what SQLite and imports need for a while
//
// What is lost when. A killed process loses nothing that Apply returned. A power
// cut loses no durable Change, and of those that are Relaxed a suffix. Damage to
// the journal or to Badger's files is found when the directory is opened, as
// ErrCorrupt and with nothing changed, or when the damaged page or record is
// read; damage to the newest record of the journal alone looks like a power cut.
// After a failed sync the store says ErrPoisoned until it is opened again, which
// after one of Badger's another process has to do, and a power cut then loses no more
// than any other. On a full disk it says ErrFull while there is still a reserve that
// Badger needs: whoever fills that from outside ends the process, for Badger writes to
// mapped files.
//
// Space follows what is live: [Store.Sweep] removes everything else and
// [Store.Compact] gives it back. Nothing of either runs by itself.
package store
