package vfs

import (
	"context"
	"fmt"
	"strings"

	"graft"
)

func (f *file) pragmaPin(ctx context.Context, value string) (string, any, error) {
	p, err := graft.ParsePin(value)
	if err != nil {
		return "", nil, err
	}
	got, err := f.graft.Pin(ctx, p)
	return fmt.Sprintf("Pinned %d pages, of which %d were fetched.", got.Pages, got.Fetched), pinnedDoc{got.Pages, got.Fetched}, err
}

func (f *file) pragmaUnpin(ctx context.Context, value string) (string, any, error) {
	p, err := graft.ParsePin(value)
	if err != nil {
		return "", nil, err
	}
	return "No longer pinned.", unpinnedDoc{p.String()}, f.graft.Unpin(ctx, p)
}

func (f *file) pragmaPins(ctx context.Context, _ string) (string, any, error) {
	pins, err := f.graft.Pins(ctx)
	return pinsText(pins), newPinsDoc(pins), err
}

func pinsText(pins []graft.PinInfo) string {
	if len(pins) == 0 {
		return "Nothing is pinned."
	}
	var b strings.Builder
	for _, p := range pins {
		fmt.Fprintf(&b, "%s: %s\n", p.Pin, coverageText(p.Coverage))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// coverageText tells how much is here.
func coverageText(c graft.Coverage) string {
	switch {
	case c.Missing == 0 && c.Whole:
		return fmt.Sprintf("all %d pages are here", c.Pages)
	case c.Whole:
		return fmt.Sprintf("%d of %d pages are missing, %d bytes to fetch", c.Missing, c.Pages, c.Bytes)
	}
	return fmt.Sprintf("%d of %d pages are missing, and those that they lead to; %d bytes to fetch or more", c.Missing, c.Pages, c.Bytes)
}

type pinnedDoc struct {
	Pages   int `json:"pages"`
	Fetched int `json:"fetched"`
}

type unpinnedDoc struct {
	Pin string `json:"pin"`
}

type coverageDoc struct {
	Pages   int   `json:"pages"`
	Missing int   `json:"missing"`
	Bytes   int64 `json:"bytes"`
	Whole   bool  `json:"whole"`
}

func newCoverageDoc(c graft.Coverage) coverageDoc {
	return coverageDoc{c.Pages, c.Missing, c.Bytes, c.Whole}
}

type pinDoc struct {
	Pin string `json:"pin"`
	coverageDoc
}

type pinsDoc struct {
	Pins []pinDoc `json:"pins"`
}

func newPinsDoc(pins []graft.PinInfo) pinsDoc {
	doc := pinsDoc{Pins: []pinDoc{}}
	for _, p := range pins {
		doc.Pins = append(doc.Pins, pinDoc{p.String(), newCoverageDoc(p.Coverage)})
	}
	return doc
}
