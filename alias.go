package graft

import (
	"context"

	"graft/internal/meter"
	"graft/objstore"
	"graft/snapshot"
	graftsync "graft/sync"
	"graft/volume"
	"graft/volume/store"
)

// The vocabulary of the packages below, for programs.
type (
	VolumeID  = volume.VolumeID
	SegmentID = volume.SegmentID
	LSN       = volume.LSN
	LSNRange  = volume.LSNRange
	Page      = volume.Page
	PageIdx   = volume.PageIdx
	PageCount = volume.PageCount
	SyncPoint = volume.SyncPoint
	Commit    = volume.Commit
	Segment   = volume.Segment
	Hash      = volume.Hash

	Reader   = snapshot.Reader
	Writer   = snapshot.Writer
	Snapshot = snapshot.Snapshot
	Layer    = snapshot.Layer
	Presence = snapshot.Presence

	Fetched     = graftsync.Fetched
	Hydrated    = graftsync.Hydrated
	Phase       = graftsync.Phase
	Progress    = graftsync.Progress
	Pulled      = graftsync.Pulled
	Pushed      = graftsync.Pushed
	Status      = graftsync.Status
	Warmed      = graftsync.Warmed
	RemoteStats = objstore.Stats

	WarmPublished = graftsync.WarmPublished

	Pin      = graftsync.Pin
	PinKind  = graftsync.PinKind
	PinInfo  = graftsync.PinInfo
	Pinned   = graftsync.Pinned
	Coverage = graftsync.Coverage
	Offline  = graftsync.Offline

	TreeCoverage = graftsync.TreeCoverage

	// Stats counts requests to the bucket and pages of Snapshots that were read,
	// and tells what they cost.
	Stats = meter.Stats

	// Error carries the place of a failure.
	Error = volume.Error
)

// PageSize is the size of every page, in bytes.
const PageSize = volume.PageSize

// What an operation that reports its progress is busy with.
const (
	PhaseResolve    = graftsync.PhaseResolve
	PhaseFind       = graftsync.PhaseFind
	PhaseIndex      = graftsync.PhaseIndex
	PhasePages      = graftsync.PhasePages
	PhaseCheckpoint = graftsync.PhaseCheckpoint
	PhaseCommit     = graftsync.PhaseCommit
	PhaseDone       = graftsync.PhaseDone
)

// What a Pin keeps.
const (
	PinAll      = graftsync.PinAll
	PinTable    = graftsync.PinTable
	PinSnapshot = graftsync.PinSnapshot
)

// ParsePin reads the text form of a Pin: all, table NAME, snapshot, or snapshot
// VOLUMEID:LSN.
func ParsePin(text string) (Pin, error) { return graftsync.ParsePin(text) }

// WithProgress gives a context whose operations tell fn how far they are: see
// [graftsync.WithProgress].
func WithProgress(ctx context.Context, fn func(Progress)) context.Context {
	return graftsync.WithProgress(ctx, fn)
}

// ParseVolumeID reads the text form of a VolumeID.
func ParseVolumeID(text string) (VolumeID, error) { return volume.ParseVolumeID(text) }

// ParseLSN reads a decimal LSN of at least 1.
func ParseLSN(text string) (LSN, error) { return volume.ParseLSN(text) }

// Errors of opening a data directory.
var (
	ErrInUse  = store.ErrInUse
	ErrClosed = store.ErrClosed
)

// Errors of what writes to the local store.
var (
	ErrFull     = store.ErrFull
	ErrQuota    = store.ErrQuota
	ErrPoisoned = store.ErrPoisoned
	ErrDeleted  = snapshot.ErrDeleted
)

// ErrReaderClosed is returned by a Reader after Close.
var ErrReaderClosed = snapshot.ErrReaderClosed

// Errors of what is read, from disk or bucket.
var (
	ErrCorrupt = volume.ErrCorrupt
	ErrVersion = volume.ErrVersion
)

// ErrBudget is returned by a statement that has spent its budget (driver: budget=)
// before the request that would exceed it is made.
var ErrBudget = meter.ErrBudget

// Errors of Pin and Unpin.
var (
	ErrNoPin   = graftsync.ErrNoPin
	ErrNoTable = graftsync.ErrNoTable
)

// Errors of TryWriter.
var (
	ErrBusy  = snapshot.ErrBusy
	ErrStale = snapshot.ErrStale
)

// Errors of Fetch, Pull, Push, Clone and Checkout.
var (
	ErrNoRemote       = graftsync.ErrNoRemote
	ErrNoVolume       = graftsync.ErrNoVolume
	ErrRemoteMismatch = graftsync.ErrRemoteMismatch
	ErrExpired        = graftsync.ErrExpired
	ErrDiverged       = graftsync.ErrDiverged
	ErrPending        = snapshot.ErrPending
	ErrTooLarge       = volume.ErrTooLarge
	ErrNotRetained    = graftsync.ErrNotRetained
	ErrVolumeUsed     = graftsync.ErrVolumeUsed
)
