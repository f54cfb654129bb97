// Package syncmodel is an executable model of how Grafts sync through a bucket.
// It has no I/O, clock, goroutine or randomness: a [State] is a comparable
// value, [Model.Steps] gives every step that can follow it, and each step is
// checked against every [Invariant]. Its tests visit all States within bounds,
// shortest traces first, and take long random walks beyond them.
//
// # State
//
//   - One bucket: the logs of two remote Volumes (the second is a fork's),
//     Segments, checkpoints, pins, a floor, stubs, and records in flight, which
//     land at any later time or never.
//   - Up to three Grafts, each in a data directory of its own with the process
//     that holds it: SyncPoint, Root, local log, pending commit, what was
//     fetched; all of that a second time as a power cut leaves it; where a push
//     is, what the process knows of its attempts, an open write transaction,
//     the change counter of an open file.
//   - One gc, and a backup of the first directory.
//
// A Volume has two pages. A page is a number that no other commit writes.
// Records are numbered by their content, so equal numbers are equal bytes.
//
// # Actions
//
// A local commit (durable or not; of page 1 or 2; one that cuts or grows the
// Volume), a write transaction that stays open, what is not durable becoming
// so, fetch by links, jump by the checkpoint, the move that ends a pull, each
// numbered step of a push and of resolving a pending commit, attempts that are
// refused, answered or of unknown outcome, a record that lands late, crash,
// power cut, reset and the filler before it, fork, copy of a directory, backup
// and restore, the steps of a gc, and an outsider who empties the bucket or
// takes it back by one commit. The table actions has them all.
//
// A read of an open file is no action: after every step each file is taken to
// read, and as counters only grow this finds whatever a later read would.
//
// # Bounds
//
// The scopes of the tests are explored to the end, about 300,000 States in all;
// each bounds what may happen by a [Budget]. With -deep there are some five
// million more. Random walks have all kinds of trouble at once.
//
// # What is not modelled
//
// Time (a grace period may be any), damage, bytes of records, inline pages,
// frames, eviction of local pages, several Grafts of one directory, several
// gcs at once, and that two processes never hold a directory. The outsider
// keeps away from a push, a sweep or a record that is under way, as nothing
// that is read before can guard what is put after. Objects that only a put of
// fresh name makes (Segments, checkpoints, pins, floors) are put in one step.
//
// # What it found
//
// Each field of [Rules] closes a hole of the design as it was; testdata has the
// shortest trace without it. Each field of [Mutations] is a mistake that an
// implementation could make, and is found.
package syncmodel
