package objstore

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"gocloud.dev/gcerrors"
)

var (
	// ErrExist is returned by PutIfAbsent when the key is taken. It does not say by whom: see the package comment.
	ErrExist = errors.New("graft: object already exists")

	// ErrRefused is returned by PutIfAbsent when the put surely did not happen and will not: see the package comment.
	ErrRefused = errors.New("graft: put refused")

	// ErrNotExist is returned by Get and GetRange when the bucket answered that it has no such object, and by
	// nothing less certain than that.
	ErrNotExist = errors.New("graft: object does not exist")

	// ErrTooLarge is returned by Get for an object of more bytes than the caller wants to have.
	ErrTooLarge = errors.New("graft: object is larger than the limit")

	// ErrTooShort is returned by GetRange when the bucket answered that the object ends before the range does, and by
	// nothing less certain than that: an answer that was cut is another error.
	ErrTooShort = fmt.Errorf("graft: object ends before: %w", io.ErrUnexpectedEOF)
)

// errLength comes with a body that is shorter or longer than its answer said.
var errLength = fmt.Errorf("graft: wrong length of answer: %w", io.ErrUnexpectedEOF)

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
	kindNotFoundUnclear      // 404 without a reason: the object is absent, or the bucket, or a proxy knows neither
	kindNoBucket
)

// kindOf classifies err. gocloud's code alone will not do: NotFound stands for a missing bucket, a redirect and an
// archived object as well with S3, and for a host without an address with Azure.
func kindOf(err error) kind {
	switch code, status := serviceCode(err), httpStatus(err); {
	case code == "NoSuchBucket":
		return kindNoBucket
	case code == "" && status == 0: // not from a server
		if gcerrors.Code(err) == gcerrors.NotFound && !isUnsent(err) && !isBroken(err) {
			return kindNotFound
		}
	case status != 0 && status != http.StatusNotFound:
	case code == "NoSuchKey":
		return kindNotFound
	case code == "NotFound": // from the status alone, as in all answers to HEAD; others come with a reason
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

// isRefusal reports whether err is an answer after which a put surely did not happen and will not.
func isRefusal(err error) bool {
	switch status := httpStatus(err); status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusPreconditionFailed, http.StatusTooManyRequests:
		return false
	default:
		return status/100 == 4
	}
}

// isUnsent reports whether err says that no connection came about, and so no request was sent.
func isUnsent(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect") || errors.As(err, &dns) || isUntrusted(err)
}

// isUntrusted reports whether err says that the server did not prove who it is.
func isUntrusted(err error) bool {
	var cert *tls.CertificateVerificationError
	return errors.As(err, &cert)
}

// isTransient reports whether the same request may do better a moment later.
func isTransient(err error) bool {
	if isDefinite(err) || isUntrusted(err) || errors.Is(err, ErrTooShort) {
		return false
	}
	if status := httpStatus(err); status/100 > 2 {
		return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests ||
			status/100 == 5 && status != http.StatusNotImplemented
	}
	return gcerrors.Code(err) == gcerrors.ResourceExhausted || isUnsent(err) || isBroken(err)
}

// isBroken reports whether err says that the connection broke, or ended too early.
func isBroken(err error) bool {
	for _, target := range []error{
		io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, net.ErrClosed,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	var request *url.Error // what http.Client makes of all that came instead of an answer
	var op *net.OpError
	var timeout net.Error // file systems give these, too
	return errors.As(err, &request) || errors.As(err, &op) || errors.As(err, &timeout) && timeout.Timeout()
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
