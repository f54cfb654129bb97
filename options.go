package graft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"gocloud.dev/blob"

	"graft/objstore"
)

// Options are the settings of a data directory. Nil and the zero value are the
// default. They hold for everybody in the process who has the directory open:
// who opens it again either leaves a setting at zero or gives the same.
type Options struct {
	// Remote is the URL of the bucket: mem://NAME, file:///PATH, or s3://NAME,
	// gs://NAME and azblob://NAME when the program imports graft/objstore/s3,
	// gcs and azure. Empty: no bucket, unless Bucket is set; then push, pull
	// and fetch return ErrNoRemote.
	Remote string

	// DefaultRemote is the URL of the bucket for who opens the directory first
	// and sets neither Remote nor Bucket. Others need not agree with it.
	DefaultRemote string

	// Bucket is a bucket that the program has opened itself, instead of
	// Remote. The program closes it, after the DB.
	Bucket *blob.Bucket

	// AutoSync pulls and pushes every Graft that has a Tag at this interval.
	// Zero: never.
	AutoSync time.Duration

	// Progress gets how far each operation of AutoSync is, as [WithProgress]
	// says; an idle Graft has one pull for each interval. It must not close the
	// DB. As the Logger, it is what was given by who opened the directory first.
	Progress func(Progress)

	// PageCache bounds the cache of pages in memory, in bytes. Zero: 32 MiB.
	PageCache int64

	// Cache bounds the pages that the bucket has and that are kept in the data
	// directory, in bytes of pages: those that were fetched, and those that were
	// pushed from here. Above it those that were not used for longest are removed
	// in the background, and fetched again when they are read; pages that are not
	// pushed never are. Zero: all are kept, as they are without a bucket.
	Cache int64

	// Warm has each clone get the pages that another replica has published by
	// [Graft.PublishWarm], beside the requests that it makes anyway.
	Warm bool

	// Hedge asks the bucket once more for what it has not begun to answer within the
	// time that so many percent of recent gets took, 50 to 99, and takes the answer
	// that begins first. It counts as a request. Zero: never.
	Hedge int

	// Logger gets what happens in the background. Nil: nothing is logged.
	Logger *slog.Logger
}

// clone copies o, which may be nil.
func (o *Options) clone() Options {
	if o == nil {
		return Options{}
	}
	return *o
}

// opening gives the options of who opens the directory first.
func (o Options) opening() Options {
	if !o.hasBucket() {
		o.Remote = o.DefaultRemote
	}
	return o
}

// Validate reports everything that is wrong with o at once.
func (o *Options) Validate() error {
	var errs []error
	if o.Remote != "" && o.Bucket != nil {
		errs = append(errs, errors.New("graft: options: both Remote and Bucket are set"))
	}
	if o.PageCache < 0 {
		errs = append(errs, fmt.Errorf("graft: options: PageCache is %d, below zero", o.PageCache))
	}
	if o.Cache < 0 {
		errs = append(errs, fmt.Errorf("graft: options: Cache is %d, below zero", o.Cache))
	}
	if o.Hedge != 0 && (o.Hedge < 50 || o.Hedge > 99) {
		errs = append(errs, fmt.Errorf("graft: options: Hedge is %d, not from 50 to 99", o.Hedge))
	}
	if o.AutoSync < 0 {
		errs = append(errs, fmt.Errorf("graft: options: AutoSync is %v, below zero", o.AutoSync))
	}
	return errors.Join(errs...)
}

func (o *Options) logger() *slog.Logger {
	if o.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Logger
}

// hasBucket tells whether o names a bucket.
func (o *Options) hasBucket() bool { return o.Remote != "" || o.Bucket != nil }

// quota is how many bytes of pages that the bucket has are kept, or zero: all.
func (o *Options) quota() int64 {
	if !o.hasBucket() {
		return 0 // nothing could be fetched again
	}
	return o.Cache
}

// openBucket opens the bucket that o names, or gives nil.
func (o *Options) openBucket(ctx context.Context) (*objstore.Bucket, error) {
	switch {
	case o.Bucket != nil:
		return objstore.New(o.Bucket), nil
	case o.Remote != "":
		return objstore.Open(ctx, o.Remote)
	}
	return nil, nil
}

// accepts tells whether a directory that was opened with o can be shared with
// who asks for other.
func (o *Options) accepts(other Options) error {
	var names []string
	if other.Remote != "" && other.Remote != o.Remote || other.Bucket != nil && other.Bucket != o.Bucket {
		names = append(names, "remote")
	}
	if other.AutoSync != 0 && other.AutoSync != o.AutoSync {
		names = append(names, "autosync")
	}
	if other.PageCache != 0 && other.PageCache != o.PageCache {
		names = append(names, "pagecache")
	}
	if other.Cache != 0 && other.Cache != o.Cache {
		names = append(names, "cache")
	}
	if other.Hedge != 0 && other.Hedge != o.Hedge {
		names = append(names, "hedge")
	}
	if other.Warm && !o.Warm {
		names = append(names, "warm")
	}
	if len(names) > 0 {
		return fmt.Errorf("graft: it is open in this process with another %s", strings.Join(names, " and "))
	}
	return nil
}

// maxTagSize is the longest Tag, in bytes: SQLite's file names are bounded.
const maxTagSize = 255

// ValidateTag tells what keeps name from being a Tag: Tags are 1 to 255 bytes
// of UTF-8 without a zero byte, and do not begin with a slash.
func ValidateTag(name string) error {
	switch {
	case name == "":
		return errors.New("graft: no tag given")
	case len(name) > maxTagSize:
		return fmt.Errorf("graft: tag of %d bytes is over the limit of %d", len(name), maxTagSize)
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return fmt.Errorf("graft: tag %q is not UTF-8 without zero bytes", name)
	case strings.HasPrefix(name, "/"):
		return fmt.Errorf("graft: tag %q begins with a slash", name)
	}
	return nil
}
