package sync

import (
	"time"

	"graft/snapshot"
)

// SetMaxSince sets how many bytes of addresses a commit carries.
func (r *Remote) SetMaxSince(n int) { r.maxSince = n }

// SetMaxPageSet sets how many bytes of a commit its page set may take.
func (r *Remote) SetMaxPageSet(n int) { r.maxPageSet = n }

// ForgetIndexes forgets what was decoded.
func (r *Remote) ForgetIndexes() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.indexes = make(map[snapshot.Point]*index)
}

// SetNow sets the clock.
func (r *Remote) SetNow(now func() time.Time) { r.now = now }

// ProofLasts is proofLasts.
const ProofLasts = proofLasts

// FitAliases is fitAliases.
var FitAliases = fitAliases
