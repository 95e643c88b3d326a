package shard

import (
	"slices"
	"testing"
)

func TestInspect_TellsWhatStands(t *testing.T) {
	j := opened(t)
	j.append(1, flush(batch(7, 0, 0, 2), batch(9, 3, 0, 3), batch(9, 3, 8, 1), batch(NoProducer, 0, 0, 1)))
	j.append(1, flushOf(2, batch(7, 0, 2, 1)))
	if got := j.state.Bytes(p0); got != 400 { // the void batch doesn't count
		t.Errorf("%d bytes", got)
	}
	none := ProducerTransactions{FirstOffset: -1, CoordinatorEpoch: -1}
	want := []ActiveProducer{
		{ID: 7, State: ProducerState{Known: true, Last: 2}, Touched: 2000, Transactions: none},
		{ID: 9, State: ProducerState{Known: true, Epoch: 3, Last: 2}, Touched: 1000, Transactions: none},
	}
	if got := j.state.ActiveProducers(p0, 10); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if got := j.state.ActiveProducers(p0, 1); !slices.Equal(got, want[:1]) {
		t.Errorf("at most one: %+v", got)
	}
	j.append(1, AppendLogStart(nil, p0, 6))
	if got := j.state.Bytes(p0); got >= 400 || got == 0 {
		t.Errorf("%d bytes from the log start on", got)
	}
	j.append(1, AppendClosed(nil, 1))
	if bytes, active := j.state.Bytes(p0), j.state.ActiveProducers(p0, 10); bytes != 0 || active != nil {
		t.Errorf("closed: %d bytes, %+v", bytes, active)
	}
}
