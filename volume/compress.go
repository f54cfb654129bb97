package volume

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// What a page index is of is compressed by Zstandard: whoever opens a replica waits
// until it is decompressed, which takes DEFLATE nearly three times as long, to the same
// size (docs/adr/0021). Pages are compressed by LZ4, in frames: see [FrameEncoder].

// compressedWindow is how far the encoder looks back, which is all that it compresses. It keeps
// memory in proportion.
const compressedWindow = 2 << 20

var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	// One at a time, lest there be tables for each processor. A hash is over all of it anyway.
	return must(zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(compressedWindow), zstd.WithEncoderCRC(false)))
})

var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	return must(zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxPartPlain)))
})

// must gives c. An error is of options that cannot be, which are constants above: it
// depends on no input.
func must[C any](c C, err error) C {
	if err != nil {
		panic(fmt.Errorf("graft: options of zstd: %w", err))
	}
	return c
}

func compress(plain []byte) []byte { return zstdEncoder().EncodeAll(plain, nil) }

// decompress gives what was compressed, if that is at most so many bytes. Whatever b
// is, it takes memory for a part of a bundle at most.
func decompress(b []byte, most int) ([]byte, error) {
	plain, err := zstdDecoder().DecodeAll(b, nil)
	if err == nil && len(plain) > most {
		err = fmt.Errorf("more than %d bytes", most)
	}
	return plain, err
}
