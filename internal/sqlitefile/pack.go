package sqlitefile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
)

// ErrUnpack is returned for bytes that [Pack] did not give.
var ErrUnpack = errors.New("not packed pages")

// Streams are pages taken apart, so that bytes which are alike stand together and
// compress well. Interior pages of B-trees are little but page numbers and keys that
// grow slowly: of these the differences are kept.
type Streams [streamCount][]byte

const (
	forms    = iota // of each page: whole, or taken apart
	headers         // page headers
	children        // of each cell: page number less that of the cell before
	rows            // of each cell of a table: row less that of the cell before
	places          // of each cell: offset, as far as it is not in front of the cell before
	keys            // of each cell of an index: length and bytes of the key
	gaps            // bytes that no cell takes, of a table less those a cell before; whole pages

	streamCount
)

const (
	wholePage byte = iota
	apart
)

const (
	interiorHeader = 12
	// longestKey is how long a key is at most that surely stands in its cell as a
	// whole, in pages of 4096 bytes.
	longestKey = 900
)

// Pack takes pages apart. [Unpack] gives the same bytes, whatever they are.
func Pack(pages [][]byte) *Streams {
	var all Streams
	for _, page := range pages {
		one := Streams{forms: {apart}}
		if !one.take(page) || !one.gives(page) {
			one = Streams{forms: {wholePage}, gaps: page}
		}
		for i := range all {
			all[i] = append(all[i], one[i]...)
		}
	}
	return &all
}

// gives tells whether s is page taken apart.
func (s *Streams) gives(page []byte) bool {
	again, err := Unpack(*s, 1, len(page))
	return err == nil && slices.Equal(again[0], page)
}

// take takes an interior page apart, unless its bytes make no sense.
func (s *Streams) take(page []byte) bool {
	kind := page[0]
	if kind != interiorTable && kind != interiorIndex {
		return false
	}
	n := int(binary.BigEndian.Uint16(page[3:]))
	free := interiorHeader + 2*n
	if free > len(page) {
		return false
	}
	s[headers] = append(s[headers], page[:interiorHeader]...)
	used := make([]bool, len(page))
	for i := range free {
		used[i] = true
	}
	child, row, next, stride := int64(0), int64(0), int64(len(page)), 0
	for i := range n {
		off := int(binary.BigEndian.Uint16(page[interiorHeader+2*i:]))
		if off < free || off+4 > len(page) {
			return false
		}
		c := int64(binary.BigEndian.Uint32(page[off:]))
		s[children] = binary.AppendVarint(s[children], c-child)
		child = c
		v, rest, ok := varint(page[off+4:])
		if !ok || kind == interiorIndex && (v > longestKey || v > uint64(len(rest))) {
			return false
		}
		end := len(page) - len(rest)
		if kind == interiorTable {
			s[rows] = binary.AppendVarint(s[rows], int64(v)-row)
			row, stride = int64(v), end-off
		} else {
			s[keys] = append(binary.AppendUvarint(s[keys], v), rest[:v]...)
			end += int(v)
		}
		s[places] = binary.AppendVarint(s[places], next-int64(end))
		next = int64(off)
		for j := off; j < end; j++ {
			used[j] = true
		}
	}
	s[gaps] = append(s[gaps], differences(unused(page, used), stride)...)
	return true
}

// unused gives the bytes of a page that no cell takes.
func unused(page []byte, used []bool) []byte {
	var b []byte
	for i, u := range used {
		if !u {
			b = append(b, page[i])
		}
	}
	return b
}

// differences gives b less what is stride bytes before, if stride is not zero: what
// lies in a gap of a table's page are mostly cells of earlier days.
func differences(b []byte, stride int) []byte {
	for i := len(b) - 1; i >= stride && stride > 0; i-- {
		b[i] -= b[i-stride]
	}
	return b
}

// Unpack gives n pages of size bytes from what [Pack] made of them. It takes memory
// for these pages, whatever s is. Bytes that Pack does not give are ErrUnpack, or
// pages of no sense.
func Unpack(s Streams, n, size int) ([][]byte, error) {
	u := unpacker{from: s}
	pages := make([][]byte, 0, min(n, len(s[forms])))
	used := make([]byte, size)
	for range n {
		form, ok := u.cut(forms, 1)
		if !ok {
			return nil, ErrUnpack
		}
		var page []byte
		switch form[0] {
		case wholePage:
			b, enough := u.cut(gaps, size)
			page, ok = slices.Clone(b), enough
		case apart:
			page, ok = u.restore(used)
		default:
			ok = false
		}
		if !ok {
			return nil, ErrUnpack
		}
		pages = append(pages, page)
	}
	for i := range s {
		if u.at[i] < len(s[i]) {
			return nil, ErrUnpack
		}
	}
	return pages, nil
}

// unpacker reads streams from the front. It moves numbers, not slices, which a
// collection of garbage would have to be told of.
type unpacker struct {
	from Streams
	at   [streamCount]int
}

// cut takes n bytes from a stream.
func (u *unpacker) cut(stream, n int) ([]byte, bool) {
	b := u.from[stream][u.at[stream]:]
	if n < 0 || n > len(b) {
		return nil, false
	}
	u.at[stream] += n
	return b[:n], true
}

// number takes a number from a stream.
func (u *unpacker) number(stream int) (int64, bool) {
	b := u.from[stream][u.at[stream]:]
	if len(b) > 0 && b[0] < 0x80 { // as nearly all are
		u.at[stream]++
		return int64(b[0]>>1) ^ -int64(b[0]&1), true
	}
	v, n := binary.Varint(b)
	u.at[stream] += max(n, 0)
	return v, n > 0
}

// restore puts a page together. used is as long as the page.
func (u *unpacker) restore(used []byte) ([]byte, bool) {
	header, ok := u.cut(headers, interiorHeader)
	size := len(used)
	if !ok || size < interiorHeader || header[0] != interiorTable && header[0] != interiorIndex {
		return nil, false
	}
	page := make([]byte, size)
	copy(page, header)
	n := int(binary.BigEndian.Uint16(header[3:]))
	free := interiorHeader + 2*n
	if free > size {
		return nil, false
	}
	clear(used)
	mark(used[:free])
	child, row, next, stride := int64(0), int64(0), int64(size), 0
	var number [10]byte
	for i := range n {
		step, ok := u.number(children)
		place, ok2 := u.number(places)
		lead, key, ok3 := u.cell(header[0], number[:0], &row)
		length := 4 + len(lead) + len(key)
		off := next - place - int64(length)
		if !ok || !ok2 || !ok3 || off < int64(free) || off > int64(size-length) {
			return nil, false
		}
		child += step
		binary.BigEndian.PutUint16(page[interiorHeader+2*i:], uint16(off))
		cell := page[off:][:length]
		binary.BigEndian.PutUint32(cell, uint32(child))
		copy(cell[4+copy(cell[4:], lead):], key)
		mark(used[off:][:length])
		next = off
		if header[0] == interiorTable {
			stride = length
		}
	}
	return page, u.fill(page, used, stride)
}

// mark notes bytes as used.
func mark(used []byte) {
	for i := range used {
		used[i] = 1
	}
}

// fill puts the bytes of gaps into those of a page that no cell takes.
func (u *unpacker) fill(page, used []byte, stride int) bool {
	gap, ok := u.cut(gaps, bytes.Count(used, []byte{0}))
	if !ok {
		return false
	}
	gap = slices.Clone(gap)
	for i := stride; stride > 0 && i < len(gap); i++ {
		gap[i] += gap[i-stride]
	}
	for at := 0; len(gap) > 0; {
		at += bytes.IndexByte(used[at:], 0)
		n := bytes.IndexByte(used[at:], 1)
		if n < 0 {
			n = len(used) - at
		}
		gap = gap[copy(page[at:at+n], gap):]
		at += n
	}
	return true
}

// cell gives what a cell has behind the page number: a row or the length of a key,
// which it appends to lead, and the key.
func (u *unpacker) cell(kind byte, lead []byte, row *int64) (number, key []byte, ok bool) {
	if kind == interiorTable {
		step, ok := u.number(rows)
		*row += step
		return appendVarint(lead, uint64(*row)), nil, ok
	}
	length, n := binary.Uvarint(u.from[keys][u.at[keys]:])
	if n <= 0 || length > longestKey {
		return nil, nil, false
	}
	u.at[keys] += n
	key, ok = u.cut(keys, int(length))
	return appendVarint(lead, length), key, ok
}

// appendVarint appends v as a SQLite varint of the least bytes.
func appendVarint(b []byte, v uint64) []byte {
	if v > 1<<56-1 {
		for i := range 8 {
			b = append(b, byte(v>>(57-7*i))|0x80)
		}
		return append(b, byte(v))
	}
	n := 1
	for x := v >> 7; x > 0; x >>= 7 {
		n++
	}
	for i := n - 1; i > 0; i-- {
		b = append(b, byte(v>>(7*i))|0x80)
	}
	return append(b, byte(v)&0x7f)
}
