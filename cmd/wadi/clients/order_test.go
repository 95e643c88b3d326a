package clients

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Five requests of one connection, sent in one go, are answered in the order in
// which they were sent, and stand in that order.
func TestOrder_FiveProduceRequestsInFlight(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0")
	c := dial(t, address)
	c.add(createRequest("t", 2), createTopicsVersion)
	c.send()
	c.answer()
	const inFlight = 5
	for round := range int64(20) {
		for i := range inFlight {
			c.add(produceRequest("t", 0, -1, rawBatch(fmt.Sprint(round, i))), produceVersion)
		}
		c.send()
		for i := range int64(inFlight) {
			if p := produced(c.answer()); p.ErrorCode != 0 || p.BaseOffset != round*inFlight+i {
				t.Fatalf("round %d, request %d: code %d, offset %d", round, i, p.ErrorCode, p.BaseOffset)
			}
		}
	}
}

// What is refused doesn't overtake what takes long, and doesn't hold it up.
func TestOrder_RefusedAmongAccepted(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0", "--config", "auto.create.topics.enable=false")
	c := dial(t, address)
	c.add(createRequest("t", 1), createTopicsVersion)
	c.send()
	c.answer()
	broken := rawBatch("broken")
	broken[len(broken)-1] ^= 1
	for _, row := range []struct {
		topic string
		batch []byte
	}{{"t", rawBatch("a")}, {"nothing", rawBatch("b")}, {"t", broken}, {"t", rawBatch("c", "d")}, {"t", rawBatch("e")}} {
		c.add(produceRequest(row.topic, 0, -1, row.batch), produceVersion)
	}
	c.send()
	for i, want := range []struct {
		code   int16
		offset int64
	}{{0, 0}, {kerr.UnknownTopicOrPartition.Code, -1}, {kerr.CorruptMessage.Code, -1}, {0, 1}, {0, 3}} {
		if p := produced(c.answer()); p.ErrorCode != want.code || p.BaseOffset != want.offset {
			t.Errorf("request %d: code %d, offset %d, want %+v", i, p.ErrorCode, p.BaseOffset, want)
		}
	}
}

// Requests that are sent without waiting see what those before them did.
func TestOrder_EachSeesTheOneBefore(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0", "--config", "auto.create.topics.enable=false")
	c := dial(t, address)
	c.add(createRequest("t", 3), createTopicsVersion)
	c.add(metadataRequest("t"), metadataVersion)
	c.add(produceRequest("t", 0, -1, rawBatch("a", "b")), produceVersion)
	c.add(listEndRequest("t"), listOffsetsVersion)
	c.add(fetchRequest("t", 0, 0), fetchVersion)
	c.add(produceRequest("t", 0, 0, rawBatch("c")), produceVersion)
	c.sent = c.sent[:len(c.sent)-1] // acks=0: no answer, so the next ids are its own
	c.send()
	if code := c.answer().(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode; code != 0 {
		t.Fatal("create:", code)
	}
	if m := c.answer().(*kmsg.MetadataResponse).Topics[0]; m.ErrorCode != 0 || len(m.Partitions) != 3 {
		t.Fatalf("metadata: %+v", m)
	}
	if p := produced(c.answer()); p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Fatalf("produce: %+v", p)
	}
	end := func() int64 {
		p := c.answer().(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
		if p.ErrorCode != 0 {
			t.Fatalf("list offsets: %+v", p)
		}
		return p.Offset
	}
	if got := end(); got != 2 {
		t.Fatalf("the end is %d after 2 records", got)
	}
	if p := c.answer().(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.HighWatermark != 2 || len(p.RecordBatches) == 0 {
		t.Fatalf("fetch: %+v", p)
	}
	c.next++ // that of acks=0
	c.add(listEndRequest("t"), listOffsetsVersion)
	c.add(deleteRequest("t"), deleteTopicsVersion)
	c.add(metadataRequest("t"), metadataVersion)
	c.send()
	if got := end(); got != 3 {
		t.Fatalf("the end is %d after a third record with acks=0", got)
	}
	if code := c.answer().(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode; code != 0 {
		t.Fatal("delete:", code)
	}
	if m := c.answer().(*kmsg.MetadataResponse).Topics[0]; m.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Fatalf("metadata after the topic's deletion: %+v", m)
	}
}
