package main

import (
	"context"
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

func TestTopics_AlterConfigAddPartitions(t *testing.T) {
	_, kafka := startDev(t, t.TempDir(), "127.0.0.1:0")
	i := invocation{variables: map[string]string{"WADI_KAFKA": kafka}}
	on(t, kafka, "", "topics", "create", "orders", "other", "--partitions", "2")

	if out := on(t, kafka, "", "topics", "alter", "orders", "other", "--topic-config", "retention.ms=5000", "--append", "cleanup.policy=compact"); out != "altered orders\naltered other\n" {
		t.Fatal(out)
	}
	on(t, kafka, "", "topics", "alter", "other", "--unset", "retention.ms", "--subtract", "cleanup.policy=delete")
	if out := on(t, kafka, "", "topics", "alter", "other", "--dry-run", "--topic-config", "retention.ms=1"); out != "would alter other\n" {
		t.Fatal(out)
	}
	for topic, want := range map[string][2]string{"orders": {"delete,compact topic", "5000 topic"}, "other": {"compact topic", "604800000 default"}} {
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(on(t, kafka, "", "topics", "config", topic, "retention.ms", "cleanup.policy", "-o", "json")), "\n") {
			var c topicConfig
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatal(err)
			}
			got = append(got, *c.Value+" "+c.Source)
		}
		if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%s: %q", topic, got)
		}
	}
	if out := on(t, kafka, "", "topics", "config", "orders", "--doc"); !strings.Contains(out, "max.message.bytes") || !strings.Contains(out, "The largest record batch") {
		t.Error(out)
	}
	i.run(t.Context(), "topics", "alter", "orders", "--topic-config", "nothing=1").want(t, exitFailure, "", "Unknown topic config name: nothing")
	i.run(t.Context(), "topics", "alter", "nowhere", "orders", "--unset", "retention.ms").want(t, exitFailure, "altered orders", "The topic 'nowhere' does not exist.")

	if out := on(t, kafka, "", "topics", "add-partitions", "orders", "--partitions", "5"); out != "grown orders to 5 partitions\n" {
		t.Fatal(out)
	}
	if out := on(t, kafka, "", "topics", "add-partitions", "orders", "--add", "1"); out != "grown orders by 1 partition\n" {
		t.Fatal(out)
	}
	if out := on(t, kafka, "", "topics", "add-partitions", "orders", "--add", "2", "--dry-run"); out != "would grow orders by 2 partitions\n" {
		t.Fatal(out)
	}
	i.run(t.Context(), "topics", "add-partitions", "orders", "--partitions", "6").want(t, exitFailure, "", "Topic already has 6 partition(s).")
	if out := on(t, kafka, "", "topics", "describe", "orders"); !strings.Contains(out, "\n5 ") || strings.Contains(out, "\n6 ") {
		t.Error(out)
	}
}

func TestTopics_UsageOfChanges(t *testing.T) {
	for args, want := range map[string]string{
		"alter a":                                 "say what to change",
		"alter a --unset x=y":                     `--unset: "x=y" is not a NAME.`,
		"alter a --append x":                      `--append: "x" is not NAME=VALUE.`,
		"add-partitions a":                        "either --partitions N in all, or --add N more",
		"add-partitions a --add 0":                "either --partitions N in all, or --add N more",
		"add-partitions a --add 1 --partitions 2": "either --partitions N in all, or --add N more",
		"config a nothing":                        `there is no topic config "nothing".`,
	} {
		run(t, append([]string{"topics"}, strings.Fields(args)...)...).want(t, exitUsage, "", want)
	}
}

// TestDeleteRecords_ReadersBeginAtTheNewStart goes through a client and all of an agent.
func TestDeleteRecords_ReadersBeginAtTheNewStart(t *testing.T) {
	dir := t.TempDir()
	p, kafka := startDev(t, dir, "127.0.0.1:0")
	on(t, kafka, "", "topics", "create", "orders", "--partitions", "1")
	on(t, kafka, "a:0\na:1\na:2\na:3\n", "produce", "orders")
	client, err := dial(t.Context(), []string{kafka})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	purge := func(offset int64) kadm.DeleteRecordsResponse {
		t.Helper()
		offsets := kadm.Offsets{}
		offsets.AddOffset("orders", 0, offset, -1)
		got, err := admin.DeleteRecords(context.Background(), offsets)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := got.Lookup("orders", 0)
		return r
	}
	if got := purge(3); got.Err != nil || got.LowWatermark != 3 {
		t.Fatalf("%+v", got)
	}
	if got := purge(5); got.Err == nil {
		t.Fatalf("beyond the end: %+v", got)
	}
	if got := consumed(t, kafka, "orders"); len(got) != 1 || *got[0].Offset != 3 {
		t.Fatalf("%+v", got)
	}
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitDone {
		t.Fatalf("code %d: %s", code, p.stderr)
	}
	_, kafka = startDev(t, dir, "127.0.0.1:0")
	if got := consumed(t, kafka, "orders"); len(got) != 1 || *got[0].Offset != 3 {
		t.Fatalf("after a restart: %+v", got)
	}
}
