package vfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"testing"

	"pgregory.net/rapid"

	"graft"
)

const basePages = 40

// basePage is the content of a page of the Graft that journals of tests refer to.
func basePage(p graft.PageIdx) *graft.Page { return pageOf(p, 0) }

func pageOf(p graft.PageIdx, version int) *graft.Page {
	page := new(graft.Page)
	for i := range page {
		page[i] = byte(int(p)*31 + i + version*7)
	}
	return page
}

// databaseFile gives a file in whose Graft a transaction is open, on one of
// several contents.
func databaseFile(t *testing.T, version int) *file {
	t.Helper()
	ctx := context.Background()
	db, err := graft.Open(ctx, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := db.Graft(ctx, "main")
	if err != nil {
		t.Fatal(err)
	}
	_, err = g.Update(ctx, func(w *graft.Writer) error {
		for p := graft.PageIdx(1); p <= basePages; p++ {
			if err := w.Write(p, pageOf(p, version)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w, err := g.Writer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Discard()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &file{db: db, graft: g, writer: w}
}

// record is what SQLite writes for page p.
func journalRecord(p uint32, sum uint32, page []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, p)
	return binary.BigEndian.AppendUint32(append(b, page...), sum)
}

// TestJournalIsAFile compares a journal with an array of bytes, whatever is
// written: records in one, in three and in odd pieces, over one another, cut.
// A header begins the next transaction, which stands on other content.
func TestJournalIsAFile(t *testing.T) {
	f := databaseFile(t, 0)
	writers := []*graft.Writer{f.writer, databaseFile(t, 1).writer}
	rapid.Check(t, func(t *rapid.T) {
		j := &journal{file: f}
		f.writer = writers[0]
		defer func() {
			f.writer = writers[0]
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}()
		var want []byte
		ended := false // from the name of a super-journal to the next transaction
		write := func(p []byte, off int) {
			if off == 0 {
				want, ended = nil, false
			}
			if n, err := j.WriteAt(p, int64(off)); n != len(p) || err != nil {
				t.Fatalf("write of %d bytes at %d: %d, %v", len(p), off, n, err)
			}
			if ended {
				return
			}
			if end := off + len(p); end > len(want) {
				want = append(want, make([]byte, end-len(want))...)
			}
			copy(want[off:], p)
		}
		next := journalHeader // where the next record goes
		t.Repeat(map[string]func(*rapid.T){
			"header": func(t *rapid.T) {
				n := rapid.SampledFrom([]int{28, journalHeader}).Draw(t, "length")
				write(bytes.Repeat([]byte{rapid.Byte().Draw(t, "header")}, n), 0)
				f.writer = rapid.SampledFrom(writers).Draw(t, "writer")
				next = journalHeader
			},
			"super-journal": func(t *rapid.T) {
				if next < len(want) || len(want) == 0 {
					return // SQLite names it at the end
				}
				name := binary.BigEndian.AppendUint32(nil, superPage)
				for _, p := range [][]byte{name, []byte("/main-mj"), name} {
					if n, err := j.WriteAt(p, int64(next)); n != len(p) || err != nil {
						t.Fatal(n, err)
					}
				}
				ended = true
			},
			"record": func(t *rapid.T) {
				p := rapid.Uint32Range(0, basePages+2).Draw(t, "page")
				page := new(graft.Page)
				if p > 1 && p <= basePages && rapid.IntRange(0, 4).Draw(t, "as read") > 0 {
					page = pageOf(graft.PageIdx(p), rapid.IntRange(0, 1).Draw(t, "version"))
				}
				b := journalRecord(p, rapid.Uint32().Draw(t, "sum"), page[:])
				if rapid.Bool().Draw(t, "in one") {
					write(b, next)
				} else {
					write(b[:recordPage], next)
					write(b[recordPage:recordSum], next+recordPage)
					write(b[recordSum:], next+recordSum)
				}
				next += recordSize
			},
			"piece": func(t *rapid.T) {
				off := rapid.IntRange(0, len(want)+recordSize).Draw(t, "offset")
				n := rapid.SampledFrom([]int{1, 3, 4, 5, graft.PageSize, recordSize, 2 * recordSize}).Draw(t, "length")
				write(bytes.Repeat([]byte{rapid.Byte().Filter(func(b byte) bool { return b != 0 }).Draw(t, "byte")}, n), off)
				next = max(next, journalHeader+(len(want)-journalHeader+recordSize-1)/recordSize*recordSize)
			},
			"truncate": func(t *rapid.T) {
				n := rapid.IntRange(0, len(want)).Draw(t, "size")
				if err := j.Truncate(int64(n)); err != nil {
					t.Fatal(err)
				}
				if ended && n > 0 {
					return
				}
				want, ended = want[:n], false
				next = max(journalHeader, journalHeader+(n-journalHeader+recordSize-1)/recordSize*recordSize)
			},
			"": func(t *rapid.T) {
				if n, err := j.Size(); n != int64(len(want)) || err != nil {
					t.Fatalf("size %d, %v; want %d", n, err, len(want))
				}
				got := make([]byte, len(want)+1)
				if n, err := j.ReadAt(got, 0); n != len(want) || err != io.EOF || !bytes.Equal(got[:n], want) {
					t.Fatalf("read %d bytes of %d, %v; equal: %t", n, len(want), err, bytes.Equal(got[:min(n, len(want))], want))
				}
				from := rapid.IntRange(0, len(want)).Draw(t, "from")
				part := got[:rapid.IntRange(0, len(want)-from).Draw(t, "bytes")]
				if n, err := j.ReadAt(part, int64(from)); n != len(part) || err != nil || !bytes.Equal(part, want[from:from+n]) {
					t.Fatalf("read %d of %d bytes at %d, %v", n, len(part), from, err)
				}
			},
		})
	})
}

// TestJournalRefersToPages has a journal of whole records hold no page.
func TestJournalRefersToPages(t *testing.T) {
	f := databaseFile(t, 0)
	j := &journal{file: f}
	for p := uint32(2); p <= basePages; p++ {
		if _, err := j.WriteAt(journalRecord(p, 7, basePage(graft.PageIdx(p))[:]), recordOffset(int(p-2))); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := j.tempFile.Size(); n != 0 || err != nil {
		t.Errorf("%d bytes are kept, %v", n, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestJournalOfManyPages lets SQLite fill one: at most page 1 is in it as bytes.
func TestJournalOfManyPages(t *testing.T) {
	c := openSpied(t, t.TempDir(), "main", "&_pragma=cache_size(10)")
	c.exec(`CREATE TABLE t(a INTEGER PRIMARY KEY, b);
		WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 200) INSERT INTO t SELECT i, zeroblob(3000) FROM n;
		BEGIN; UPDATE t SET b = randomblob(3000)`)
	j := spies.journal
	kept, err := j.tempFile.Size()
	if err != nil || kept > journalHeader+recordSize || j.size < 200*recordSize {
		t.Errorf("%d of %d bytes are kept, %v", kept, j.size, err)
	}
	c.exec("ROLLBACK")
}

// TestJournalDropsTheSuperJournal ends where its name begins.
func TestJournalDropsTheSuperJournal(t *testing.T) {
	j := &journal{file: databaseFile(t, 0)}
	record := journalRecord(1, 7, basePage(1)[:])
	for _, w := range []struct {
		b   []byte
		off int64
	}{
		{make([]byte, journalHeader), 0}, {record, journalHeader},
		{binary.BigEndian.AppendUint32(nil, superPage), 3 * journalHeader}, {[]byte("main-mj12"), 3*journalHeader + 4},
	} {
		if n, err := j.WriteAt(w.b, w.off); n != len(w.b) || err != nil {
			t.Fatal(n, err)
		}
	}
	if n, err := j.Size(); n != journalHeader+recordSize || err != nil {
		t.Errorf("size %d, %v", n, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}
