package objstore

import "sync/atomic"

// Stats counts what was asked of a bucket since it was opened, failed attempts included. What a driver adds on its
// own (retries, the parts of a large upload, the HEAD that S3's driver sends before a DELETE) is not counted.
type Stats struct {
	Gets, Puts, Lists, Heads, Deletes int64 // requests

	BytesIn  int64 // bytes of objects read
	BytesOut int64 // bytes of objects written, or tried to
}

// Requests returns the number of requests of every sort.
func (s Stats) Requests() int64 { return s.Gets + s.Puts + s.Lists + s.Heads + s.Deletes }

// Sub returns what was counted since old, an earlier reading of the same bucket.
func (s Stats) Sub(old Stats) Stats {
	return Stats{
		Gets:     s.Gets - old.Gets,
		Puts:     s.Puts - old.Puts,
		Lists:    s.Lists - old.Lists,
		Heads:    s.Heads - old.Heads,
		Deletes:  s.Deletes - old.Deletes,
		BytesIn:  s.BytesIn - old.BytesIn,
		BytesOut: s.BytesOut - old.BytesOut,
	}
}

// Stats returns the counters. Each is exact; while requests are under way, one may be counted whose bytes are not yet.
func (b *Bucket) Stats() Stats {
	c := &b.counts
	return Stats{
		Gets:     c.gets.Load(),
		Puts:     c.puts.Load(),
		Lists:    c.lists.Load(),
		Heads:    c.heads.Load(),
		Deletes:  c.deletes.Load(),
		BytesIn:  c.bytesIn.Load(),
		BytesOut: c.bytesOut.Load(),
	}
}

type counters struct {
	gets, puts, lists, heads, deletes atomic.Int64
	bytesIn, bytesOut                 atomic.Int64
}
