//go:build !faketime

package bucket

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"cloud.google.com/go/storage"
	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
)

// openGCS opens gs://NAME with the parameters that gocloud.dev reads: anonymous,
// universe_domain, grpc and others. Credentials are the application's default ones.
//
// The library sends and compares the CRC-32C of whole objects; IfNotExist is
// ifGenerationMatch=0.
func openGCS(ctx context.Context, u *url.URL) (Bucket, io.Closer, error) {
	if u.Host == "" || u.Path != "" && u.Path != "/" {
		return nil, nil, fmt.Errorf("bucket URL %q: write gs://NAME; a bucket has no path", u.Redacted())
	}
	b, err := blob.OpenBucket(ctx, (&url.URL{Scheme: gcsblob.Scheme, Host: u.Host, RawQuery: u.RawQuery}).String())
	if err != nil {
		return nil, nil, fmt.Errorf("bucket URL %q: %w", u.Redacted(), err)
	}
	return &gocloud{bucket: b, from: startOffset}, b, nil
}

// startOffset lets a list of Cloud Storage begin at a key.
func startOffset(after string, options *blob.ListOptions) []byte {
	options.BeforeList = func(as func(any) bool) error {
		var q *storage.Query
		if as(&q) {
			q.StartOffset = after
		}
		return nil
	}
	return blob.FirstPageToken
}
