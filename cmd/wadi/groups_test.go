package main

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestGroups_ListDescribeResetDelete(t *testing.T) {
	_, kafka := startDev(t, t.TempDir(), "127.0.0.1:0")
	i := invocation{variables: map[string]string{"WADI_KAFKA": kafka}}
	on(t, kafka, "", "topics", "create", "orders", "--partitions", "2")
	on(t, kafka, "a:0\nb:1\nc:2\nd:3\ne:4\n", "produce", "orders", "--key-separator", ":")

	client, err := kgo.NewClient(kgo.SeedBrokers(kafka), kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("orders"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for read := 0; read < 5; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		read += fetches.NumRecords()
	}
	if err := client.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	on(t, kafka, "f:5\n", "produce", "orders", "--key-separator", ":")
	if out := on(t, kafka, "", "groups", "list"); !strings.Contains(out, "readers  Stable  consumer") {
		t.Error(out)
	}
	if out := on(t, kafka, "", "groups", "describe", "readers"); !strings.Contains(out, "readers: Stable, 1 member, 1 record behind, the oldest ") {
		t.Error(out)
	}
	i.run(ctx, "groups", "delete", "readers").want(t, exitFailure, "", "not empty")
	i.run(ctx, "groups", "reset", "readers").want(t, exitUsage, "", "--to WHERE")
	i.run(ctx, "groups", "reset", "readers", "--to", "earliest").want(t, exitFailure, "", `reset group "readers"`)
	client.Close()

	if out := on(t, kafka, "", "groups", "reset", "readers", "--to", "earliest", "--dry-run"); !strings.Contains(out, "orders") {
		t.Error(out)
	}
	if out := on(t, kafka, "", "groups", "describe", "readers"); !strings.Contains(out, "1 record behind") {
		t.Error("a dry run moved the group: " + out)
	}
	on(t, kafka, "", "groups", "reset", "readers", "--to", "earliest")
	if out := on(t, kafka, "", "groups", "describe", "readers"); !strings.Contains(out, "readers: Empty, 0 members, 6 records behind") {
		t.Error(out)
	}
	// The records carry times of their own: the lag in time is theirs.
	on(t, kafka, "", "topics", "create", "old", "--partitions", "1")
	past := &kgo.Record{Topic: "old", Value: []byte("x"), Timestamp: time.Now().Add(-90 * time.Minute)}
	newer := &kgo.Record{Topic: "old", Value: []byte("y"), Timestamp: time.Now().Add(-30 * time.Minute)}
	producer, err := kgo.NewClient(kgo.SeedBrokers(kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if err := producer.ProduceSync(ctx, past, newer).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for to, want := range []string{"2 records behind, the oldest 1.5 h old", "1 record behind, the oldest 30.0 min old", "0 records behind\n"} {
		on(t, kafka, "", "groups", "reset", "late", "--to", strconv.Itoa(to), "--topic", "old")
		if out := on(t, kafka, "", "groups", "describe", "late"); !strings.Contains(out, want) {
			t.Errorf("at %d: %s", to, out)
		}
	}
	if out := on(t, kafka, "", "groups", "describe", "late", "-o", "json"); !strings.Contains(out, `"lag":0,"lag_ms":0`) {
		t.Error(out)
	}
	on(t, kafka, "", "groups", "reset", "fresh", "--to", "latest", "--topic", "orders")
	if out := on(t, kafka, "", "groups", "describe", "fresh", "-o", "json"); strings.Count(out, `"lag":0`) != 2 {
		t.Error(out)
	}
	if out := on(t, kafka, "", "groups", "delete", "readers", "fresh", "late"); out != "deleted readers\ndeleted fresh\ndeleted late\n" {
		t.Error(out)
	}
	if out := on(t, kafka, "", "groups", "list", "-o", "json"); out != "" {
		t.Error(out)
	}
	run(t, "groups", "reset", "x", "--to", "never").want(t, exitUsage, "", "--to:")
}

func TestConsume_Group(t *testing.T) {
	_, kafka := startDev(t, t.TempDir(), "127.0.0.1:0")
	on(t, kafka, "", "topics", "create", "orders", "--partitions", "1")
	on(t, kafka, "0\n1\n2\n3\n4\n", "produce", "orders")
	if out := on(t, kafka, "", "consume", "orders", "--group", "g", "-n", "3"); out != "0\n1\n2\n" {
		t.Error(out)
	}
	if out := on(t, kafka, "", "consume", "orders", "--group", "g", "-n", "2"); out != "3\n4\n" {
		t.Error(out)
	}
	run(t, "consume", "orders", "--group", "g", "--until-end").want(t, exitUsage, "", "--group has no --until-end")
	run(t, "consume", "orders", "--group", "g", "--from", "-3").want(t, exitUsage, "", "wadi groups reset")
}
