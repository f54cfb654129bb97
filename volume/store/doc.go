// Package store is the local half of graft's memory: one [Store] for each data
// directory, with the tags, Grafts, logs and pages of all Volumes in Badger.
//
// Whatever belongs together is written as one [Change], whole or not at all.
// Pages may be put there ahead of the Change that refers to them with
// [Store.Stage]: until then they are nothing but space.
//
// Every Change is durable when Apply returns: Badger syncs each transaction.
// The package does not promise that space follows live data; nothing that was
// written is removed yet but pages that were staged in vain.
package store
