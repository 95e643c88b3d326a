package journaltest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
)

// randomCalls makes the same seeded calls on the store and on memory, and
// compares the answers. Leases are an hour or nothing, so the clocks need not agree.
func randomCalls(t *testing.T, s Subject) {
	const seed, calls = 1, 800
	now := time.Now()
	m := memory.New(func() time.Time { return now }, s.Store.Cluster())
	d := &draws{random: rand.New(rand.NewPCG(seed, 1))}
	for i := range calls {
		name, call := d.next(i)
		if got, want := call(t, s.Store), call(t, m); got != want {
			t.Fatalf("seed %d, call %d, %s:\n%s\nin memory:\n%s", seed, i, name, got, want)
		}
	}
}

// draws makes up calls. Each call is drawn whole before it is made, so that both
// stores get the same one.
type draws struct {
	random *rand.Rand
	terms  int
}

type call func(t *testing.T, s metastore.Store) string

func (d *draws) term() metastore.Term         { return metastore.Term(max(1, d.terms-d.random.IntN(4))) }
func (d *draws) version() metastore.Version   { return metastore.Version(d.random.IntN(120)) }
func (d *draws) journal() metastore.JournalID { return shardJournal(d.random.IntN(4)) }
func (d *draws) lease() time.Duration         { return Lease * time.Duration(min(1, d.random.IntN(6))) }
func answer(value any, err error) string {
	var lost *metastore.StrictLostError
	switch {
	case errors.As(err, &lost):
		return fmt.Sprintf("strict lost: %+v", *lost)
	case errors.Is(err, metastore.ErrTermEnded):
		return "the term has ended"
	case err != nil:
		return "refused"
	}
	return fmt.Sprintf("%+v", value)
}

func (d *draws) next(i int) (string, call) {
	switch p := d.random.IntN(100); {
	case d.terms == 0 || p < 4:
		d.terms++
		lease := d.lease()
		return "begin", func(t *testing.T, s metastore.Store) string {
			agent := metastore.AgentInfo{Process: fmt.Sprint(i), Zone: fmt.Sprint(i % 2), Roles: metastore.RolesAll}
			info, err := s.BeginTerm(t.Context(), agent, lease)
			info.LeaseLeft = 0
			return answer(info, err)
		}
	case p < 60:
		return d.append(i)
	case p < 75:
		return d.read()
	case p < 80:
		term, at := d.term(), place(d.journal(), d.version())
		return fmt.Sprintf("place %d", at.Version), func(t *testing.T, s metastore.Store) string {
			replaced, err := s.PlaceSnapshot(t.Context(), term, at)
			if replaced == nil {
				return answer(nil, err)
			}
			return answer(*replaced, err)
		}
	case p < 87:
		j, through, rowsMax := d.journal(), d.version(), d.random.IntN(10)
		return fmt.Sprintf("trim %d", through), func(t *testing.T, s metastore.Store) string {
			n, err := s.Trim(t.Context(), j, through, rowsMax)
			return answer(n, err)
		}
	case p < 92:
		term, lease := d.term(), d.lease()
		return fmt.Sprintf("renew %d by %v", term, lease), func(t *testing.T, s metastore.Store) string {
			return answer("renewed", s.RenewTerm(t.Context(), term, lease, 0))
		}
	case p < 94:
		term := d.term()
		return fmt.Sprintf("drain %d", term), func(t *testing.T, s metastore.Store) string {
			return answer("draining", s.DrainTerm(t.Context(), term))
		}
	case p < 95:
		keep, rowsMax := d.term(), d.random.IntN(4)
		return fmt.Sprintf("prune all but %d", keep), func(t *testing.T, s metastore.Store) string {
			n, err := s.PruneTerms(t.Context(), 0, []metastore.Term{keep}, rowsMax)
			return answer(n, err)
		}
	case p < 98:
		term, force := d.term(), d.random.IntN(6) == 0
		return fmt.Sprintf("end %d", term), func(t *testing.T, s metastore.Store) string {
			ended, err := s.EndTerm(t.Context(), term, force)
			return answer(ended, err)
		}
	}
	asked := d.term()
	return "terms and snapshots", func(t *testing.T, s metastore.Store) string {
		infos, err := s.Terms(t.Context(), asked)
		for i := range infos {
			infos[i].LeaseLeft = 0
		}
		return answer(infos, err) + fmt.Sprint(placed(t, s, shardJournal(2)))
	}
}

func (d *draws) append(i int) (string, call) {
	term := d.term()
	var parts []metastore.AppendPart
	for _, shard := range d.random.Perm(4)[:1+d.random.IntN(4)] {
		part := Part(shardJournal(shard), fmt.Sprintf("%d/%d", i, shard))
		if d.random.IntN(8) == 0 {
			part.Strict, part.Expect = true, d.version()
		}
		parts = append(parts, part)
	}
	return fmt.Sprintf("append under %d", term), func(t *testing.T, s metastore.Store) string {
		versions, err := s.Append(t.Context(), term, parts)
		return answer(versions, err)
	}
}

func (d *draws) read() (string, call) {
	var positions []metastore.Position
	for _, shard := range d.random.Perm(4)[:1+d.random.IntN(4)] {
		positions = append(positions, metastore.Position{Journal: shardJournal(shard), After: d.version()})
	}
	bytesMax := d.random.IntN(60)
	return fmt.Sprintf("read %v", positions), func(t *testing.T, s metastore.Store) string {
		tails, err := s.Read(t.Context(), positions, bytesMax)
		for i, tail := range tails {
			checkTail(t, tail, positions[i], bytesMax)
		}
		return answer(tails, err)
	}
}
