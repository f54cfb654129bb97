package volume

import (
	"fmt"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// What a page index is of is compressed by Zstandard: whoever opens a replica waits
// until it is decompressed, which takes DEFLATE nearly three times as long, to the same
// size (docs/adr/0021). Pages are compressed by LZ4, in frames: see [FrameEncoder].

// compressedWindow is more than anything that is compressed has, so that it is one segment.
const compressedWindow = 2 << 20

var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	// One at a time, lest there be tables for each processor. A hash is over all of it anyway.
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(compressedWindow), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // options that cannot be
	}
	return e
})

var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxPartPlain))
	if err != nil {
		panic(err)
	}
	return d
})

// compress compresses parts, one after the other.
func compress(parts ...[]byte) []byte { return zstdEncoder().EncodeAll(slices.Concat(parts...), nil) }

// decompress gives what was compressed, if that is at most so many bytes. Whatever b
// is, it takes memory for a part of a bundle at most.
func decompress(b []byte, most int) ([]byte, error) {
	plain, err := zstdDecoder().DecodeAll(b, nil)
	if err == nil && len(plain) > most {
		err = fmt.Errorf("more than %d bytes", most)
	}
	return plain, err
}
