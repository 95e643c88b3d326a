package wire

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// compareProduce decodes body with kmsg and with ours.
func compareProduce(t *testing.T, version int16, body []byte) {
	t.Helper()
	var want kmsg.ProduceRequest
	want.SetVersion(version)
	if err := want.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	want.UnknownTags = kmsg.Tags{}
	for i := range want.Topics {
		want.Topics[i].UnknownTags = kmsg.Tags{}
		for j := range want.Topics[i].Partitions {
			p := &want.Topics[i].Partitions[j]
			p.UnknownTags = kmsg.Tags{}
			if len(p.Records) == 0 && p.Records != nil {
				p.Records = []byte{}
			}
		}
	}
	m := getProduceMessage()
	defer m.release()
	counted, err := programOf(KeyProduce, version).check(body)
	if err != nil {
		t.Fatal(err)
	}
	m.decode(version, body, counted.elements)
	got := &m.request
	if got.Version != version || got.Acks != want.Acks || got.TimeoutMillis != want.TimeoutMillis ||
		!reflect.DeepEqual(got.TransactionID, want.TransactionID) || len(got.Topics) != len(want.Topics) {
		t.Fatalf("version %d: got %+v, want %+v", version, got, &want)
	}
	for i, topic := range want.Topics {
		mine := got.Topics[i]
		if mine.Topic != topic.Topic || mine.TopicID != topic.TopicID || len(mine.Partitions) != len(topic.Partitions) {
			t.Fatalf("version %d: got %+v, want %+v", version, mine, topic)
		}
		for j, p := range topic.Partitions {
			if !reflect.DeepEqual(mine.Partitions[j], p) {
				t.Fatalf("version %d: got %+v, want %+v", version, mine.Partitions[j], p)
			}
		}
	}
}

func TestProduceMessage_DecodesAsKmsgDoes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for v := int16(0); v <= 13; v++ {
		for range 200 {
			compareProduce(t, v, randomRequest(rnd, programOf(KeyProduce, v)).AppendTo(nil))
		}
	}
}

// produceBody makes a request of topics × partitions batches.
func produceBody(version int16, topics, partitions, recordBytes int) []byte {
	m := kmsg.NewPtrProduceRequest()
	m.SetVersion(version)
	m.Acks = -1
	for i := range topics {
		t := kmsg.NewProduceRequestTopic()
		t.Topic = "topic-" + string(rune('a'+i%26))
		t.TopicID[0] = byte(i)
		for j := range partitions {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition = int32(j)
			p.Records = make([]byte, recordBytes)
			t.Partitions = append(t.Partitions, p)
		}
		m.Topics = append(m.Topics, t)
	}
	return m.AppendTo(nil)
}

func TestProduceMessage_NamesOutliveTheRequest(t *testing.T) {
	body := produceBody(9, 3, 1, 10)
	m := getProduceMessage()
	m.decode(9, body, 6)
	names := []string{m.request.Topics[0].Topic, m.request.Topics[1].Topic, m.request.Topics[2].Topic}
	m.release()
	clear(body)
	for i, want := range []string{"topic-a", "topic-b", "topic-c"} {
		if names[i] != want {
			t.Errorf("name %d became %q", i, names[i])
		}
	}
}
