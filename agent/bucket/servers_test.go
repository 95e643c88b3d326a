//go:build buckets

package bucket_test

import (
	"testing"

	"github.com/wadi-io/wadi/agent/bucket/buckettest"
)

func TestConformance_MinIO(t *testing.T) { conform(t, buckettest.MinIO(t)) }

func TestUnfinished_MinIO(t *testing.T) { unfinished(t, buckettest.MinIO(t)) }

func TestConformance_FakeGCS(t *testing.T) { conform(t, buckettest.FakeGCS(t)) }
