package journal

import (
	"fmt"
	"runtime"
)

// Sync waits until all records up to seq, which Append gave, are durable. Callers that come while an fdatasync runs
// share the next one. After an error, which is ErrPoisoned or that of a closed journal, the records may be durable or not.
//
//	0 yield  when the last fdatasync was shared, let those run first who are about to append a record
//	1 turn   wait for the turn to sync; if seq is durable by then, return
//	2 see    take the newest record, and the files that hold records not known to be durable, in the order of filling
//	3 sync   each of these; a failure poisons
//	4 tell   the newest record of 2 is durable, and all before it
//
// A file that was left when it was full comes before the one that is filled now, so that a power cut in 3 leaves more
// of the chain. One in any step leaves leftovers at worst: no record says that another is durable before 4.
func (j *Journal) Sync(seq uint64) error {
	if j.isShared() {
		runtime.Gosched() // to switch costs more than it brings to who is alone
	}
	done, err := j.takeTurn(seq)
	if done || err != nil {
		return err
	}
	files, newest := j.unsynced()
	for _, f := range files { // 3
		if err := f.Sync(); err != nil {
			err = j.poison(fmt.Errorf("sync %s, outcome unknown: %w", f.name, err))
			j.endTurn(0)
			return err
		}
	}
	j.endTurn(newest) // 4
	return nil
}

// isShared tells whether the last fdatasync made more than one record durable.
func (j *Journal) isShared() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mu.shared
}

// takeTurn waits for the turn to sync, which it takes unless seq is durable by
// then or will never be. Two at a time may not sync: the kernel reports a failed
// write to one of them.
func (j *Journal) takeTurn(seq uint64) (done bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		if done, err := j.isDurable(seq); done || err != nil {
			return done, err
		}
		if !j.mu.syncing {
			j.mu.syncing = true
			return false, nil
		}
		j.synced.Wait()
	}
}

// endTurn gives up the turn to sync. All up to seq is durable. Whoever waits for
// that goes on at once, and not one after the other.
func (j *Journal) endTurn(seq uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mu.syncing = false
	if seq > j.mu.durable {
		j.mu.shared = seq > j.mu.durable+1
		j.mu.durable = seq
	}
	j.synced.Broadcast()
}

// lockTurn takes the turn to sync in any case. endTurn gives it up.
func (j *Journal) lockTurn() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.mu.syncing {
		j.synced.Wait()
	}
	j.mu.syncing = true
}

// isDurable tells whether seq is durable, and why it will never be. The caller
// holds mu.
func (j *Journal) isDurable(seq uint64) (bool, error) {
	switch {
	case seq <= j.mu.durable:
		return true, nil
	case j.mu.stopped != nil:
		return false, j.mu.stopped
	case seq > j.mu.last:
		return false, fmt.Errorf("graft: sync of journal record %d, newest is %d", seq, j.mu.last)
	}
	return false, nil
}

func (j *Journal) unsynced() (files []*file, newest uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.mu.files {
		if f.last > j.mu.durable {
			files = append(files, f)
		}
	}
	return files, j.mu.last
}

// syncFile syncs f for Append, in its turn. A failure poisons if f holds records that are not known to be durable.
func (j *Journal) syncFile(f *file) error {
	j.lockTurn()
	defer j.endTurn(0)
	err := f.Sync()
	if err != nil && j.holdsUndurable(f) {
		return j.poison(fmt.Errorf("sync %s, outcome unknown: %w", f.name, err))
	}
	return err
}

func (j *Journal) holdsUndurable(f *file) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return f.last > j.mu.durable
}
