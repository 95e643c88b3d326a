//go:build s3

package cluster

import "testing"

func TestColdStart_OnS3(t *testing.T) { coldStart(t, Moto) }
