package main

import "github.com/twmb/franz-go/pkg/kmsg"

// transactionIDs: how a transactional id is initialised, and refused.
func transactionIDs(s *session) {
	s.topic("ids", 1)
	init := func(call string, version int16, r *kmsg.InitProducerIDRequest) *kmsg.InitProducerIDResponse {
		return ask[*kmsg.InitProducerIDResponse](s, call, version, r)
	}
	change := func(id string, f func(r *kmsg.InitProducerIDRequest)) *kmsg.InitProducerIDRequest {
		r := transactional{id: id}.initRequest()
		f(r)
		return r
	}
	s.transactional("first") // The coordinator has loaded.
	for _, version := range []int16{0, 1, 2, 3, 4, 5} {
		id := named("init-%d", version)
		x := transactional{id: id}
		init(named("version %d", version), version, x.initRequest())
		got := init(named("version %d again", version), version, x.initRequest())
		x.who, x.epoch = got.ProducerID, got.ProducerEpoch
		s.begin(x, "ids", 0)
		init(named("version %d, ongoing", version), version, x.initRequest())
		until(s, named("version %d, aborted", version), version, x.initRequest(), func(r *kmsg.InitProducerIDResponse) bool { return r.ErrorCode == 0 })
	}
	init("an empty id", 4, change("", func(*kmsg.InitProducerIDRequest) {}))
	init("a time-out of 0", 4, change("bad", func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = 0 }))
	init("a time-out below 0", 4, change("bad", func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = -1 }))
	init("a time-out too long", 4, change("bad", func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = 900_001 }))
	init("the longest time-out", 4, change("long", func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = 900_000 }))
	for _, version := range []int16{3, 4, 5} {
		as := func(who int64, epoch int16) func(r *kmsg.InitProducerIDRequest) {
			return func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = who, epoch }
		}
		id := named("as-%d", version)
		call := func(what string) string { return named("version %d, %s", version, what) }
		init(call("as somebody, but unknown"), version, change(id, as(noSuchProducer, 3)))
		x := s.transactional(id)
		init(call("with an id and no epoch"), version, change(id, as(x.who, -1)))
		init(call("with an epoch and no id"), version, change(id, as(-1, x.epoch)))
		init(call("as who it is"), version, change(id, as(x.who, x.epoch)))
		init(call("as who it was"), version, change(id, as(x.who, x.epoch)))
		init(call("as who it will be"), version, change(id, as(x.who, x.epoch+2)))
		init(call("as another"), version, change(id, as(noSuchProducer, x.epoch)))
		init(call("as nobody"), version, change(id, as(-1, -1)))
		init(call("as who it was long ago"), version, change(id, as(x.who, x.epoch)))
		x = s.transactional(id)
		s.begin(x, "ids", 0)
		init(call("ongoing, as who it is"), version, change(id, as(x.who, x.epoch)))
		until(s, call("aborted, as who it is"), version, change(id, as(x.who, x.epoch)), func(r *kmsg.InitProducerIDResponse) bool {
			return r.ErrorCode != codeConcurrentTransactions
		})
	}
	s.committed("what was kept", "ids", 0)
}

// transactionParts: how partitions and groups get into a transaction, and offsets are committed with it.
func transactionParts(s *session) {
	s.topic("parts", 3)
	add := func(call string, version int16, r *kmsg.AddPartitionsToTxnRequest) {
		ask[*kmsg.AddPartitionsToTxnResponse](s, call, version, r)
	}
	for _, version := range []int16{0, 1, 2, 3, 4, 5} {
		call := func(what string) string { return named("add version %d, %s", version, what) }
		nobody := transactional{id: named("add-nobody-%d", version), who: noSuchProducer}
		add(call("an unknown id"), version, nobody.add("parts", 0))
		x := s.transactional(named("add-%d", version))
		x = s.transactional(x.id)
		add(call("an empty id"), version, transactional{"", x.who, x.epoch}.add("parts", 0))
		add(call("another producer"), version, transactional{x.id, noSuchProducer, x.epoch}.add("parts", 0))
		add(call("the epoch before"), version, transactional{x.id, x.who, x.epoch - 1}.add("parts", 0))
		add(call("the epoch after"), version, transactional{x.id, x.who, x.epoch + 1}.add("parts", 0))
		add(call("an unknown topic"), version, x.add("nobody", 0))
		add(call("an unknown partition"), version, x.add("parts", 0, 7))
		add(call("no partitions"), version, x.add("parts"))
		add(call("two"), version, x.add("parts", 0, 1))
		add(call("again"), version, x.add("parts", 1))
		add(call("ongoing, the epoch before"), version, transactional{x.id, x.who, x.epoch - 1}.add("parts", 0))
		if version >= 4 {
			add(call("verify"), version, x.verify("parts", 0, 1))
			add(call("verify what isn't"), version, x.verify("parts", 2))
			add(call("verify some"), version, x.verify("parts", 0, 2))
			add(call("verify the epoch before"), version, transactional{x.id, x.who, x.epoch - 1}.verify("parts", 0))
			add(call("verify another producer"), version, transactional{x.id, noSuchProducer, x.epoch}.verify("parts", 0))
			add(call("verify an unknown id"), version, nobody.verify("parts", 0))
			add(call("verify an unknown topic"), version, x.verify("nobody", 0))
			several := x.verify("parts", 0)
			several.Transactions = append(several.Transactions, nobody.verify("parts", 0).Transactions...)
			add(call("verify several"), version, several)
			s.ended(x, 3, true)
			add(call("verify after the end"), version, x.verify("parts", 0))
		}
	}
	for _, version := range []int16{0, 1, 2, 3, 4} {
		offsets := func(what string, r *kmsg.AddOffsetsToTxnRequest) {
			ask[*kmsg.AddOffsetsToTxnResponse](s, named("offsets version %d, %s", version, what), version, r)
		}
		x := s.transactional(named("offsets-%d", version))
		x = s.transactional(x.id)
		offsets("an unknown id", transactional{named("offsets-nobody-%d", version), noSuchProducer, 0}.addOffsets("g"))
		offsets("an empty id", transactional{"", x.who, x.epoch}.addOffsets("g"))
		offsets("an empty group", x.addOffsets(""))
		offsets("another producer", transactional{x.id, noSuchProducer, x.epoch}.addOffsets("g"))
		offsets("the epoch before", transactional{x.id, x.who, x.epoch - 1}.addOffsets("g"))
		offsets("the epoch after", transactional{x.id, x.who, x.epoch + 1}.addOffsets("g"))
		offsets("a group", x.addOffsets("g"))
		offsets("again", x.addOffsets("g"))
	}
}

// transactionOffsets: offsets that are committed with a transaction.
func transactionOffsets(s *session) {
	s.topic("placed", 2)
	m := s.enter(member{group: "txn-members"})
	s.names.member(m.id)
	for _, version := range []int16{0, 1, 2, 3, 4, 5} {
		commit := func(what string, r *kmsg.TxnOffsetCommitRequest) {
			ask[*kmsg.TxnOffsetCommitResponse](s, named("commit version %d, %s", version, what), version, r)
		}
		group := named("txn-group-%d", version)
		fetch := func(what string, stable bool) {
			r := kmsg.NewPtrOffsetFetchRequest()
			r.Group, r.RequireStable = group, stable
			t := kmsg.NewOffsetFetchRequestTopic()
			t.Topic, t.Partitions = "placed", []int32{0}
			r.Topics = append(r.Topics, t)
			ask[*kmsg.OffsetFetchResponse](s, named("commit version %d, fetch %s", version, what), 7, r)
		}
		x := s.transactional(named("commit-%d", version))
		x = s.transactional(x.id)
		commit("an unknown id", transactional{named("commit-nobody-%d", version), noSuchProducer, 0}.commitOffset(group, "placed", 0, 5))
		commit("another producer", transactional{x.id, noSuchProducer, x.epoch}.commitOffset(group, "placed", 0, 5))
		commit("the epoch before", transactional{x.id, x.who, x.epoch - 1}.commitOffset(group, "placed", 0, 5))
		commit("the epoch after", transactional{x.id, x.who, x.epoch + 1}.commitOffset(group, "placed", 0, 5))
		commit("an empty group", x.commitOffset("", "placed", 0, 5))
		commit("not added", x.commitOffset(group, "placed", 0, 5))
		ask[*kmsg.AddOffsetsToTxnResponse](s, named("commit version %d, add", version), 3, x.addOffsets(group))
		commit("an unknown topic", x.commitOffset(group, "nobody", 0, 5))
		commit("an unknown partition", x.commitOffset(group, "placed", 9, 5))
		commit("an offset", x.commitOffset(group, "placed", 0, 5))
		if version >= 3 {
			with := func(change func(r *kmsg.TxnOffsetCommitRequest)) *kmsg.TxnOffsetCommitRequest {
				r := x.commitOffset(m.group, "placed", 0, 5)
				r.MemberID, r.Generation = m.id, m.generation
				change(r)
				return r
			}
			ask[*kmsg.AddOffsetsToTxnResponse](s, named("commit version %d, add the members", version), 3, x.addOffsets(m.group))
			commit("as a member", with(func(*kmsg.TxnOffsetCommitRequest) {}))
			commit("as a member of another generation", with(func(r *kmsg.TxnOffsetCommitRequest) { r.Generation++ }))
			commit("as a member nobody knows", with(func(r *kmsg.TxnOffsetCommitRequest) { r.MemberID = "nobody" }))
			commit("as another instance", with(func(r *kmsg.TxnOffsetCommitRequest) { r.InstanceID = kmsg.StringPtr("nobody") }))
			commit("as nobody", with(func(r *kmsg.TxnOffsetCommitRequest) { r.MemberID, r.Generation = "", -1 }))
		}
		fetch("what is pending", false)
		fetch("what is pending, stable", true)
		after := s.ended(x, min(version, 5), true)
		fetch("what is committed", true)
		commit("after the end", x.commitOffset(group, "placed", 0, 6))
		if after.epoch != x.epoch {
			commit("in the next transaction", after.commitOffset(group, "placed", 0, 7))
			fetch("what is pending again", true)
			s.ended(after, version, false)
			fetch("after an abort", true)
		}
	}
}
