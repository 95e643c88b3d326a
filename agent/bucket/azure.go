//go:build !faketime

package bucket

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
)

// openAzure opens azblob://CONTAINER with the parameters that gocloud.dev reads:
// storage_account, domain, protocol and others. Credentials come from the
// AZURE_STORAGE_* variables or from where Azure's SDK looks.
//
// A list can't begin after a key here: the pages before it are read and dropped.
func openAzure(ctx context.Context, u *url.URL) (Bucket, io.Closer, error) {
	if u.Host == "" || u.Path != "" && u.Path != "/" {
		return nil, nil, fmt.Errorf("bucket URL %q: write azblob://CONTAINER; a container has no path", u.Redacted())
	}
	b, err := blob.OpenBucket(ctx, (&url.URL{Scheme: azureblob.Scheme, Host: u.Host, RawQuery: u.RawQuery}).String())
	if err != nil {
		return nil, nil, fmt.Errorf("bucket URL %q: %w", u.Redacted(), err)
	}
	return &gocloud{bucket: b}, b, nil
}
