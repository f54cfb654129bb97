// Package filesys is the small file interface through which graft writes its own files, so that tests can put a disk
// in memory beneath them that fails and loses power ([graft/internal/filesys/crashfs]).
//
// An [FS] is one flat directory, a [File] is an open file in it. Both make a difference between what is written, which
// survives a killed process, and what is synced, which survives a power cut. Neither promises anything about a file
// whose Sync has failed: the kernel may have dropped the data and call the pages clean, so that a later Sync succeeds.
package filesys

import "io"

// FS is one flat directory. Names have no separators. It is safe for concurrent use. A file that is open must not be
// removed, renamed or replaced: Windows refuses it.
type FS interface {
	// Open opens an existing file for reading and writing, or returns fs.ErrNotExist.
	Open(name string) (File, error)

	// Create makes a new, empty file and opens it, or returns fs.ErrExist.
	Create(name string) (File, error)

	// Remove removes a file, or returns fs.ErrNotExist.
	Remove(name string) error

	// Rename gives a file another name, and replaces the file that has it.
	Rename(from, to string) error

	// List gives the names of the regular files, sorted.
	List() ([]string, error)

	// SyncDir makes durable which names there are: made, renamed, removed. It says nothing of the files' content.
	SyncDir() error
}

// File is an open file. It is safe for concurrent use, but what two writes leave that overlap is undefined.
type File interface {
	io.ReaderAt
	io.WriterAt

	// Size gives the length in bytes.
	Size() (int64, error)

	// Truncate sets the length in bytes; what it adds reads as zeros.
	Truncate(size int64) error

	// Sync makes content and length durable, not the name: fdatasync where there is one.
	Sync() error

	Close() error
}
