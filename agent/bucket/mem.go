package bucket

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"gocloud.dev/blob/memblob"
)

func openMem(_ context.Context, u *url.URL) (Bucket, io.Closer, error) {
	if u.Host != "" || u.Path != "" || u.RawQuery != "" {
		return nil, nil, fmt.Errorf("bucket URL %q: mem:// takes nothing after it", u.Redacted())
	}
	b := memblob.OpenBucket(&memblob.Options{NoMD5: true})
	return &gocloud{bucket: b, from: tokenIsKey}, b, nil
}
