// Package badgerguard inspects the directory of a Badger database before it is
// opened. Badger repairs what it takes for the tail of a crash: it truncates
// logs at the first entry that does not check out, removes tables that its
// MANIFEST does not name, and ends the process over a damaged table. [Check]
// tells a crash's tail from damage, and gives volume.ErrCorrupt for damage.
//
// It is made for Badger v4.9 as package store opens it: SyncWrites, no
// encryption, no compression, values in the directory itself, and memtables of
// whole MiB.
//
// # What proves damage
//
// Badger writes each request in this order: its large values into the newest
// value log, msync; then its entries, with pointers to those values, into the
// memtable's log, msync; and only then the entries of the next request. Values
// of several requests may share one msync, entries never do. Tables are made of
// memtables, and named by the MANIFEST, synced, before their sources go. No log
// is ever written to again after a restart, and what lies behind the written
// part of one is zeros. Hence, whatever a kill or a power cut leaves:
//
//  1. Pointer. A value log holds, synced, every byte before the end of any
//     value that an entry of a table or of a memtable's log points to. If
//     Badger would truncate the newest one before such an end, or it is
//     missing, that is damage. Values that nothing points to are no loss.
//  2. Later request. An entry of a later request behind the place where
//     Badger would truncate a memtable's log proves that the place was synced.
//     Requests are told apart by the markers that end transactions: a marker
//     of another transaction than the one that is cut, or anything whole behind
//     a marker.
//  3. Later log. So does a transaction in the next memtable's log that is newer
//     than the one that is cut. (After a restart versions are given again, from
//     the one that was cut on.)
//  4. Trimmed. Logs are preallocated in whole MiB, synced, and trimmed at the end
//     of an entry: one of another size that does not end there was damaged.
//  5. Orphan. A table that the MANIFEST never named still has its sources: each
//     of its entries is in a memtable's log or in a table that is named.
//
// None of this depends on what the store writes. But the last transaction of a
// memtable's log has nothing behind it: if it is damaged, or the whole log is
// lost or cut between two entries, it is gone without a trace. A store must
// know elsewhere what the last durable transaction was, and compare.
//
// Nor are values in value logs other than the newest looked at: Badger verifies
// what it reads, but gives an empty value without an error for what it cannot
// read, which its user must tell from a value. [CheckGC] looks at them where
// garbage collection would destroy what lies behind a damaged one.
//
// # What a store must do
//
//   - Call [Tidy], then [Prepare], then badger.Open, with the directory locked, for the first two by
//     Badger's own lock as well.
//   - Keep Badger's writer from going on after a failed msync, of the value log, which
//     it may only log, or of a memtable's: the rules take it for granted that it was
//     synced what something points to, or what is followed by another request.
//   - Call [CheckGC] before each DB.RunValueLogGC.
//   - Run Flatten, DropPrefix and RunValueLogGC one after the other: Flatten
//     beside DropPrefix makes tables overlap, with which no open succeeds.
package badgerguard
