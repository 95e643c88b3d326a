package group

import "github.com/wadi-io/wadi/metastore"

// AppendTaken appends the effect by which the entry's term takes the journal's groups over:
// offsets that another term commits after it are void. So what a coordinator had on its way when
// its groups went to another one can't come after what is committed there.
func AppendTaken(dst []byte) []byte {
	return metastore.AppendEffect(dst, metastore.EffectGroupsTaken, nil)
}

func (s *State) applyTaken(at metastore.At, d *metastore.Decoder) error {
	if err := atEnd(d); err != nil {
		return err
	}
	s.holder = at.Term
	return nil
}

// Holder is the term that has taken the groups over; 0: none has yet.
func (s *State) Holder() metastore.Term { return s.holder }

// mayCommit tells whether offsets of an entry's term may stand.
func (s *State) mayCommit(at metastore.At) bool { return s.holder == 0 || s.holder == at.Term }
