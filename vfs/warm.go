package vfs

import (
	"context"
	"fmt"

	"github.com/dustin/go-humanize"

	"graft"
)

func (f *file) pragmaWarm(ctx context.Context, _ string) (string, any, error) {
	got, err := f.graft.Warm(ctx)
	return warmedText(got), warmDoc{got.LSN, got.Pages}, err
}

func (f *file) pragmaWarmPublish(ctx context.Context, value string) (string, any, error) {
	var size uint64
	if value != "" {
		var err error
		if size, err = humanize.ParseBytes(value); err != nil || size == 0 || size > 1<<50 {
			return "", nil, fmt.Errorf("graft: %q is not a size like 1MB", value)
		}
	}
	done, err := f.graft.PublishWarm(ctx, int64(size))
	return warmPublishedText(done), warmPublishDoc{done.LSN, done.Pages, done.Bytes}, err
}

func warmedText(w graft.Warmed) string {
	if w.LSN.IsZero() {
		return "Nobody has published which pages they use."
	}
	return fmt.Sprintf("Fetched %d pages that were used at LSN %d of the remote volume.", w.Pages, w.LSN)
}

func warmPublishedText(w graft.WarmPublished) string {
	if w.Pages == 0 {
		return "Nothing to publish: no page of the remote volume was used."
	}
	return fmt.Sprintf("Published %d used pages of LSN %d of the remote volume in %d bytes.", w.Pages, w.LSN, w.Bytes)
}

type warmDoc struct {
	LSN   graft.LSN `json:"lsn"`
	Pages int       `json:"pages"`
}

type warmPublishDoc struct {
	LSN   graft.LSN `json:"lsn"`
	Pages int       `json:"pages"`
	Bytes int64     `json:"bytes"`
}
