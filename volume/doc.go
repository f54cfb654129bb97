// Package volume holds the vocabulary of graft and the codecs of what it
// stores: Volumes and their LSNs, pages, Commits and Segments.
//
// A [VolumeID] names a Volume, a sparse and append-only collection of pages of
// [PageSize] bytes. Each change to it is a [Commit] with the next [LSN]. The
// pages of a Commit lie in a Segment, an immutable container named by a
// [SegmentID] that is read one Frame at a time.
//
// The package does no I/O but for the readers and writers that it is given.
// What it decodes is taken as hostile: damaged bytes give [ErrCorrupt] and
// never a panic, and no length in them is believed before it is checked.
// Checksums detect damage, not malice.
package volume
