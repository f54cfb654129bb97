package volume

import (
	"fmt"
	"strconv"
)

// PageSize is the size of every page, in bytes.
const PageSize = 4096

// Page is the content of one page. Pages are shared by pointer between
// readers, caches and codecs: whoever hands one over must not change it
// afterwards.
type Page [PageSize]byte

// CopyPage gives a copy of the first PageSize bytes of b.
func CopyPage(b []byte) *Page {
	// Not Page(b): append does not clear the memory before it copies.
	return (*Page)(append([]byte(nil), b[:PageSize]...))
}

// PageIdx is the index of a page in its Volume, from 1.
type PageIdx uint32

// ParsePageIdx reads a decimal page index of at least 1.
func ParsePageIdx(text string) (PageIdx, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("graft: page index %q is not a whole number from 1", text)
	}
	return PageIdx(n), nil
}

func (p PageIdx) String() string { return strconv.FormatUint(uint64(p), 10) }

// IsZero tells whether p is the index of no page.
func (p PageIdx) IsZero() bool { return p == 0 }

// PageCount is a number of pages: the highest PageIdx of a Volume, written or
// not.
type PageCount uint32

// ParsePageCount reads a decimal page count.
func ParsePageCount(text string) (PageCount, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("graft: page count %q is not a whole number", text)
	}
	return PageCount(n), nil
}

func (n PageCount) String() string { return strconv.FormatUint(uint64(n), 10) }

// IsZero tells whether n is the count of an empty Volume.
func (n PageCount) IsZero() bool { return n == 0 }

// Bytes is the size of n pages.
func (n PageCount) Bytes() int64 { return int64(n) * PageSize }

// Has tells whether page p is within the count.
func (n PageCount) Has(p PageIdx) bool { return p >= 1 && uint32(p) <= uint32(n) }
