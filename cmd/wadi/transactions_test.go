package main

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestTransactions(t *testing.T) {
	_, kafka := startDev(t, t.TempDir(), "127.0.0.1:0")
	i := invocation{variables: map[string]string{"WADI_KAFKA": kafka}}
	on(t, kafka, "", "topics", "create", "orders", "--partitions", "2")
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka), kgo.TransactionalID("copier"), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(ctx, kgo.StringRecord("a")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if out := on(t, kafka, "", "transactions", "list", "--state", "Ongoing"); !strings.Contains(out, "copier            Ongoing") {
		t.Error(out)
	}
	longer := func() int { // ids of which nothing has begun within the last hour
		t.Helper()
		req := kmsg.NewPtrListTransactionsRequest()
		req.DurationFilterMillis = time.Hour.Milliseconds()
		resp, err := req.RequestWith(ctx, client)
		if err != nil || resp.ErrorCode != 0 {
			t.Fatal(err, resp)
		}
		return len(resp.TransactionStates)
	}
	if n := longer(); n != 0 {
		t.Errorf("%d transactions are older than an hour", n)
	}
	if out := on(t, kafka, "", "transactions", "describe", "copier"); !strings.Contains(out, "copier: Ongoing, producer ") || !strings.Contains(out, "orders") {
		t.Error(out)
	}
	id, _, err := client.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	hanging := []string{"transactions", "abort", "--topic", "orders", "--producer", strconv.FormatInt(id, 10), "--partition"}
	for _, partition := range []string{"0", "1"} { // in one of them it is open, and an id is in it
		i.run(ctx, append(hanging, partition)...).want(t, exitFailure, "", "transaction")
	}
	if out := on(t, kafka, "", "transactions", "abort", "copier"); out != "aborted copier (it was Ongoing)\n" {
		t.Error(out)
	}
	if out := on(t, kafka, "", "transactions", "list", "-o", "json"); !strings.Contains(out, `"state":"Empty"`) {
		t.Error(out)
	}
	if n := longer(); n != 1 {
		t.Errorf("%d ids without a transaction pass the filter, which Kafka has them do", n)
	}
	if err := client.EndTransaction(ctx, kgo.TryCommit); err == nil {
		t.Error("what was aborted was committed")
	}
	i.run(ctx, "transactions", "describe", "nobody").want(t, exitFailure, "", "nobody")
	run(t, "transactions", "abort", "--topic", "orders").want(t, exitUsage, "", "--producer")
}
