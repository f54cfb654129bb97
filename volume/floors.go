package volume

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// floors says how many bytes of its message each element of a repeated field takes
// at least, in what the format wants of it and beside it. More elements than fit
// are damage, and no memory is spent on them: an empty message takes 2 bytes in a
// record and more than a hundred once it is decoded.
var floors = map[protoreflect.Name]map[protowire.Number]int{
	"Commit": {
		5:  35, // segments: a SegmentID, and a page set of 13 bytes or more
		9:  1,  // features
		13: 22, // ancestors: a VolumeID and an LSN
	},
	"PageTable": {
		1: 25, // sources: a SegmentID, and a frame
		2: 5,  // frame_source: with the other frame fields, and a page
		3: 5,  // frame_skip
		4: 5,  // frame_length
		5: 2,  // page_gap: with page_step
		6: 2,  // page_step
	},
	"CheckpointRoot": {
		4:  42, // objects: an LSN, and a chunk
		5:  38, // chunk_gap: with a SHA-256, and the other chunk fields
		6:  38, // chunk_object
		7:  38, // chunk_offset
		8:  38, // chunk_length
		10: 38, // chunk_pages
		11: 38, // chunk_leaves
		13: 1,  // features
	},
	"WarmSet": {
		3: 17, // object_length: with an envelope of 16 bytes
		5: 18, // frame_length: a page of 16 bytes or more, and a page_segment
		8: 17, // page_segment: with a page
		9: 1,  // features
	},
	"FrameIndex": {
		1: 2, // length: with last_page
		2: 2, // last_page
	},
	"SegmentState": {
		4: 35, // aliases: as segments of a Commit
	},
	"Leaf": {
		2: 1, // refs
	},
}

// checkFloors returns ErrCorrupt for a message with more elements in a repeated
// field, its own or one of a message in it, than its bytes have room for, and for
// one that is written as graft writes none: with a field that stands there twice and
// is no repeated message, or with repeated numbers that are not packed. To decode
// numbers that come one by one takes time and memory for the square of their count.
// It allocates nothing that depends on b.
func checkFloors(b []byte, d protoreflect.MessageDescriptor) error {
	floor := floors[d.Name()]
	size := len(b)
	var counts [maxField + 1]int
	for len(b) > 0 {
		f, kind, value, rest, err := nextField(b, d)
		if err != nil {
			return err
		}
		if b = rest; f == nil {
			continue
		}
		num := f.Number()
		if counts[num] > 0 && (!f.IsList() || f.Message() == nil) || f.IsList() && kind != protowire.BytesType {
			return fmt.Errorf("%w: %s with %s in pieces", ErrCorrupt, d.Name(), f.Name())
		}
		if f.Message() != nil && kind == protowire.BytesType {
			if err := checkFloors(value, f.Message()); err != nil {
				return err
			}
		}
		counts[num] += elements(f, value)
		if f.IsList() && counts[num] > size/floor[num] {
			return fmt.Errorf("%w: %s of %d bytes with %d or more %s", ErrCorrupt, d.Name(), size, counts[num], f.Name())
		}
	}
	return nil
}

// nextField cuts the first field from b. Its descriptor is nil where the format has
// none; the value of one with a length is given without that.
func nextField(b []byte, d protoreflect.MessageDescriptor) (f protoreflect.FieldDescriptor, kind protowire.Type, value, rest []byte, err error) {
	num, kind, n := protowire.ConsumeTag(b)
	size := 0
	if n >= 0 {
		if size = protowire.ConsumeFieldValue(num, kind, b[n:]); size < 0 {
			n = size
		}
	}
	if n < 0 {
		return nil, 0, nil, nil, fmt.Errorf("%w: record: %w", ErrCorrupt, protowire.ParseError(n))
	}
	value, rest = b[n:n+size], b[n+size:]
	if kind == protowire.BytesType {
		value, _ = protowire.ConsumeBytes(value)
	}
	return d.Fields().ByNumber(num), kind, value, rest, nil
}

// elements is how many elements an occurrence of a field has, but 1 at least.
func elements(f protoreflect.FieldDescriptor, value []byte) int {
	if f.Message() != nil || !f.IsList() {
		return 1
	}
	n := 0
	for _, c := range value {
		if c < 0x80 { // the end of a varint
			n++
		}
	}
	return max(n, 1)
}

// maxField is the highest number of a field.
const maxField = 14
