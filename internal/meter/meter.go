// Package meter counts what statements take of a bucket and of the local store, and
// refuses requests that a budget has no room for. Meters are carried by contexts.
package meter

import (
	"sync"
	"sync/atomic"
)

// Kind is a kind of request to a bucket.
type Kind int

// The kinds of requests.
const (
	Get Kind = iota
	Put
	List
	Head
	Delete
	kinds
)

// Origin is where a page came from.
type Origin int

// The origins of pages.
const (
	Cached  Origin = iota // the page cache
	Local                 // the local store
	Fetched               // the bucket
	origins
)

// S3's list prices in dollars: Standard storage in us-east-1, first tier, of August
// 2025, from https://aws.amazon.com/s3/pricing/.
const (
	pricePut  = 0.005 / 1000  // PUT, LIST
	priceGet  = 0.0004 / 1000 // GET, HEAD; DELETE is free
	priceByte = 0.09 / 1e9    // out to the Internet; free inside the region
)

// Stats counts requests to the bucket, failed attempts included, and pages of
// Snapshots that were read. SQLite's own cache, and pages of an open transaction,
// are not seen.
type Stats struct {
	Gets, Puts, Lists, Heads, Deletes int64 // requests

	BytesIn  int64 // bytes of objects read
	BytesOut int64 // bytes of objects written, or tried to

	// RoundTrips is the length of the longest chain of requests of which each
	// began after the one before had ended.
	RoundTrips int64

	PagesCached  int64 // read from the page cache
	PagesLocal   int64 // read from the local store
	PagesFetched int64 // got from the bucket: many may come with one request
}

// Requests is the number of requests of every kind.
func (s Stats) Requests() int64 { return s.Gets + s.Puts + s.Lists + s.Heads + s.Deletes }

// Pages is the number of pages that were read, wherever from.
func (s Stats) Pages() int64 { return s.PagesCached + s.PagesLocal + s.PagesFetched }

// RequestDollars is what the requests cost at S3's list prices (Standard storage,
// us-east-1, https://aws.amazon.com/s3/pricing/).
func (s Stats) RequestDollars() float64 {
	return float64(s.Puts+s.Lists)*pricePut + float64(s.Gets+s.Heads)*priceGet
}

// TransferDollars is what BytesIn cost at S3's list price where the bucket is reached
// over the Internet. Inside the region they are free.
func (s Stats) TransferDollars() float64 { return float64(s.BytesIn) * priceByte }

// Meter adds up Stats. The zero value is empty. It is safe for concurrent use.
type Meter struct {
	pages Pages

	mu struct {
		sync.Mutex
		requests [kinds]int64
		in, out  int64
		reserved int64 // bytes that requests under way are still to read
		ended    int64 // longest chain of requests that have ended
		trips    int64
	}
}

// Stats gives what was counted so far.
func (m *Meter) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &m.mu.requests
	return Stats{
		Gets: r[Get], Puts: r[Put], Lists: r[List], Heads: r[Head], Deletes: r[Delete],
		BytesIn: m.mu.in, BytesOut: m.mu.out, RoundTrips: m.mu.trips,
		PagesCached: m.pages[Cached].Load(), PagesLocal: m.pages[Local].Load(), PagesFetched: m.pages[Fetched].Load(),
	}
}

// Page counts a page.
func (m *Meter) Page(from Origin) { m.pages.Page(from) }

// AddPages counts the pages of p.
func (m *Meter) AddPages(p *Pages) {
	for from := range p {
		if n := p[from].Load(); n > 0 {
			m.pages[from].Add(n)
		}
	}
}

// Pages counts pages by origin. It is safe for concurrent use; one that many use at
// once is slow.
type Pages [origins]atomic.Int64

// Page counts a page.
func (p *Pages) Page(from Origin) { p[from].Add(1) }

// begin counts a request that is to read so many bytes, if b has room for it, and
// gives its place in the longest chain.
func (m *Meter) begin(kind Kind, bytes int64, b Budget) (depth int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.checkLocked(1, bytes, b); err != nil {
		return 0, err
	}
	m.mu.requests[kind]++
	m.mu.reserved += bytes
	depth = m.mu.ended + 1
	m.mu.trips = max(m.mu.trips, depth)
	return depth, nil
}

// expect reserves bytes of a request that has begun.
func (m *Meter) expect(bytes int64, b Budget) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.checkLocked(0, bytes, b); err != nil {
		return err
	}
	m.mu.reserved += bytes
	return nil
}

func (m *Meter) checkLocked(requests, bytes int64, b Budget) error {
	var spent int64
	for _, n := range m.mu.requests {
		spent += n
	}
	return b.check(spent, m.mu.in+m.mu.reserved, requests, bytes)
}

// read counts bytes that were read, of which some had been reserved.
func (m *Meter) read(n, reserved int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.in += n
	m.mu.reserved -= reserved
}

func (m *Meter) wrote(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.out += n
}

// end tells that a request at depth has ended, and what it reserved.
func (m *Meter) end(depth, reserved int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.ended = max(m.mu.ended, depth)
	m.mu.reserved -= reserved
}
