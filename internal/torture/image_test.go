package torture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"

	"graft/internal/testdir"
)

// image is a data directory at one moment: what a process that is killed then
// leaves behind.
type image map[string]*fileImage

// fileImage is a file without what is zeros.
type fileImage struct {
	size   int64
	chunks map[int64][]byte // by offset, a multiple of chunkSize
}

const chunkSize = 64 << 10

// takeImage reads the data directory until nothing changes under its eyes:
// there was a moment at which it was as the image says.
func takeImage(dir string) (image, error) {
	last, err := readImage(dir)
	for tries := 0; ; tries++ {
		next, nextErr := readImage(dir)
		if err == nil && nextErr == nil && last.equal(next) {
			return next, nil
		}
		if tries == 1000 {
			return nil, errors.Join(errors.New("the directory is never still"), err, nextErr)
		}
		last, err = next, nextErr
	}
}

func (i image) equal(o image) bool {
	return maps.EqualFunc(i, o, func(a, b *fileImage) bool {
		return a.size == b.size && maps.EqualFunc(a.chunks, b.chunks, bytes.Equal)
	})
}

func readImage(dir string) (image, error) {
	img := make(image)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		img[filepath.ToSlash(rel)], err = readFile(path)
		return err
	})
	return img, err
}

func readFile(path string) (*fileImage, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	img := &fileImage{size: info.Size(), chunks: make(map[int64][]byte)}
	var zeros [chunkSize]byte
	for off := testdir.NextData(f, 0); off < img.size; off = testdir.NextData(f, off+chunkSize) {
		off -= off % chunkSize
		b := make([]byte, chunkSize)
		n, err := f.ReadAt(b, off)
		if err != nil && err != io.EOF {
			return nil, err
		}
		if b = b[:n]; !bytes.Equal(b, zeros[:n]) {
			img.chunks[off] = b
		}
	}
	return img, nil
}

// write makes a data directory of the image.
func (i image) write(dir string) error {
	for name, file := range i {
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			return err
		}
		if err := file.write(to); err != nil {
			return err
		}
	}
	return nil
}

func (f *fileImage) write(path string) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	for off, b := range f.chunks {
		if _, err := out.WriteAt(b, off); err != nil {
			return err
		}
	}
	return out.Truncate(f.size)
}

// Of the redo journal's format, which its package documents: records stand at
// multiples of slot, and each says what was durable when it was written.
const (
	slot         = 64
	recordHeader = 48
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is the header of a redo record, a part of the image.
type record []byte

func (r record) seq() uint64     { return binary.LittleEndian.Uint64(r[8:]) }
func (r record) durable() uint64 { return binary.LittleEndian.Uint64(r[24:]) }

// records gives the headers of all redo records, stale ones too.
func (i image) records() (all []record) {
	for name, file := range i {
		head := file.chunks[0]
		if !strings.HasPrefix(path.Base(name), "journal-") || strings.HasSuffix(name, ".new") || len(head) < slot {
			continue
		}
		salt := crc32.Checksum(head[16:24], castagnoli)
		for _, b := range file.chunks {
			for ; len(b) >= recordHeader; b = b[min(slot, len(b)):] {
				r := record(b[:recordHeader])
				if string(r[:4]) == "GREC" && crc32.Update(salt, castagnoli, r[:44]) == binary.LittleEndian.Uint32(r[44:]) {
					all = append(all, r)
				}
			}
		}
	}
	return all
}

// durableNow gives the newest redo record in a data directory that no power cut
// may take, as the newest record says, which was written after the image before.
// When it is not there the journal was trimmed meanwhile, because all of it was in
// Badger: then it is the newest of the image.
func durableNow(dir string, before image) (uint64, error) {
	img, err := readImage(filepath.Join(dir, "journal"))
	if err != nil {
		return 0, err
	}
	newest, durable := img.newest()
	if n, _ := before.newest(); n >= newest {
		return n, nil
	}
	return durable, nil
}

// newest gives the newest redo record, and the one that it says is durable.
func (i image) newest() (newest, durable uint64) {
	for _, rec := range i.records() {
		if rec.seq() > newest {
			newest, durable = rec.seq(), rec.durable()
		}
	}
	return newest, durable
}

// cut takes from the image what a power cut may take: redo records after the
// one that was durable, from one that r draws on, of which others may be left
// over. What it leaves of Badger is right, which syncs whatever it writes. It
// gives how many records are lost.
func (i image) cut(r *rand.Rand, durable uint64) (lost int) {
	newest, _ := i.newest()
	if newest <= durable {
		return 0
	}
	return i.cutFrom(r, durable+1+r.Uint64N(newest-durable))
}

// cutFrom takes redo record from and, as r draws, others after it. It gives how many
// are lost.
func (i image) cutFrom(r *rand.Rand, from uint64) (lost int) {
	newest, _ := i.newest()
	for _, rec := range i.records() {
		if seq := rec.seq(); seq == from || seq > from && r.IntN(2) == 0 {
			clear(rec)
		}
	}
	return int(newest + 1 - min(from, newest+1))
}
