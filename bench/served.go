package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// serveBucket serves a bucket to programs of peers by HTTP, on loopback: GET with a
// range, PUT and DELETE of /o/KEY, and GET of /list?prefix=PREFIX. The bucket counts
// and slows what is asked as it does for graft. The caller closes the server.
func serveBucket(b bucket) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /o/{key...}", func(w http.ResponseWriter, r *http.Request) { answer(w, getObject(b, w, r)) })
	mux.HandleFunc("PUT /o/{key...}", func(w http.ResponseWriter, r *http.Request) { answer(w, putObject(b, r)) })
	mux.HandleFunc("DELETE /o/{key...}", func(w http.ResponseWriter, r *http.Request) { answer(w, b.Delete(r.Context(), r.PathValue("key"))) })
	mux.HandleFunc("GET /list", func(w http.ResponseWriter, r *http.Request) { answer(w, listObjects(b, w, r)) })
	return httptest.NewServer(mux)
}

func answer(w http.ResponseWriter, err error) {
	switch {
	case err == nil:
	case gcerrors.Code(err) == gcerrors.NotFound:
		http.Error(w, err.Error(), http.StatusNotFound)
	default:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func getObject(b bucket, w http.ResponseWriter, r *http.Request) error {
	offset, length, err := parseRange(r.Header.Get("Range"))
	if err != nil {
		return err
	}
	o, err := b.NewRangeReader(r.Context(), r.PathValue("key"), offset, length, nil)
	if err != nil {
		return err
	}
	_, _ = io.Copy(w, o) // whoever has read enough goes
	return o.Close()
}

// parseRange reads a header of the form bytes=FIRST- or bytes=FIRST-LAST.
func parseRange(header string) (offset, length int64, err error) {
	if header == "" {
		return 0, -1, nil
	}
	var last int64
	switch n, _ := fmt.Sscanf(header, "bytes=%d-%d", &offset, &last); n {
	case 1:
		return offset, -1, nil
	case 2:
		return offset, last - offset + 1, nil
	}
	return 0, 0, fmt.Errorf("range %q", header)
}

func putObject(b bucket, r *http.Request) error {
	w, err := b.NewWriter(r.Context(), r.PathValue("key"), &blob.WriterOptions{ContentType: "application/octet-stream"})
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r.Body)
	return errors.Join(err, w.Close())
}

// listObjects asks for pages of 1,000 objects, as S3 gives them.
func listObjects(b bucket, w http.ResponseWriter, r *http.Request) error {
	type object struct {
		Key  string
		Size int64
		Time time.Time
	}
	all := []object{}
	token := blob.FirstPageToken
	for len(token) > 0 {
		page, next, err := b.ListPage(r.Context(), token, 1000, &blob.ListOptions{Prefix: r.FormValue("prefix")})
		if err != nil {
			return err
		}
		for _, o := range page {
			if !strings.HasSuffix(o.Key, ".tmp") {
				all = append(all, object{o.Key, o.Size, o.ModTime})
			}
		}
		token = next
	}
	return json.NewEncoder(w).Encode(all)
}
