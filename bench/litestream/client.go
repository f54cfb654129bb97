//go:build vfs

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"time"

	"github.com/benbjohnson/litestream"
	"github.com/superfly/ltx"
)

// client is a replica client of the benchmarks' bucket, which is served by HTTP.
// It asks as Litestream's client of S3 does: a LIST of a level whatever is sought,
// a GET with a range for each read, a PUT for each file.
type client struct {
	base string
	http *http.Client
}

var _ litestream.ReplicaClient = (*client)(nil)

func newClient(base string) *client {
	return &client{base: base, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}}
}

// Type implements litestream.ReplicaClient.
func (*client) Type() string { return "bench" }

// Init implements litestream.ReplicaClient.
func (*client) Init(context.Context) error { return nil }

// SetLogger implements litestream.ReplicaClient.
func (*client) SetLogger(*slog.Logger) {}

// do gives the answer of a request, or os.ErrNotExist.
func (c *client) do(ctx context.Context, method, target, span string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+target, body)
	if err != nil {
		return nil, err
	}
	if span != "" {
		req.Header.Set("Range", span)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return nil, closed(resp, os.ErrNotExist)
	case resp.StatusCode >= 300:
		return nil, closed(resp, fmt.Errorf("%s %s: %s", method, target, resp.Status))
	}
	return resp, nil
}

func closed(resp *http.Response, err error) error {
	_ = resp.Body.Close() // err says more
	return err
}

func key(level int, minTXID, maxTXID ltx.TXID) string {
	return fmt.Sprintf("ltx/%04x/%s", level, ltx.FormatFilename(minTXID, maxTXID))
}

// LTXFiles implements litestream.ReplicaClient.
func (c *client) LTXFiles(ctx context.Context, level int, seek ltx.TXID, _ bool) (ltx.FileIterator, error) {
	resp, err := c.do(ctx, http.MethodGet, "/list?prefix="+url.QueryEscape(fmt.Sprintf("ltx/%04x/", level)), "", nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var objects []struct {
		Key  string
		Size int64
		Time time.Time
	}
	if err := json.NewDecoder(resp.Body).Decode(&objects); err != nil {
		return nil, err
	}
	var infos []*ltx.FileInfo
	for _, o := range objects {
		minTXID, maxTXID, err := ltx.ParseFilename(path.Base(o.Key))
		if err != nil || minTXID < seek {
			continue
		}
		infos = append(infos, &ltx.FileInfo{Level: level, MinTXID: minTXID, MaxTXID: maxTXID, Size: o.Size, CreatedAt: o.Time})
	}
	return ltx.NewFileInfoSliceIterator(infos), nil
}

// OpenLTXFile implements litestream.ReplicaClient.
func (c *client) OpenLTXFile(ctx context.Context, level int, minTXID, maxTXID ltx.TXID, offset, size int64) (io.ReadCloser, error) {
	span := fmt.Sprintf("bytes=%d-", offset)
	if size > 0 {
		span += fmt.Sprint(offset + size - 1)
	}
	resp, err := c.do(ctx, http.MethodGet, "/o/"+key(level, minTXID, maxTXID), span, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// WriteLTXFile implements litestream.ReplicaClient.
func (c *client) WriteLTXFile(ctx context.Context, level int, minTXID, maxTXID ltx.TXID, r io.Reader) (*ltx.FileInfo, error) {
	counted := &counter{r: r}
	resp, err := c.do(ctx, http.MethodPut, "/o/"+key(level, minTXID, maxTXID), "", counted)
	if err != nil {
		return nil, err
	}
	info := &ltx.FileInfo{Level: level, MinTXID: minTXID, MaxTXID: maxTXID, Size: counted.n, CreatedAt: time.Now().UTC()}
	return info, resp.Body.Close()
}

// DeleteLTXFiles implements litestream.ReplicaClient. S3 deletes up to 1,000 by one request.
func (c *client) DeleteLTXFiles(ctx context.Context, infos []*ltx.FileInfo) error {
	for _, info := range infos {
		resp, err := c.do(ctx, http.MethodDelete, "/o/"+key(info.Level, info.MinTXID, info.MaxTXID), "", nil)
		if err != nil {
			return err
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
	}
	return nil
}

// DeleteAll implements litestream.ReplicaClient.
func (c *client) DeleteAll(context.Context) error { return fmt.Errorf("delete all: not here") }

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
