package sync

import (
	"math"

	"graft/volume"
)

// blockBits is how many low bits of an LSN the smallest block leaves open. A block
// is the LSNs whose keys have all digits but the last few in common, so that a
// listing names none but those: 256 of them, or 16 times as many, and so on.
const blockBits = 8

// lastOf gives the newest LSN of a block.
func lastOf(block uint64, bits uint) volume.LSN { return volume.LSN(block<<bits | (1<<bits - 1)) }

// question is what a search wants to know next, by one request: the newest LSN that
// a listing of a block names, or whether the last of a smallest block is there.
type question struct {
	list  bool
	block uint64
	bits  uint
}

// headSearch plans how the newest commit of a Volume is found where the listing
// does not name it first. Commits are never deleted, so that LSNs are there up to
// the newest and no further.
//
// It lists a block that should have the head, as large as it guesses the distance.
// A listing that names some keys of many, as chance will have it, leads to a smaller
// block, and one that is all there to a larger one behind. Where that leads nowhere,
// for the keys are not by chance, it doubles its steps, and halves the distance, by
// the last LSN of smallest blocks. A store that lists no blocks, as S3's directory
// buckets, which take no prefix that ends within a name, is asked for single LSNs.
type headSearch struct {
	newest volume.LSN // that is known to be there
	spread uint64     // the head should be so near
	wider  uint64     // or else so
	lists  int
	step   uint64
	bound  uint64 // a smallest block whose last LSN is not there, if above is set
	above  bool
	noList bool // the store lists no blocks: each LSN is a block of its own
	done   bool
}

// startSearch begins at an LSN that is there; the head should be near expected.
func startSearch(from, expected volume.LSN) headSearch {
	guess := uint64(max(from, expected) - from)
	return headSearch{newest: from, spread: guess, wider: guess, step: 1}
}

// expectedHead guesses the head by the newest of so many keys that a listing gave in
// no order: they are spread over the log.
func expectedHead(newest volume.LSN, keys int) volume.LSN { return newest + newest/volume.LSN(keys) }

const (
	maxGuesses  = 10
	searchKeys  = 1000 // that a listing gives at most
	largestBits = 48
)

// next gives the next question, or false when newest is the head.
func (s *headSearch) next() (question, bool) {
	if s.done || s.newest == math.MaxUint64 {
		return question{}, false
	}
	following := uint64(s.newest) + 1
	size := uint(blockBits)
	if s.noList {
		size = 0
	}
	block := following >> size
	switch {
	case s.noList && s.above && block == s.bound:
		return question{}, false
	case !s.noList && s.lists < maxGuesses:
		bits := uint(blockBits)
		for bits < largestBits && 1<<bits < 2*s.spread {
			bits += 4
		}
		return question{list: true, block: following >> bits, bits: bits}, true
	case s.above && block == s.bound:
		return question{list: true, block: block, bits: blockBits}, true
	case s.above:
		return question{block: block + (s.bound-block)/2, bits: size}, true
	}
	return question{block: min(block, math.MaxUint64>>size-s.step+1) + s.step - 1, bits: size}, true
}

// refused answers that the store does not list a block: nothing is asked of it but
// whether single LSNs are there, from where the head should be.
func (s *headSearch) refused() {
	if s.above {
		s.bound = uint64(lastOf(s.bound, blockBits))
	}
	s.noList, s.step = true, max(s.spread, 1)
}

// listed answers with the newest LSN that the listing named, or zero, and whether it
// was whole.
func (s *headSearch) listed(q question, newest volume.LSN, whole bool) {
	s.lists++
	s.newest = max(s.newest, newest)
	last := lastOf(q.block, q.bits)
	switch {
	case s.above || whole && newest < last:
		s.done = true
	case newest == last:
		s.spread, s.wider = s.wider, min(16*max(s.wider, 16), 1<<largestBits)
	default:
		s.spread = 1 << q.bits / searchKeys
	}
}

// probed answers whether the last LSN of a block is there.
func (s *headSearch) probed(q question, there bool) {
	if there {
		s.newest = lastOf(q.block, q.bits)
	} else {
		s.bound, s.above = q.block, true
	}
	s.step *= 2
}
