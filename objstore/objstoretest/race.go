package objstoretest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"graft/objstore"
)

// A PutFunc puts data at key if there is nothing, or returns an error that is objstore.ErrExist: the method
// PutIfAbsent of a bucket, or something that has another process call it.
type PutFunc func(ctx context.Context, key string, data []byte) error

// Race has all of puts write to one key at a time, keys times over, and returns what was wrong: a key must have one
// winner, the others must get ErrExist, and reader must find the winner's bytes. Its keys begin with prefix and must
// be free.
func Race(ctx context.Context, reader *objstore.Bucket, prefix string, keys int, puts []PutFunc) (findings []string) {
	for i := range keys {
		key := fmt.Sprintf("%srace/log/%016x", prefix, i)
		errs := make([]error, len(puts))
		start := make(chan struct{})
		var wg sync.WaitGroup
		for w, put := range puts {
			wg.Go(func() {
				<-start
				errs[w] = put(ctx, key, writerData(w))
			})
		}
		close(start)
		wg.Wait()
		findings = append(findings, judge(ctx, reader, key, errs)...)
	}
	return findings
}

// judge returns what is wrong with the outcomes errs of the writers of key.
func judge(ctx context.Context, reader *objstore.Bucket, key string, errs []error) (findings []string) {
	find := func(format string, args ...any) {
		findings = append(findings, fmt.Sprintf("key %q: ", key)+fmt.Sprintf(format, args...))
	}
	var winners []int
	for w, err := range errs {
		switch {
		case err == nil:
			winners = append(winners, w)
		case !errors.Is(err, objstore.ErrExist):
			find("writer %d got %v, not ErrExist", w, err)
		}
	}
	if len(winners) != 1 {
		find("the winners are %d, want one", winners)
	}
	data, err := reader.Get(ctx, key, 1<<20)
	if err != nil {
		find("no bytes: %v", err)
	}
	if len(winners) == 1 && err == nil && string(data) != string(writerData(winners[0])) {
		find("writer %d won, but the bytes are %q", winners[0], data)
	}
	return findings
}

func writerData(w int) []byte { return fmt.Appendf(nil, "writer %d", w) }
