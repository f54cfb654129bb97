package objstore

import (
	"errors"
	"net/http"

	"gocloud.dev/gcerrors"
)

var (
	// ErrExist is returned by PutIfAbsent when the key is taken. It does not say by whom: see the package comment.
	ErrExist = errors.New("graft: object already exists")

	// ErrNotExist is returned by Get and GetRange when the bucket answered that it has no such object, and by
	// nothing less certain than that.
	ErrNotExist = errors.New("graft: object does not exist")
)

var (
	errClosed   = errors.New("graft: bucket is closed")
	errNoBucket = errors.New("graft: bucket does not exist")
	errNoAnswer = errors.New("graft: no answer") // cause of an ended request context
	errStalled  = errors.New("graft: no progress")
	errAborted  = errors.New("graft: upload aborted")
)

// A kind is what the error of a driver says for certain.
type kind int

const (
	kindOther           kind = iota
	kindNotFound             // the object is absent
	kindNotFoundUnclear      // the object is absent, or the bucket is
	kindNoBucket
)

// kindOf classifies err. gocloud's code alone will not do: for S3, NotFound stands for a missing bucket, a redirect
// and an archived object as well.
func kindOf(err error) kind {
	code, status := serviceCode(err), httpStatus(err)
	if code == "NoSuchBucket" {
		return kindNoBucket
	}
	if gcerrors.Code(err) != gcerrors.NotFound || status != 0 && status != http.StatusNotFound {
		return kindOther
	}
	switch {
	case code == "NoSuchKey", code == "" && status == 0:
		return kindNotFound
	case code == "NotFound": // from the status alone, as in all answers to HEAD
		return kindNotFoundUnclear
	}
	return kindOther
}

// isConflict reports whether err says that the key of a conditional put was taken. 409 does not say so: S3 sends it
// when the put collided with another request, and wants it repeated.
func isConflict(err error) bool {
	return gcerrors.Code(err) == gcerrors.FailedPrecondition || httpStatus(err) == http.StatusPreconditionFailed ||
		serviceCode(err) == "PreconditionFailed"
}

// isDefinite reports whether err is the bucket's own answer rather than the lack of one.
func isDefinite(err error) bool {
	return kindOf(err) != kindOther || isConflict(err)
}

// serviceCode returns the error code that the service sent, as SDKs give it, or "".
func serviceCode(err error) string {
	var e interface {
		error
		ErrorCode() string
	}
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// httpStatus returns the status of the HTTP answer in err, as SDKs give it, or 0.
func httpStatus(err error) int {
	var e interface {
		error
		HTTPStatusCode() int
	}
	if errors.As(err, &e) {
		return e.HTTPStatusCode()
	}
	return 0
}
