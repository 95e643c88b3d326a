package group

import (
	"slices"
	"time"
)

// Protocol is one way to assign partitions that a member knows, with what it has to say to it.
type Protocol struct {
	Name     string
	Metadata []byte
}

// member is a member of a group in memory. Guarded by the group's lock.
type member struct {
	id               string
	instance         string // group.instance.id; empty: not static
	clientID         string
	clientHost       string
	rebalanceTimeout time.Duration
	sessionTimeout   time.Duration
	protocols        []Protocol // as the member prefers them
	assignment       []byte
	isNew            bool // joined since the last generation: its session does not wait for its join
	session          alarm
	joining          chan Joined // of its JoinGroup that waits; nil: none
	syncing          chan Synced // of its SyncGroup that waits; nil: none
}

// bytes is what the member holds in memory, near enough.
func (m *member) bytes() int64 {
	n := len(m.id) + len(m.instance) + len(m.clientID)
	for _, p := range m.protocols {
		n += len(p.Name) + len(p.Metadata)
	}
	return int64(n)
}

// metadata is what the member has to say to a protocol.
func (m *member) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

func (m *member) matches(protocols []Protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && string(a.Metadata) == string(b.Metadata)
	})
}

// answerJoin answers the JoinGroup that waits, if one does.
func (m *member) answerJoin(j Joined) bool {
	if m.joining == nil {
		return false
	}
	m.joining <- j // buffered, and used once
	m.joining = nil
	return true
}

// answerSync answers the SyncGroup that waits, if one does.
func (m *member) answerSync(s Synced) bool {
	if m.syncing == nil {
		return false
	}
	m.syncing <- s
	m.syncing = nil
	return true
}
