package journal

import (
	"fmt"
	"slices"
)

// Append writes a record and gives its sequence number. The record survives a killed process from then on, and a power
// cut when it is synced. Append does not keep payload, which may be empty. After an error there is no record, but see
// ErrPoisoned. It returns ErrFull and ErrPoisoned; after another error, such as that of a full disk, the journal is as
// it was.
func (j *Journal) Append(payload []byte) (seq uint64, err error) {
	if int64(len(payload)) > j.MaxPayload() {
		return 0, fmt.Errorf("graft: journal record of %d bytes is over the limit of %d", len(payload), j.MaxPayload())
	}
	j.append.Lock()
	defer j.append.Unlock()
	if err := j.stopped(); err != nil {
		return 0, err
	}
	n := recordSize(int64(len(payload)))
	f, err := j.room(n)
	if err != nil {
		return 0, fmt.Errorf("append to journal: %w", err)
	}
	h := j.nextHeader()
	j.buf = encodeRecord(j.buf[:0], f.salt, h, payload)
	if _, err := f.WriteAt(j.buf, f.pos); err != nil {
		return 0, fmt.Errorf("append to journal: %w", j.takeBack(f, err))
	}
	j.appended(f, h.seq, n)
	return h.seq, nil
}

// Prepare makes room for a record with a payload of so many bytes, so that Append need not: it grows a file, or makes
// one. It returns the errors of Append.
func (j *Journal) Prepare(payload int64) error {
	j.append.Lock()
	defer j.append.Unlock()
	if err := j.stopped(); err != nil {
		return err
	}
	if _, err := j.room(recordSize(min(payload, j.MaxPayload()))); err != nil {
		return fmt.Errorf("prepare journal: %w", err)
	}
	return nil
}

func (j *Journal) nextHeader() header {
	j.mu.Lock()
	defer j.mu.Unlock()
	return header{seq: j.mu.next, prev: j.mu.last, durable: j.mu.durable, released: j.mu.released}
}

// appended publishes the record that was written to f.
func (j *Journal) appended(f *file, seq uint64, n int64) {
	if cap(j.buf) > keepBuffer {
		j.buf = nil
	}
	f.pos += n
	j.mu.Lock()
	defer j.mu.Unlock()
	f.last = seq
	j.mu.last, j.mu.next = seq, seq+1
	j.mu.live = append(j.mu.live, size{seq, n})
	j.mu.used += n
}

// takeBack destroys what a failed write has left at the end of f, durably, since the next Append may write its record
// elsewhere. It gives the error to return.
func (j *Journal) takeBack(f *file, cause error) error {
	_, err := f.WriteAt(make([]byte, slot), f.pos)
	if err == nil {
		err = j.syncFile(f)
	}
	if err != nil {
		return j.poison(fmt.Errorf("%w, and the record cannot be taken back: %w", cause, err))
	}
	return cause
}

// room gives a file with n bytes of room, synced, at its end.
func (j *Journal) room(n int64) (f *file, err error) {
	if files := j.mu.files; len(files) > 0 { // append is held
		f = files[len(files)-1]
	}
	if f == nil || f.pos+n > j.opts.FileSize {
		if f, err = j.rotate(); err != nil {
			return nil, err
		}
	}
	if f.pos+n <= f.size {
		return f, nil
	}
	end := min(f.size+(f.pos+n-f.size+j.opts.step-1)/j.opts.step*j.opts.step, j.opts.FileSize)
	if err := f.grow(end, j.opts.step); err != nil {
		return nil, fmt.Errorf("grow %s: %w", f.name, err)
	}
	if err := j.syncFile(f); err != nil {
		return nil, fmt.Errorf("grow %s: %w", f.name, err)
	}
	f.size = end
	return f, nil
}

// rotate gives the file to fill next, and moves it to the end: one that is released, else a new one.
func (j *Journal) rotate() (*file, error) {
	if f := j.reuse(); f != nil {
		return f, nil
	}
	files := j.mu.files // append is held
	if len(files) >= j.opts.Files {
		return nil, ErrFull
	}
	number := 1
	for slices.ContainsFunc(files, func(f *file) bool { return f.number == number }) {
		number++
	}
	f, err := createFile(j.fs, number, j.opts.firstSize())
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mu.files = append(j.mu.files, f)
	return f, nil
}

// reuse gives the first file without live records, or nil.
func (j *Journal) reuse() *file {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, f := range j.mu.files {
		if f.last <= j.mu.released {
			j.mu.files = append(slices.Delete(slices.Clone(j.mu.files), i, i+1), f)
			f.pos, f.last = fileHeader, 0
			return f
		}
	}
	return nil
}
