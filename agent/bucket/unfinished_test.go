package bucket_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/wadi-io/wadi/agent/bucket"
)

// A list of uploads goes on where a page ends, and no further than it may be long; one that has ended is no error.
func TestUnfinished_S3(t *testing.T) {
	var asked []string
	b := openAnswered(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asked = append(asked, fmt.Sprintf("%s %s %s|%s|%s|%s", r.Method, r.URL.Path, q.Get("prefix"), q.Get("key-marker"), q.Get("upload-id-marker"), q.Get("uploadId")))
		if r.Method == http.MethodDelete {
			refuse(w, http.StatusNotFound, "NoSuchUpload")
			return
		}
		var all strings.Builder
		more := q.Get("key-marker") == ""
		for i := range 2 {
			fmt.Fprintf(&all, "<Upload><Key>p/%s%d</Key><UploadId>u</UploadId><Initiated>2026-01-02T03:04:05.000Z</Initiated></Upload>", q.Get("key-marker"), i)
		}
		fmt.Fprintf(&all, "<IsTruncated>%t</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>m</NextUploadIdMarker>", more)
		io.WriteString(w, "<ListMultipartUploadsResult>"+all.String()+"</ListMultipartUploadsResult>")
	})
	found, err := bucket.ListUnfinished(t.Context(), b, "p/")
	if err != nil || len(found) != 4 || found[3].Key != "p/k1" || found[3].ID != "u" || found[3].Begun.Year() != 2026 {
		t.Fatalf("%+v, %v", found, err)
	}
	if err := bucket.End(t.Context(), b, found[3]); err != nil {
		t.Errorf("one that has ended: %v", err)
	}
	if want := []string{"GET /b p/|||", "GET /b p/|k|m|", "DELETE /b/p/k1 |||u"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
	// A bucket that keeps none is asked for nothing.
	counter := bucket.Count(openMem(t))
	if found, err := bucket.ListUnfinished(t.Context(), bucket.Retry(counter, fastRetry()), ""); err != nil || found != nil || counter.Lists.Load() != 0 {
		t.Errorf("%v, %v, %d requests", found, err, counter.Lists.Load())
	}
	if err := bucket.End(t.Context(), counter, bucket.Unfinished{Key: "k"}); err != nil || counter.Deletes.Load() != 0 {
		t.Errorf("%v", err)
	}
}
