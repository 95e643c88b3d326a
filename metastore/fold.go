package metastore

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// At says which entry an effect belongs to.
type At struct {
	Version Version
	Header
}

// Machine is the state machine of one kind of journal. It is pure: no clock, no
// randomness, no map order, so that every replica that applied the same effects
// is the same, and snapshots of one version are byte-equal.
type Machine interface {
	// Apply folds one effect. Where want is set it returns what the effect came to,
	// in a type that belongs to its kind. An error means corrupt bytes or a bug: the
	// journal stops, since going on would make replicas differ.
	Apply(at At, kind EffectKind, body []byte, want bool) (outcome any, err error)
	// AppendSnapshot appends the state's encoding to dst.
	AppendSnapshot(dst []byte) []byte
	// Restore replaces the state by one that AppendSnapshot encoded. The bytes are not kept.
	Restore(snapshot []byte) error
}

// ErrStopped is wrapped by the error of a journal that can't be folded further.
var ErrStopped = errors.New("the journal has stopped")

// snapshotFormat is the first byte of every snapshot. Persisted.
const snapshotFormat = 1

// marksMax bounds the snapshot hashes remembered until their entry comes by.
const marksMax = 8

// Fold is the state of a journal after some version: the machine's, and what
// holds for every journal: the highest number of each term (GUARDS 11, 12).
type Fold struct {
	version Version
	numbers map[Term]uint64
	machine Machine
	marks   []mark // derived, not part of the state
}

// mark is the hash of the state at a snapshot mark.
type mark struct {
	version Version
	hash    [32]byte
	size    int64 // of the snapshot, in bytes
}

// Result is what an entry came to.
type Result struct {
	At
	Void     bool   // a repeat: nothing of it was applied
	Outcomes []any  // one per effect, where wanted
	Snapshot []byte // the state after the entry, where wanted and the entry has a snapshot mark
}

// NewFold returns the state before the first entry.
func NewFold(m Machine) *Fold {
	return &Fold{numbers: map[Term]uint64{}, machine: m}
}

// Version returns the version of the last entry applied.
func (f *Fold) Version() Version { return f.version }

// Apply folds the entry with the next version. want says whether the outcomes of
// an entry are asked for. After an error the state must not be used.
func (f *Fold) Apply(version Version, payload []byte, want func(Header) bool) (Result, error) {
	if version != f.version+1 {
		return Result{}, fmt.Errorf("%w: version %d after %d", ErrStopped, version, f.version)
	}
	h, effects, err := ParseEntry(payload)
	if err != nil {
		return Result{}, fmt.Errorf("%w: version %d: %w", ErrStopped, version, err)
	}
	res := Result{At: At{Version: version, Header: h}}
	last := f.numbers[h.Term]
	switch {
	case h.Number <= last:
		f.version = version
		res.Void = true
		return res, nil
	case h.Number != last+1:
		return res, fmt.Errorf("%w: version %d is number %d of term %d, after %d: a bug, or entries were lost",
			ErrStopped, version, h.Number, h.Term, last)
	}
	f.numbers[h.Term] = h.Number
	f.version = version
	wanted := want != nil && want(h)
	marked := false
	for {
		kind, body, ok, err := effects.Next()
		if err != nil {
			return res, fmt.Errorf("%w: version %d: %w", ErrStopped, version, err)
		}
		if !ok {
			break
		}
		var outcome any
		switch kind {
		case EffectTermEnded:
			err = f.termEnded(h.Term, body)
		case EffectSnapshotMark:
			marked = true
		case EffectSnapshotHash:
			err = f.compare(body)
		default:
			outcome, err = f.machine.Apply(res.At, kind, body, wanted)
		}
		if err != nil {
			return res, fmt.Errorf("%w: version %d, %v of term %d: %w", ErrStopped, version, kind, h.Term, err)
		}
		if wanted {
			res.Outcomes = append(res.Outcomes, outcome)
		}
	}
	if marked {
		snapshot := f.AppendSnapshot(nil)
		f.remember(mark{version, SnapshotHash(snapshot), int64(len(snapshot))})
		if wanted {
			res.Snapshot = snapshot
		}
	}
	return res, nil
}

// AppendTermEnded appends the effect that makes replicas forget a term's number.
// It may be written only after the end of the term was committed.
func AppendTermEnded(dst []byte, t Term) []byte {
	return AppendEffect(dst, EffectTermEnded, binary.AppendUvarint(nil, uint64(t)))
}

func (f *Fold) termEnded(writer Term, body []byte) error {
	d := Decoder{Rest: body}
	t := Term(d.Uvarint())
	if d.Err != nil {
		return d.Err
	}
	if t == writer {
		return errors.New("a term can't say of itself that it has ended")
	}
	delete(f.numbers, t)
	return nil
}

// AppendSnapshotMark appends the effect at whose version every replica hashes its state.
func AppendSnapshotMark(dst []byte) []byte { return AppendEffect(dst, EffectSnapshotMark, nil) }

// AppendSnapshotHash appends the effect that compares the hash of the state at version.
func AppendSnapshotHash(dst []byte, version Version, hash [32]byte) []byte {
	body := binary.AppendUvarint(nil, uint64(version))
	return AppendEffect(dst, EffectSnapshotHash, append(body, hash[:]...))
}

// compare stops a replica whose state at a mark was another than the writer's.
func (f *Fold) compare(body []byte) error {
	d := Decoder{Rest: body}
	version := Version(d.Uvarint())
	hash := d.Fixed(sha256.Size)
	if d.Err != nil {
		return d.Err
	}
	for _, m := range f.marks {
		if m.version == version && string(m.hash[:]) != string(hash) {
			return fmt.Errorf("the state at version %d has hash %x here and %x at its writer", version, m.hash, hash)
		}
	}
	return nil
}

// markSize returns the size of the snapshot at a mark, 0 if the mark isn't remembered.
func (f *Fold) markSize(v Version) int64 {
	for _, m := range f.marks {
		if m.version == v {
			return m.size
		}
	}
	return 0
}

func (f *Fold) remember(m mark) {
	if len(f.marks) == marksMax {
		f.marks = slices.Delete(f.marks, 0, 1)
	}
	f.marks = append(f.marks, m)
}

// AppendSnapshot appends the encoding of the state: format byte, version, the
// terms' numbers in order of the terms, the machine's state.
func (f *Fold) AppendSnapshot(dst []byte) []byte {
	dst = append(dst, snapshotFormat)
	dst = binary.AppendUvarint(dst, uint64(f.version))
	terms := f.Terms()
	dst = binary.AppendUvarint(dst, uint64(len(terms)))
	for _, t := range terms {
		dst = binary.AppendUvarint(dst, uint64(t))
		dst = binary.AppendUvarint(dst, f.numbers[t])
	}
	return f.machine.AppendSnapshot(dst)
}

// Restore replaces the state by that of a snapshot, which must be of version.
func (f *Fold) Restore(version Version, snapshot []byte) error {
	if len(snapshot) == 0 || snapshot[0] != snapshotFormat {
		return fmt.Errorf("%w: unknown snapshot format", ErrCorruptEntry)
	}
	d := Decoder{Rest: snapshot[1:]}
	if v := Version(d.Uvarint()); d.Err == nil && v != version {
		return fmt.Errorf("%w: the snapshot is of version %d, not %d", ErrCorruptEntry, v, version)
	}
	numbers := map[Term]uint64{}
	for range d.Count(2) {
		t := Term(d.Uvarint())
		numbers[t] = d.Uvarint()
	}
	if d.Err != nil {
		return d.Err
	}
	if err := f.machine.Restore(d.Rest); err != nil {
		return fmt.Errorf("restore the snapshot of version %d: %w", version, err)
	}
	f.version, f.numbers = version, numbers
	f.marks = []mark{{version, SnapshotHash(snapshot), int64(len(snapshot))}}
	return nil
}

// Number returns the highest number applied of a term, 0 for one unknown here.
func (f *Fold) Number(t Term) uint64 { return f.numbers[t] }

// Terms returns the terms that have a number here, ascending.
func (f *Fold) Terms() []Term {
	terms := make([]Term, 0, len(f.numbers))
	for t := range f.numbers {
		terms = append(terms, t)
	}
	slices.Sort(terms)
	return terms
}
