package shard

// Bytes returns how many bytes a partition has in its extents and in rows of merged
// ones, 0 for one that is not open. Markers in extents have none. It walks the extents.
func (s *State) Bytes(id PartitionID) int64 {
	p := s.partition(id)
	if p == nil {
		return 0
	}
	bytes := p.merged.Bytes
	for i := range p.extents {
		bytes += int64(p.extents[i].length)
	}
	return bytes
}

// ActiveProducer is a producer that a partition knows.
type ActiveProducer struct {
	ID      int64
	State   ProducerState
	Touched int64 // ms; the latest writer's clock among the entries that changed it
	// Transactions are its own here. A producer of which only a marker stands has no State.
	Transactions ProducerTransactions
}

func (p *producer) active(id int64) ActiveProducer {
	return ActiveProducer{ID: id, State: p.public(), Touched: p.touched, Transactions: p.publicTransactions()}
}

// ActiveProducers returns the producers that a partition knows, by id, resultsMax at most.
func (s *State) ActiveProducers(id PartitionID, resultsMax int) []ActiveProducer {
	p := s.partition(id)
	if p == nil {
		return nil
	}
	active := make([]ActiveProducer, 0, min(resultsMax, len(p.producers)))
	for _, slot := range p.producers[:cap(active)] {
		active = append(active, slot.state.active(slot.id))
	}
	return active
}
