package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"graft/internal/filesys/crashfs"
	"graft/volume"
)

// synced gives a journal of three files, each record synced, those up to applied released, and all records.
func synced(t *testing.T) (fsys *crashfs.FS, applied uint64, recs []rec) {
	t.Helper()
	fsys = crashfs.New()
	j, _ := mustOpen(t, fsys, 0, small)
	for i := range 18 {
		p := fmt.Sprintf("%02d%s", i, strings.Repeat("x", 200+i*40))
		seq := mustAppend(t, j, p)
		mustSync(t, j, seq)
		recs = append(recs, rec{seq, p})
		if seq == 16 {
			applied = 9
			j.Release(applied)
		}
	}
	fsys = fsys.Kill()
	if names := mustList(t, fsys); len(names) != 3 {
		t.Fatalf("files %q", names)
	}
	return fsys, applied, recs
}

func mustList(t *testing.T, fsys *crashfs.FS) []string {
	t.Helper()
	names, err := fsys.List()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// damaged opens a copy of the journal whose file has other content. It wants ErrCorrupt or ErrVersion, with nothing
// changed, or the records above applied but for at most lack of the newest.
func damaged(t *testing.T, what string, from *crashfs.FS, name string, content []byte, want []rec, lack int) {
	t.Helper()
	fsys := crashfs.New()
	for _, n := range mustList(t, from) {
		fsys.SetContent(n, from.Content(n))
	}
	fsys.SetContent(name, content)
	j, got, err := tryOpen(fsys, want[0].seq-1, small)
	if err != nil {
		switch {
		case !errors.Is(err, volume.ErrCorrupt) && !errors.Is(err, volume.ErrVersion):
			t.Fatalf("%s: %v", what, err)
		case !strings.Contains(err.Error(), namePrefix):
			t.Fatalf("%s: %v names no file", what, err)
		case len(got) > 0 || fsys.Handles() != 0 || !bytes.Equal(fsys.Content(name), content):
			t.Fatalf("%s: replayed %d records, left %d files open", what, len(got), fsys.Handles())
		}
		return
	}
	if len(got) < len(want)-lack || len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
		t.Fatalf("%s: replayed %s, want %s but for %d", what, text(got), text(want), lack)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFlippedByteIsFound(t *testing.T) {
	fsys, applied, recs := synced(t)
	for _, name := range mustList(t, fsys) {
		content := fsys.Content(name)
		for i := range content {
			b := slices.Clone(content)
			b[i] ^= 1 << (i % 8)
			// The newest record is the one that nothing later proves.
			damaged(t, fmt.Sprintf("%s byte %d", name, i), fsys, name, b, recs[applied:], 1)
		}
	}
}

func TestTruncatedFileIsFound(t *testing.T) {
	fsys, applied, recs := synced(t)
	want := recs[applied:]
	for _, name := range mustList(t, fsys) {
		content := fsys.Content(name)
		for n := 0; n < len(content); n += 8 {
			// What stands in the cut part of the newest file was proved by nothing else; see which it is.
			lack := 0
			for i := len(want) - 1; i >= 0; i-- {
				if at := bytes.Index(content, []byte(want[i].payload)); at < 0 || at+len(want[i].payload) <= n {
					break
				}
				lack++
			}
			damaged(t, fmt.Sprintf("%s cut to %d", name, n), fsys, name, content[:n], want, lack)
		}
	}
}

func TestMissingFileIsFound(t *testing.T) {
	fsys, applied, recs := synced(t)
	found := 0
	for _, name := range mustList(t, fsys) {
		c := crashfs.New()
		for _, n := range mustList(t, fsys) {
			if n != name {
				c.SetContent(n, fsys.Content(n))
			}
		}
		_, got, err := tryOpen(c, applied, small)
		newest := bytes.Contains(fsys.Content(name), []byte(recs[len(recs)-1].payload))
		if errors.Is(err, volume.ErrCorrupt) {
			found++
		} else if err != nil || !newest && !slices.Equal(got, recs[applied:]) {
			t.Errorf("without %s: replayed %s, %v", name, text(got), err)
		}
	}
	if found == 0 {
		t.Error("no missing file was found")
	}
}

// TestOldStoreIsFound opens a journal with a store that is older than what was released.
func TestOldStoreIsFound(t *testing.T) {
	fsys, applied, _ := synced(t)
	if _, _, err := tryOpen(fsys, applied-1, small); !errors.Is(err, volume.ErrCorrupt) {
		t.Fatal(err)
	}
}

func TestRecordThatIsThereTwice(t *testing.T) {
	fsys := crashfs.New()
	j, _ := mustOpen(t, fsys, 0, small)
	mustAppend(t, j, "one")
	fsys = fsys.Kill()
	b := fsys.Content(fileName(1))
	copy(b[fileHeader+2*slot:], b[fileHeader:fileHeader+slot])
	fsys.SetContent(fileName(1), b)
	if _, _, err := tryOpen(fsys, 0, small); !errors.Is(err, volume.ErrCorrupt) {
		t.Fatal(err)
	}
}

func TestUnknownVersion(t *testing.T) {
	fsys, applied, _ := synced(t)
	name := fileName(1)
	b := fsys.Content(name)
	b[8] = 2
	seal(b)
	fsys.SetContent(name, b)
	if _, _, err := tryOpen(fsys, applied, small); !errors.Is(err, volume.ErrVersion) || !strings.Contains(err.Error(), name) {
		t.Fatal(err)
	}
}

// TestNestedRecordsAreNoRecords appends the bytes of a journal to another, and damages the record that holds them.
func TestNestedRecordsAreNoRecords(t *testing.T) {
	from, _, _ := synced(t)
	fsys := crashfs.New()
	j, _ := mustOpen(t, fsys, 0, small)
	mustAppend(t, j, "first")
	// At a slot of the file, as it was.
	mustAppend(t, j, strings.Repeat(" ", slot-recordHeader)+string(from.Content(fileName(1))[fileHeader:3000]))
	fsys = fsys.Kill()
	b := fsys.Content(fileName(1))
	b[fileHeader+slot+recordHeader] = '!'
	fsys.SetContent(fileName(1), b)
	j, got := mustOpen(t, fsys, 0, small)
	if len(got) != 1 || got[0].payload != "first" || j.Next() != 3 {
		t.Fatalf("replayed %s, next %d", text(got), j.Next())
	}
}

// TestFormat builds a file by the table of the package comment.
func TestFormat(t *testing.T) {
	le, crc := binary.LittleEndian, func(b ...byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
	head := append([]byte("GRFTJRNL"), 1, 0, 0, 0)
	salt := []byte("saltsalt")
	rest := append(slices.Clone(salt), make([]byte, 40)...)
	file := append(le.AppendUint32(slices.Clone(head), crc(append(head, rest...)...)), rest...)
	r := le.AppendUint32([]byte("GREC"), 5)
	for _, v := range []uint64{7, 4, 3, 2} {
		r = le.AppendUint64(r, v)
	}
	r = le.AppendUint32(r, crc([]byte("hello")...))
	r = le.AppendUint32(r, crc(append(salt, r...)...))
	file = append(append(file, r...), "hello"...)
	fsys := crashfs.New()
	fsys.SetContent("journal-00000007", file)
	j, got := mustOpen(t, fsys, 4, Options{})
	if len(got) != 1 || got[0] != (rec{7, "hello"}) || j.Next() != 8 {
		t.Fatalf("replayed %s, next %d", text(got), j.Next())
	}
	// The file ends within the padding: growing it must not touch the payload.
	mustSync(t, j, mustAppend(t, j, "world"))
	if _, got = mustOpen(t, fsys.Kill(), 4, Options{}); len(got) != 2 || got[0].payload != "hello" || got[1] != (rec{8, "world"}) {
		t.Fatalf("replayed %s", text(got))
	}
}

// seal mends the checksum of the file header, and those of whatever starts as a record and is not within another.
func seal(b []byte) {
	if len(b) < fileHeader {
		return
	}
	binary.LittleEndian.PutUint32(b[12:], fileChecksum(b))
	for off, step := int64(fileHeader), int64(0); off+recordHeader <= int64(len(b)); off += step {
		r := b[off:]
		if step = slot; string(r[:4]) != recordMagic {
			continue
		}
		if n := int64(binary.LittleEndian.Uint32(r[4:])); recordHeader+n <= int64(len(r)) {
			binary.LittleEndian.PutUint32(r[40:], crc32.Checksum(r[recordHeader:recordHeader+n], castagnoli))
			step = recordSize(n)
		}
		binary.LittleEndian.PutUint32(r[44:], headerChecksum(salt(b[16:24]), r))
	}
}

// straddled gives a file with one record, which ends within another of another file, which makes no sense.
func straddled(b []byte) []byte {
	b = encodeRecord(slices.Clone(b[:fileHeader]), salt(b[16:24]), header{seq: 1}, make([]byte, slot/2))
	copy(b[fileHeader+slot:], encodeRecord(nil, salt{}, header{seq: 2, prev: 3}, nil))
	return b
}

// FuzzOpen opens any bytes, and the same with good checksums. A journal that opens takes a record and gives it back,
// after those it gave before.
func FuzzOpen(f *testing.F) {
	fsys := crashfs.New()
	j, err := Open(fsys, 0, small, nil)
	if err != nil {
		f.Fatal(err)
	}
	for i := range 12 {
		if _, err := j.Append(bytes.Repeat([]byte{byte(i)}, 100*i)); err != nil {
			f.Fatal(err)
		}
	}
	one, two := fsys.Content(fileName(1)), fsys.Content(fileName(2))
	f.Add(one, two, uint64(0), false)
	f.Add(one, two, uint64(5), true)
	f.Add(two, one[:1000], uint64(3), true)
	f.Add([]byte{}, []byte(fileMagic), uint64(0), true)
	f.Add(one, straddled(two), uint64(12), true)
	f.Fuzz(func(t *testing.T, one, two []byte, applied uint64, mend bool) {
		fsys := crashfs.New()
		for i, b := range [][]byte{one, two} {
			if b = slices.Clone(b); mend {
				seal(b)
			}
			fsys.SetContent(fileName(i+1), append([]byte{}, b...))
		}
		j, before, err := tryOpen(fsys, applied, small)
		if err != nil {
			if n := fsys.Handles(); n != 0 {
				t.Fatalf("%d files open after %v", n, err)
			}
			return
		}
		j.check(t)
		next := j.Next()
		fsys = fsys.Kill()
		j, again, err := tryOpen(fsys, applied, small)
		if err != nil || j.Next() != next || !slices.Equal(again, before) {
			t.Fatalf("open again: next %d, then %d, %s, then %s, %v", next, j.Next(), text(before), text(again), err)
		}
		seq, err := j.Append([]byte("more"))
		if errors.Is(err, ErrFull) {
			return
		}
		if err != nil || seq != next {
			t.Fatalf("append gave %d instead of %d, %v", seq, next, err)
		}
		_, again, err = tryOpen(fsys.Kill(), applied, small)
		if err != nil || !slices.Equal(again, append(before, rec{seq, "more"})) {
			t.Fatalf("open with one more: %s, %v", text(again), err)
		}
	})
}
