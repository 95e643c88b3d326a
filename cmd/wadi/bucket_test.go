package main

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

func TestBucketCheck(t *testing.T) {
	dir := t.TempDir()
	r := run(t, "bucket", "check", "file://"+dir)
	r.want(t, exitDone, "ok      write only where nothing is", "")
	if !strings.HasSuffix(r.stdout, "An agent can use this bucket.\n") || strings.Count(r.stdout, "ok  ") != 8 {
		t.Error(r.stdout)
	}
	err := filepath.WalkDir(filepath.Join(dir, "wadi-bucket-check"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			t.Errorf("left: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	r = run(t, "bucket", "check", "mem://", "-o", "json")
	r.want(t, exitDone, `{"step":"delete","ok":true,"found":"deleted objects are gone"}`, "")
}

func TestBucketCheck_Refuses(t *testing.T) {
	run(t, "bucket", "check").want(t, exitUsage, "", "needs URL")
	run(t, "bucket", "check", "ftp://x").want(t, exitFailure, "", "it must begin with one of azblob://, file://, gs://, mem://, s3://")
	run(t, "bucket", "check", "s3://a/b").want(t, exitFailure, "", "a bucket has no path")
	run(t, "bucket", "check", "s3://a?endpoint=http://127.0.0.1:1&s3ForcePathStyle=true&anonymous=true").
		want(t, exitFailure, "FAILED  write", "connection refused")
}
