//go:build !faketime

package bucket

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// wrapS3 says what was attempted and puts S3's codes into our errors. A conflict (409)
// between two writers of a key decides nothing: it stays an error that is tried again,
// and the next try meets the object or not.
func wrapS3(ctx context.Context, op Op, key string, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		return fmt.Errorf("%s %s: %w", op, key, ctxErr)
	}
	status, header := s3Status(err)
	code, text := s3Code(err)
	words := func(kind error) error {
		if text == "" {
			return fmt.Errorf("%s %s: %w (%d %s)", op, key, kind, status, code)
		}
		return fmt.Errorf("%s %s: %w (%d %s: %s)", op, key, kind, status, code, text)
	}
	switch {
	case status == http.StatusPreconditionFailed:
		return words(ErrExists)
	case code == "NoSuchBucket", status == http.StatusNotFound && op != OpGet:
		return words(ErrNoBucket)
	case status == http.StatusNotFound:
		return fmt.Errorf("%s %s: %w", op, key, ErrNotFound)
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests, code == "SlowDown", code == "RequestLimitExceeded":
		return &SlowDownError{After: retryAfter(header), Err: words(ErrSlowDown)}
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return words(ErrDenied)
	case status == http.StatusMovedPermanently, status == http.StatusTemporaryRedirect:
		return fmt.Errorf("%s %s: the bucket is in another region than the URL says; it is in %q (%d %s)", op, key, header.Get("X-Amz-Bucket-Region"), status, code)
	case status == http.StatusInsufficientStorage:
		return words(ErrFull)
	case code != "":
		return fmt.Errorf("%s %s: %d %s: %s", op, key, status, code, text)
	}
	var sent *smithyhttp.RequestSendError
	if errors.As(err, &sent) {
		err = sent.Err
	}
	return fmt.Errorf("%s %s: %w", op, key, err)
}

// isPastEnd tells whether an object was found that ends before the range begins.
func isPastEnd(err error) bool {
	status, _ := s3Status(err)
	return status == http.StatusRequestedRangeNotSatisfiable
}

// s3Status is the HTTP status of an error, 0 if there was no answer.
func s3Status(err error) (int, http.Header) {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil || answer.Response.Response == nil {
		return 0, http.Header{}
	}
	return answer.HTTPStatusCode(), answer.Response.Header
}

func s3Code(err error) (code, text string) {
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return "", ""
	}
	return answer.ErrorCode(), answer.ErrorMessage()
}

// retryAfter reads the seconds of a Retry-After header; a date counts as none.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}
