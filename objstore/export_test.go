package objstore

import "time"

// SetRequestTimeout replaces the deadline of requests.
func (b *Bucket) SetRequestTimeout(d time.Duration) { b.requestTimeout = d }
