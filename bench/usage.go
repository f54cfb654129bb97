package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// requestKind is what a bucket is asked for.
type requestKind int

const (
	getRequest    requestKind = iota
	rangedRequest             // GET of a part of an object
	putRequest
	partRequest // one of those that an upload in parts consists of
	listRequest // of one page
	headRequest
	deleteRequest

	requestKinds
)

func (k requestKind) String() string {
	return [requestKinds]string{"GET", "ranged GET", "PUT", "PUT of a part", "LIST", "HEAD", "DELETE"}[k]
}

// asked is one request.
type asked struct {
	kind           requestKind
	key            string // of a LIST: the prefix
	offset, length int64  // of a GET; a length below 0 is to the end

	place  int64 // in the longest chain that ends with it: its round trip
	flying int   // requests that were in flight when it began, itself among them

	begun, ended time.Time
}

// usage is what was asked of a bucket.
type usage struct {
	requests          [requestKinds]int64
	bytesIn, bytesOut int64 // of objects

	// chain is the number of sequential round trips: the length of the longest
	// chain of requests each of which began when the one before had ended.
	// Requests that are in flight together are one.
	chain int64
}

func (u usage) total() (sum int64) {
	for _, n := range u.requests {
		sum += n
	}
	return sum
}

// sub is what was asked since old. Nothing was in flight at either moment.
func (u usage) sub(old usage) usage {
	for k := range u.requests {
		u.requests[k] -= old.requests[k]
	}
	u.bytesIn -= old.bytesIn
	u.bytesOut -= old.bytesOut
	u.chain -= old.chain
	return u
}

// add is what was asked at two times, one after the other.
func (u usage) add(other usage) usage {
	for k := range u.requests {
		u.requests[k] += other.requests[k]
	}
	u.bytesIn += other.bytesIn
	u.bytesOut += other.bytesOut
	u.chain += other.chain
	return u
}

// String names the kinds that there are.
func (u usage) String() string {
	var parts []string
	for k, n := range u.requests {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %v", n, requestKind(k)))
		}
	}
	if parts == nil {
		return "no request"
	}
	return strings.Join(parts, ", ")
}

// meter counts requests as they come and go. It is safe for concurrent use.
type meter struct {
	mu struct {
		sync.Mutex
		usage
		flying  int
		watched bool
		seen    []asked
	}
}

// begin counts a request. The caller calls end once, when it has its answer.
func (m *meter) begin(a asked) (end func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.requests[a.kind]++
	m.mu.flying++
	a.place, a.flying, a.begun = m.mu.chain+1, m.mu.flying, time.Now()
	n := len(m.mu.seen)
	if m.mu.watched {
		m.mu.seen = append(m.mu.seen, a)
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.mu.flying--
		m.mu.chain = max(m.mu.chain, a.place)
		if n < len(m.mu.seen) {
			m.mu.seen[n].ended = time.Now()
		}
	}
}

// watch keeps what is asked from now on, for [meter.watched]. It is called once, if at all,
// before the first request.
func (m *meter) watch() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.watched = true
}

// watched gives the requests since watch, as they began. Nothing is in flight.
func (m *meter) watched() []asked {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.seen
}

func (m *meter) moved(in, out int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.bytesIn += int64(in)
	m.mu.bytesOut += int64(out)
}

// usage is what was counted so far.
func (m *meter) usage() usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.usage
}
