package objstore

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
	s := b.meter.Stats()
	return Stats{s.Gets, s.Puts, s.Lists, s.Heads, s.Deletes, s.BytesIn, s.BytesOut}
}

// RoundTrips returns the length of the longest chain of requests since the bucket was opened of which each began after
// the one before had ended.
func (b *Bucket) RoundTrips() int64 { return b.meter.Stats().RoundTrips }
