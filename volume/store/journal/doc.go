// Package journal is the redo journal: a log of small records that are applied elsewhere later. A record is a payload of
// bytes under a sequence number. [Journal.Append] writes one, [Journal.Sync] waits until it is durable, sharing an
// fdatasync with all who wait, and [Journal.Release] says that it is durable elsewhere. [Open] replays those that are
// not. A killed process loses no record that Append returned; a power cut loses a suffix of the records that no Sync
// covered, never one from the midst, and never a part of one.
//
// It does not promise to find damage to the newest record: that looks like a power cut. It needs a disk that writes a
// sector of 512 bytes whole or not at all, and that leaves a sector alone when it is overwritten by what it held.
// One process has the directory at a time; who calls sees to that.
//
// # Format
//
// The journal is a set of files journal-00000001, journal-00000002, …; a name that ends in .new is a file that is being
// made, and holds nothing. Numbers are little endian. A file starts with a header:
//
//	offset  size  field
//	     0     8  magic "GRFTJRNL"
//	     8     4  version, 1
//	    12     4  CRC-32C of bytes 0 to 11 and 16 to 63
//	    16     8  salt, random, drawn when the file is made
//	    24    40  zero
//
// Magic, version and checksum stay where they are in all versions. Records follow at multiples of 64 bytes, with
// anything between them: zeros, records that were released, and pieces of such. A record:
//
//	offset  size  field
//	     0     4  magic "GREC"
//	     4     4  length of the payload, n
//	     8     8  sequence number, from 1
//	    16     8  sequence number of the record before, 0 for none
//	    24     8  durable: all up to this sequence number was durable when the record was written
//	    32     8  released: all up to this sequence number was released by then
//	    40     4  CRC-32C of the payload
//	    44     4  CRC-32C of the file's salt and of bytes 0 to 43
//	    48     n  payload
//
// Nothing covers the padding. The salt keeps a payload that holds the bytes of a journal from being taken for records,
// and with the checksum of the header alone a scan takes time linear in the size of the file.
//
// Each record names the one before, mostly its own number less 1: the records not yet released are a chain. Files are
// filled one after the other; one whose records are all released is filled anew from its start.
//
// Nothing can rebuild a journal that is lost: it holds what no other file has yet.
package journal
