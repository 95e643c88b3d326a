package batch

import (
	"encoding/hex"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestAppendControl_Bytes holds the bytes: they are what Apache Kafka 4.2's
// MemoryRecords.withEndTransactionMarker makes of the same fields, with leader epoch 0.
func TestAppendControl_Bytes(t *testing.T) {
	for _, c := range []struct {
		control Control
		want    string
	}{
		{Control{BaseOffset: 258, Timestamp: 1_700_000_000_000, ProducerID: 4711, ProducerEpoch: 3, CoordinatorEpoch: 7, Commit: true}, controlCommitHex},
		{Control{BaseOffset: 258, Timestamp: 1_700_000_000_000, ProducerID: 4711, ProducerEpoch: 3, CoordinatorEpoch: 7}, controlAbortHex},
	} {
		got := AppendControl([]byte("before"), c.control)[len("before"):]
		if hex.EncodeToString(got) != c.want {
			t.Errorf("%+v is\n%x\nwant\n%s", c.control, got, c.want)
		}
		h, err := Verify(got)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != ControlSize || !h.Control() || !h.Transactional() || h.BaseSequence != -1 || h.Records != 1 {
			t.Errorf("%d bytes: %+v", len(got), h)
		}
		for r, err := range Records(got, 1<<10) {
			var key kmsg.ControlRecordKey
			var value kmsg.EndTxnMarker
			if err != nil || key.ReadFrom(r.Key) != nil || value.ReadFrom(r.Value) != nil {
				t.Fatal(err)
			}
			if commit := key.Type == kmsg.ControlRecordKeyTypeCommit; commit != c.control.Commit || value.CoordinatorEpoch != 7 || value.Version != 0 {
				t.Errorf("key %+v, value %+v", key, value)
			}
		}
	}
}

const (
	controlCommitHex = "00000000000001020000004200000000025c0115bb0030000000000000018bcfe568000000018bcfe5680000000000000012670003ffffffff000000012000000008000000010c00000000000700"
	controlAbortHex  = "0000000000000102000000420000000002a83fc3f30030000000000000018bcfe568000000018bcfe5680000000000000012670003ffffffff000000012000000008000000000c00000000000700"
)
